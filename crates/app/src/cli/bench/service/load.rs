//! What the service is loaded with.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use domain::clock::SystemClock;
use domain::course::CourseRequest;
use domain::generation::GenerationScope;
use domain::id::CourseId;
use domain::language::Language;
use domain::organization::Tier;
use domain::user::{Actor, Role};
use llm::card::{Cards, ModelCard};
use llm::gateway::Models;
use llm::provider::scripted::answers::schema_answers;
use llm::provider::scripted::{Script, Scripted, WordEmbedder};
use llm::request::Request;
use llm::route::Routes;
use serde_json::json;
use store::course::insert_course;
use store::generation::lifecycle::{
    NewGeneration, ProgressFacts, begin_stage, report_progress, start_generation,
};
use store::generation::request_cancel;
use store::metric::count_ends;
use store::organization::insert_organization;
use store::queue::claim;
use store::tier::{get_tier_settings, update_tier_settings};
use store::tx::SystemTx;
use store::user::{NewUser, insert_user};
use store::worker::{self, WorkerIdentity};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Row, Times, http, plain, resident_mb};
use crate::cli::serve::worker_of;
use crate::failure::{Exit, Failure};
use crate::service::Service;
use crate::worker::{Gate, ModelSet};

/// Clients at once (service 4.9).
pub(super) const CLIENTS: usize = 32;
/// Starts of each client.
const STARTS: usize = 20;
/// Progress writes.
const WRITES: u32 = 300;
/// Generations at once (service 4.9).
pub(super) const AT_ONCE: usize = 200;
/// How long a call of the provider takes (service 4.9).
const LATENCY: Duration = Duration::from_secs(2);
/// How long all of them may take.
const PATIENCE: Duration = Duration::from_mins(20);
/// The capacity of a worker that exists on paper, so that the limit of the installation does not come first.
const CAPACITY: u32 = 10_000;

/// People with tokens.
pub(super) struct Load<'a> {
    service: &'a Arc<Service>,
    port: u16,
    people: Vec<(Actor, String)>,
    started: Vec<(Actor, CourseId)>,
}

impl<'a> Load<'a> {
    /// Makes an organization whose people may have as many generations at once as they like.
    pub(super) async fn prepare(service: &'a Arc<Service>, port: u16) -> Result<Self, Failure> {
        let identity = WorkerIdentity::of_this_process();
        let actors = service
            .store
            .with_system(async move |tx: &mut SystemTx| {
                worker::register(tx, &identity, CAPACITY).await?;
                let organization_id = insert_organization(tx, "Bench", Tier::Premium).await?;
                let mut actors = Vec::new();
                for number in 0..=CLIENTS {
                    let new = NewUser {
                        organization_id,
                        email: format!("client{number}@example.org"),
                        name: None,
                        role: if number == CLIENTS {
                            Role::Superadmin
                        } else {
                            Role::Instructor
                        },
                        password_hash: None,
                    };
                    actors.push(insert_user(tx, &new).await?);
                }
                Ok(actors)
            })
            .await?;
        if let Some(superadmin) = actors.last() {
            service
                .store
                .with_tenant(superadmin, async |tx| {
                    let mut settings = get_tier_settings(tx, Tier::Premium).await?;
                    settings.concurrent_generations = 1000;
                    update_tier_settings(tx, &settings).await
                })
                .await?;
        }
        let mut people = Vec::new();
        for actor in actors.into_iter().take(CLIENTS) {
            let token = service
                .auth
                .sign(&actor, TimeDelta::hours(2))
                .map_err(|error| Failure::of(domain::error::ErrorKind::Internal, &error))?;
            people.push((actor, token.token));
        }
        Ok(Self {
            service,
            port,
            people,
            started: Vec::new(),
        })
    }

    /// Starts generations over HTTP, all clients at once.
    pub(super) async fn initiate(&mut self) -> Result<Times, Failure> {
        let mut tasks = JoinSet::new();
        let mut started = Vec::new();
        for (actor, token) in &self.people {
            let mut courses = Vec::new();
            for _ in 0..STARTS {
                let id = self.course(actor).await?;
                started.push((*actor, id));
                courses.push(id.to_string());
            }
            let (port, token) = (self.port, token.clone());
            tasks.spawn(async move { http::initiate(port, &token, &courses).await });
        }
        let mut times = Vec::new();
        while let Some(done) = tasks.join_next().await {
            times.extend(done.map_err(|error| Failure::of(domain::error::ErrorKind::Internal, &error))??);
        }
        self.started = started;
        Ok(Times::of(times))
    }

    /// Cancels what was started over HTTP, so that it does not count among those that are run.
    pub(super) async fn cancel_started(&mut self) -> Result<(), Failure> {
        for (actor, id) in self.started.drain(..) {
            self.service
                .store
                .with_tenant(&actor, async |tx| request_cancel(tx, id).await)
                .await?;
        }
        Ok(())
    }

    /// Writes progress of one generation, and times until a subscriber hears of it.
    pub(super) async fn progress(&self) -> Result<(Times, Times), Failure> {
        let store = &self.service.store;
        let identity = WorkerIdentity::of_this_process();
        let claimed = store
            .with_system(async |tx| {
                worker::register(tx, &identity, 1).await?;
                claim(tx, identity.id, None, PATIENCE).await
            })
            .await?
            .ok_or_else(|| Failure::new(Exit::Failure, "no generation was started"))?;
        let (lease, job) = (claimed.lease, claimed.job);
        store
            .with_system(async |tx| begin_stage(tx, &lease, &job, "0").await)
            .await?;
        let token = self
            .people
            .iter()
            .find(|(actor, _)| actor.user_id == claimed.user_id)
            .map(|(_, token)| token.clone())
            .unwrap_or_default();
        let course = job.course_id.to_string();
        let mut subscriber = http::subscribe(self.port, &token, &course).await?;
        // The first event tells how it stands.
        subscriber.hear("data:").await?;
        let (mut written, mut heard) = (Vec::new(), Vec::new());
        for number in 1..=WRITES {
            let message = format!("write-{number}-");
            let begun = Instant::now();
            store
                .with_system(async |tx| {
                    report_progress(tx, &lease, &job, &message, ProgressFacts::default()).await
                })
                .await?;
            written.push(begun.elapsed());
            let committed = Instant::now();
            subscriber.hear(&message).await?;
            heard.push(committed.elapsed());
        }
        Ok((Times::of(written), Times::of(heard)))
    }

    /// Runs generations at once in one worker.
    pub(super) async fn many_at_once(&self) -> Result<Row, Failure> {
        let store = &self.service.store;
        let (actor, _) = &self.people[0];
        for _ in 0..AT_ONCE {
            let course_id = self.course(actor).await?;
            let new = NewGeneration {
                course_id,
                budget: domain::usage::MicroUsd::from_usd(1.0),
                seed: 1,
                options: json!({}),
                scope: GenerationScope::Whole,
                user_limit: None,
                global_limit: None,
                webhook_url: None,
                idempotency_key: None,
            };
            store
                .with_tenant(actor, async |tx| start_generation(tx, &new).await)
                .await?;
        }
        let gate = Gate::new(Arc::clone(&self.service.metrics));
        let models = ModelSet::given(models(&gate)?);
        let worker = worker_of(self.service, models, gate);
        let since = self.service.clock.now();
        let (shutdown, begun) = (CancellationToken::new(), Instant::now());
        let mut running = JoinSet::new();
        let token = shutdown.clone();
        running.spawn(async move { worker.run_all(&token).await });
        let all = AT_ONCE;
        let (mut ended, mut peak) = (0, 0.0_f64);
        while ended < all && begun.elapsed() < PATIENCE {
            sleep(Duration::from_millis(500)).await;
            let ends = store
                .with_system(async move |tx: &mut SystemTx| count_ends(tx, since).await)
                .await?;
            ended = usize::try_from(ends.completed).unwrap_or_default();
            peak = peak.max(resident_mb(std::process::id(), "VmRSS"));
        }
        let wall = begun.elapsed().as_secs_f64();
        shutdown.cancel();
        while running.join_next().await.is_some() {}
        Ok(plain(
            "200 generations at once, 2 s a call",
            format!(
                "{ended} of {all} completed in {wall:.0} s, {} lost, {peak:.0} MB",
                all - ended
            ),
            "all, 400 MB",
        ))
    }

    async fn course(&self, actor: &Actor) -> Result<CourseId, Failure> {
        let request = CourseRequest {
            title: "Python loops and functions for beginners".to_owned(),
            language: Some("en".to_owned()),
            desired_modules_count: Some(2),
            desired_lessons_count: Some(10),
            ..CourseRequest::default()
        };
        let (inputs, _) = request
            .check(Language::English)
            .map_err(|errors| Failure::inputs(&errors))?;
        let course = self
            .service
            .store
            .with_tenant(actor, async |tx| insert_course(tx, &inputs).await)
            .await?;
        Ok(course.id)
    }
}

fn models(gate: &Arc<Gate>) -> Result<Models, Failure> {
    let answers = schema_answers(1, Language::English);
    let script: Script =
        Arc::new(move |request: &Request, call: usize| answers(request, call).after(LATENCY));
    let provider = Scripted::new("scripted", script).with_max_parallel(AT_ONCE * 16);
    let mut cards = Cards::default();
    cards.insert(ModelCard {
        context_window: 131_072,
        ..ModelCard::assumed("scripted", "scripted")
    });
    let builder = Models::builder(
        cards,
        Routes::single("scripted"),
        Arc::new(WordEmbedder::new(256).lenient()),
    );
    Ok(builder
        .provider(gate.guard(Arc::new(provider)))
        .build(Arc::new(SystemClock))?)
}
