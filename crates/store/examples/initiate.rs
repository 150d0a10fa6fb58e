//! How fast generations are started: `cargo run --release -p store --example initiate [clients] [starts a client]`.
//!
//! A private cluster with full durability in a temporary folder; each client is a person of an organization of its
//! own and starts one generation after another, on courses that are there already, as the API does. The first starts of
//! each client are told apart: they wait for connections to be made and statements to be planned.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on ends, and prints what it found"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::clock::{Clock, SystemClock};
use domain::course::CourseRequest;
use domain::generation::GenerationScope;
use domain::language::Language;
use domain::organization::Tier;
use domain::usage::MicroUsd;
use domain::user::Role;
use store::cluster::{ClusterConfig, Durability, Unobserved};
use store::generation::lifecycle::NewGeneration;
use store::generation::start::start_within_tier;
use store::user::{NewUser, insert_user};
use store::{Store, StoreConfig, course, organization, testkit, tier};
use tokio::task::JoinSet;

/// So many first starts of each client are told apart.
const COLD: usize = 3;

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
                    budget: MicroUsd(i64::MAX),
                    seed: 1,
                    options: serde_json::json!({}),
                    scope: GenerationScope::Whole,
                    user_limit: None,
                    global_limit: Some(100_000),
                    idempotency_key: None,
                    webhook_url: None,
                };
                let start = Instant::now();
                let mut tx = store.tenant(&actor).await.unwrap();
                start_within_tier(&mut tx, &new, SystemClock.now()).await.unwrap();
                tx.commit().await.unwrap();
                latencies.push(start.elapsed());
            }
            latencies
        });
    }
    let all: Vec<Vec<Duration>> = tasks.join_all().await;
    let rate = f64::from(clients * starts) / begun.elapsed().as_secs_f64();
    let of = |part: fn(&[Duration]) -> &[Duration]| {
        let mut latencies: Vec<Duration> = all.iter().flat_map(|times| part(times)).copied().collect();
        latencies.sort();
        [50, 95, 99].map(|share| {
            latencies[(latencies.len() * share / 100).min(latencies.len() - 1)].as_secs_f64() * 1e3
        })
    };
    let [cold50, cold95, cold99] = of(|times| &times[..COLD.min(times.len())]);
    let [p50, p95, p99] = of(|times| &times[COLD.min(times.len() - 1)..]);
    println!("{clients} clients, {starts} starts each: {rate:.0}/s");
    println!("  first {COLD} of each: p50 {cold50:.1} ms, p95 {cold95:.1} ms, p99 {cold99:.1} ms");
    println!("  later ones:      p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms");
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
    let superadmin = store
        .with_system(async |tx| organization::ensure_local_owner(tx).await)
        .await
        .unwrap();
    store
        .with_tenant(&superadmin, async |tx| {
            let mut premium = tier::get_tier_settings(tx, Tier::Premium).await?;
            premium.concurrent_generations = 100_000;
            tier::update_tier_settings(tx, &premium).await
        })
        .await
        .unwrap();
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
