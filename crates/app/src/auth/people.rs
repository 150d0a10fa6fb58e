//! Who people are at the moment: asked of the database, remembered for a few seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::UserId;
use domain::user::Actor;
use store::Store;
use store::error::StoreError;
use store::organization::ensure_organization;
use store::user::{self, KnownUser};

use super::identity_provider::Described;
use super::rejection::{AuthError, Rejection};

/// For how long an answer holds: a changed role or a removed person is noticed by then.
const FRESH: TimeDelta = TimeDelta::seconds(15);
/// People that are remembered; when there are more, all are asked of again.
const MOST_REMEMBERED: usize = 10_000;

/// The people who called lately.
#[derive(Debug)]
pub(super) struct People {
    store: Arc<Store>,
    seen: Mutex<HashMap<UserId, Seen>>,
}

#[derive(Clone, Debug)]
struct Seen {
    actor: Actor,
    /// What a token said, for people of an identity provider.
    known: Option<KnownUser>,
    at: DateTime<Utc>,
}

impl People {
    /// Nobody has called yet.
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            seen: Mutex::default(),
        }
    }

    /// A person of this installation.
    ///
    /// # Errors
    /// [`Rejection::UnknownUser`] if there is none (any more).
    pub(super) async fn find(&self, id: UserId, now: DateTime<Utc>) -> Result<Actor, AuthError> {
        if let Some(seen) = self.recent(id, now) {
            return Ok(seen.actor);
        }
        let found = self
            .store
            .with_system(async move |tx| user::find_actor(tx, id).await)
            .await?;
        let actor = found.ok_or(Rejection::UnknownUser)?;
        self.remember(actor, None, now);
        Ok(actor)
    }

    /// A person whom a trusted token describes; they and their organization are added if they are new.
    ///
    /// # Errors
    /// [`Rejection::UnknownUser`] if they belong to another organization, or if somebody else has their address.
    pub(super) async fn follow(&self, described: &Described, now: DateTime<Utc>) -> Result<Actor, AuthError> {
        let known = &described.user;
        if let Some(seen) = self.recent(known.user_id, now)
            && seen.known.as_ref() == Some(known)
        {
            return Ok(seen.actor);
        }
        let (wanted, tier) = (known.clone(), described.tier);
        let ensured = self.store.with_system(async move |tx| {
            let name = format!("Organization {}", wanted.organization_id);
            ensure_organization(tx, wanted.organization_id, &name, tier).await?;
            user::ensure_user(tx, &wanted).await
        });
        match ensured.await {
            Ok(actor) => {
                self.remember(actor, Some(known.clone()), now);
                Ok(actor)
            }
            Err(error @ (StoreError::Forbidden(_) | StoreError::Conflict(_))) => {
                tracing::warn!(%error, user_id = %known.user_id, "the person of a valid token is not let in");
                Err(Rejection::UnknownUser.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets what was known of a person who has just been changed here.
    pub(super) fn forget(&self, id: UserId) {
        self.seen().remove(&id);
    }

    fn recent(&self, id: UserId, now: DateTime<Utc>) -> Option<Seen> {
        self.seen().get(&id).filter(|seen| now - seen.at < FRESH).cloned()
    }

    fn remember(&self, actor: Actor, known: Option<KnownUser>, now: DateTime<Utc>) {
        let mut seen = self.seen();
        if seen.len() >= MOST_REMEMBERED {
            seen.clear();
        }
        seen.insert(
            actor.user_id,
            Seen {
                actor,
                known,
                at: now,
            },
        );
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<UserId, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
