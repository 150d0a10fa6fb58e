//! `generation.onProgress`: what happens to a generation, told as it happens, and again after a lost connection.

use std::collections::VecDeque;

use domain::generation::GenerationStatus;
use domain::id::{CourseId, GenerationId};
use domain::user::Actor;
use futures::StreamExt;
use futures::stream;
use schemars::JsonSchema;
use serde::Deserialize;
use store::event::{GenerationEvent, latest_event_id, list_events};
use store::generation::{Failure, StageDuration, get_generation};

use super::status::{GenerationState, Moment, present};
use crate::procedures::courses::get_as_insider;
use crate::procedures::error::{ApiError, ErrorCode};
use crate::procedures::words::Text;
use crate::procedures::{Call, ItemStream, StreamItem};
use crate::service::progress::Watch;

/// So many events are read at once.
const BATCH: u32 = 100;

/// Which generation is followed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FollowInput {
    /// The course.
    course_id: CourseId,
    /// Goes on after this event: the id of the last one that was received.
    #[schemars(regex(pattern = "^[0-9]{1,18}$"))]
    last_event_id: Option<String>,
}

/// A follower.
struct Follower {
    call: Call,
    actor: Actor,
    course_id: CourseId,
    watch: Watch,
    /// The last event that was told.
    after: i64,
    waiting: VecDeque<Result<StreamItem, ApiError>>,
    /// The highest percentage that was told of this generation.
    told: Option<(GenerationId, u8)>,
    is_ended: bool,
}

/// Tells where the generation stands, then every change until it ends. With `lastEventId`, tells every change since.
pub(super) async fn follow(call: Call, input: FollowInput) -> Result<ItemStream, ApiError> {
    let actor = call.actor()?;
    let course_id = input.course_id;
    // Whether one may follow is asked before a place is taken.
    let seen = look(&call, &actor, course_id).await?;
    let limit = call.service.config.settings.limits.subscriptions_per_user;
    let watch = call
        .service
        .progress
        .watch(course_id, actor.user_id, limit)
        .ok_or_else(|| {
            ApiError::new(ErrorCode::RateLimited).says(Text::new(
                format!("You have {limit} open subscriptions; no more are allowed."),
                format!("Открыто подписок: {limit}. Больше открыть нельзя."),
            ))
        })?;
    let mut follower = Follower {
        actor,
        course_id,
        watch,
        after: 0,
        waiting: VecDeque::new(),
        told: None,
        is_ended: false,
        call,
    };
    match input.last_event_id.and_then(|id| id.parse::<i64>().ok()) {
        Some(last) => follower.after = last,
        None => follower.tell_present(seen).await?,
    }
    follower.count();
    let ending = follower.call.service.shutdown.clone();
    let items = stream::unfold(follower, |mut follower| async move {
        let item = follower.next().await?;
        Some((item, follower))
    });
    Ok(items.take_until(ending.cancelled_owned()).boxed())
}

/// The number of the latest event, read before the state that it led to.
async fn look(call: &Call, actor: &Actor, id: CourseId) -> Result<i64, ApiError> {
    let actor = *actor;
    let latest = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            get_as_insider(tx, &actor, id).await?;
            latest_event_id(tx, id).await
        })
        .await?;
    Ok(latest)
}

impl Follower {
    /// What is to be told next; `None`: nothing more will happen.
    async fn next(&mut self) -> Option<Result<StreamItem, ApiError>> {
        // Who goes on after an event may have been told the end already.
        let mut may_be_over = self.told.is_none();
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return Some(item);
            }
            if self.is_ended {
                return None;
            }
            // Both taken before looking: a change between the look and the wait rings the bell, and an end is told
            // before it is obeyed.
            let bell = self.watch.next();
            let is_over = may_be_over && self.is_over().await;
            match self.read().await {
                Ok(0) if is_over => return None,
                Ok(0) => may_be_over = !bell.await,
                Ok(_) => {}
                Err(error) => {
                    self.is_ended = true;
                    return Some(Err(error));
                }
            }
        }
    }

    /// The state as it is now, as the first thing that is told.
    async fn tell_present(&mut self, latest: i64) -> Result<(), ApiError> {
        self.after = latest;
        let (course, state) = present(&self.call, self.course_id).await?;
        let id = (latest > 0).then(|| latest.to_string());
        self.tell(id, course.current_generation_id, state);
        self.is_ended = course.generation_status.is_some_and(|status| !status.is_active());
        Ok(())
    }

    /// Reads what has happened; returns how much it was.
    async fn read(&mut self) -> Result<usize, ApiError> {
        let (course_id, after) = (self.course_id, self.after);
        let service = self.call.service.clone();
        let (events, failure) = service
            .store
            .with_tenant(&self.actor, async move |tx| {
                let events = list_events(tx, course_id, after, BATCH).await?;
                let failure = match events.last() {
                    Some(last) if last.payload.status == GenerationStatus::Failed => {
                        get_generation(tx, last.generation_id).await?.failure
                    }
                    _ => None,
                };
                Ok((events, failure))
            })
            .await?;
        let Some(last) = events.last().map(|event| event.id) else {
            return Ok(0);
        };
        let usual = service.estimates.usual(&service.store).await?;
        for event in &events {
            let failure = failure.as_ref().filter(|_| event.id == last);
            self.take(event, failure, &usual);
        }
        // A whole batch: there may be more, of a later generation too.
        self.is_ended &= events.len() < BATCH as usize;
        Ok(events.len())
    }

    fn take(&mut self, event: &GenerationEvent, failure: Option<&Failure>, usual: &[StageDuration]) {
        self.after = event.id;
        let moment = Moment {
            course_id: self.course_id,
            generation_id: Some(event.generation_id),
            status: Some(event.payload.status),
            progress: &event.payload.progress,
            metadata: &event.payload.metadata,
            failure,
            now: self.call.service.clock.now(),
        };
        let state = GenerationState::new(&moment, usual, self.call.speech);
        self.tell(Some(event.id.to_string()), Some(event.generation_id), state);
        // An end that a later generation followed is only told, not obeyed.
        self.is_ended = !event.payload.status.is_active();
    }

    fn tell(&mut self, id: Option<String>, generation: Option<GenerationId>, mut state: GenerationState) {
        if let Some(generation) = generation {
            let before = match self.told {
                Some((told, percentage)) if told == generation => percentage,
                _ => 0,
            };
            self.told = Some((generation, state.at_least(before)));
        }
        let item = serde_json::to_value(state)
            .map(|data| StreamItem { id, data })
            .map_err(|error| ApiError::internal(&error));
        self.waiting.push_back(item);
    }

    /// Whether the generation has ended, or the course is out of sight.
    async fn is_over(&self) -> bool {
        let (actor, id) = (self.actor, self.course_id);
        let course = self
            .call
            .service
            .store
            .with_tenant(&actor, async move |tx| get_as_insider(tx, &actor, id).await)
            .await;
        match course {
            Ok(course) => course.generation_status.is_some_and(|status| !status.is_active()),
            Err(error) => !error.is_transient(),
        }
    }

    fn count(&self) {
        let service = &self.call.service;
        service.metrics.subscriptions(service.progress.watchers());
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let service = &self.call.service;
        // This one is still counted: its place is given back right after.
        service
            .metrics
            .subscriptions(service.progress.watchers().saturating_sub(1));
    }
}
