//! How fast generations are started: `cargo run --release -p store --example initiate [clients] [starts a client]`.
//!
//! A private cluster with full durability in a temporary folder; each client is a person of an organization of its
//! own and starts one generation after another, on courses that are there already.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on ends, and prints what it found"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::course::CourseRequest;
use domain::generation::GenerationScope;
use domain::language::Language;
use domain::organization::Tier;
use domain::usage::MicroUsd;
use domain::user::Role;
use store::cluster::{ClusterConfig, Durability, Unobserved};
use store::generation::lifecycle::{NewGeneration, start_generation};
use store::user::{NewUser, insert_user};
use store::{Store, StoreConfig, course, organization, testkit};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|number| number.parse::<u32>().unwrap());
    let clients = arguments.next().unwrap_or(32);
    let starts = arguments.next().unwrap_or(50);
    let folder = tempfile::Builder::new()
        .prefix("cw-")
        .tempdir_in("/var/tmp")
        .unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let config = StoreConfig {
        database_url: None,
        cluster: ClusterConfig {
            durability: Durability::CrashSafe,
            ..testkit::cluster_config(folder.path().join("cluster"))
        },
    };
    let store = Arc::new(Store::open(&config, &Unobserved).await.unwrap());
    let people = prepare(&store, clients, starts).await;
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for (actor, courses) in people {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            for course_id in courses {
                let new = NewGeneration {
                    course_id,
                    budget: MicroUsd(1_000_000),
                    seed: 1,
                    options: serde_json::json!({}),
                    scope: GenerationScope::Whole,
                    user_limit: Some(100_000),
                    global_limit: Some(2_000),
                    idempotency_key: None,
                    webhook_url: None,
                };
                let start = Instant::now();
                let mut tx = store.tenant(&actor).await.unwrap();
                start_generation(&mut tx, &new).await.unwrap();
                tx.commit().await.unwrap();
                latencies.push(start.elapsed());
            }
            latencies
        });
    }
    let mut latencies: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let wall = begun.elapsed().as_secs_f64();
    latencies.sort();
    let at = |share: usize| {
        latencies[(latencies.len() * share / 100).min(latencies.len() - 1)].as_secs_f64() * 1e3
    };
    println!(
        "{clients} clients, {} starts: {:.0}/s, p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms",
        latencies.len(),
        latencies.len() as f64 / wall,
        at(50),
        at(95),
        at(99)
    );
    Arc::into_inner(store).unwrap().close().await.unwrap();
}

async fn prepare(
    store: &Store,
    clients: u32,
    starts: u32,
) -> Vec<(domain::user::Actor, Vec<domain::id::CourseId>)> {
    let request = CourseRequest {
        title: "Rust for beginners".to_owned(),
        ..CourseRequest::default()
    };
    let (inputs, _) = request.check(Language::English).unwrap();
    let mut people = Vec::new();
    for client in 0..clients {
        let actor = store
            .with_system(async |tx| {
                let organization_id =
                    organization::insert_organization(tx, &format!("Tenant {client}"), Tier::Premium).await?;
                let new = NewUser {
                    organization_id,
                    email: format!("person{client}@example.org"),
                    name: None,
                    role: Role::Instructor,
                    password_hash: None,
                };
                insert_user(tx, &new).await
            })
            .await
            .unwrap();
        let courses = store
            .with_tenant(&actor, async |tx| {
                let mut courses = Vec::new();
                for _ in 0..starts {
                    courses.push(course::insert_course(tx, &inputs).await?.id);
                }
                Ok(courses)
            })
            .await
            .unwrap();
        people.push((actor, courses));
    }
    people
}
