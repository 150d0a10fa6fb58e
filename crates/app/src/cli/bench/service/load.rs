//! What the service is loaded with.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use domain::course::CourseRequest;
use domain::id::CourseId;
use domain::language::Language;
use domain::organization::Tier;
use domain::user::{Actor, Role};
use store::course::insert_course;
use store::generation::lifecycle::{ProgressFacts, begin_stage, report_progress};
use store::generation::request_cancel;
use store::organization::insert_organization;
use store::queue::claim;
use store::tier::{get_tier_settings, update_tier_settings};
use store::tx::SystemTx;
use store::user::{NewUser, insert_user};
use store::worker::{self, WorkerIdentity};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Times, http};
use crate::failure::{Exit, Failure};
use crate::service::Service;

/// Clients at once (service 4.9).
pub(super) const CLIENTS: usize = 32;
/// Starts of each client.
const STARTS: usize = 40;
/// The first ones of them, which are told apart.
const COLD: usize = 3;
/// Progress writes.
const WRITES: u32 = 300;
/// How long the job is held whose progress is written.
const LEASE: Duration = Duration::from_mins(20);
/// The capacity of a worker that exists on paper, so that the limit of the installation does not come first.
const CAPACITY: u32 = 1000;

/// People with tokens.
pub(super) struct Load<'a> {
    pub(super) service: &'a Arc<Service>,
    port: u16,
    pub(super) people: Vec<(Actor, String)>,
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

    /// Starts generations over HTTP, all clients at once. Returns the times of each client's first starts, which wait
    /// for connections to be made and statements to be planned, and those of all later ones.
    pub(super) async fn initiate(&mut self) -> Result<(Times, Times), Failure> {
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
        let (mut cold, mut warm) = (Vec::new(), Vec::new());
        while let Some(done) = tasks.join_next().await {
            let times = done.map_err(|error| Failure::of(domain::error::ErrorKind::Internal, &error))??;
            cold.extend(&times[..COLD.min(times.len())]);
            warm.extend(&times[COLD.min(times.len())..]);
        }
        self.started = started;
        Ok((Times::of(cold), Times::of(warm)))
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
                claim(tx, identity.id, None, LEASE).await
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

    /// Makes a course of 2 sections and 10 lessons.
    pub(super) async fn course(&self, actor: &Actor) -> Result<CourseId, Failure> {
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
