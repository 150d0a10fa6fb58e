//! Who waits for the progress of which course: one listening connection a process wakes all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use domain::id::{CourseId, UserId};
use store::hint::{Channel, Hint};
use tokio::sync::Notify;

use super::Service;

/// How long the listener rests after it could not connect.
const REST: Duration = Duration::from_secs(1);
/// A hint may be lost: watchers look by themselves after so long.
const LOOK_ANYWAY: Duration = Duration::from_secs(10);

/// The watchers of this process.
#[derive(Debug, Default)]
pub(crate) struct ProgressHub {
    courses: Mutex<HashMap<CourseId, Weak<Notify>>>,
    users: Mutex<HashMap<UserId, usize>>,
}

/// A place in the hub; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    hub: Arc<ProgressHub>,
    course_id: CourseId,
    user_id: UserId,
    bell: Arc<Notify>,
}

impl ProgressHub {
    /// A place for a watcher, or `None` if the person has `limit` of them.
    pub(crate) fn watch(
        self: &Arc<Self>,
        course_id: CourseId,
        user_id: UserId,
        limit: usize,
    ) -> Option<Watch> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let places = users.entry(user_id).or_default();
        if *places >= limit {
            return None;
        }
        *places += 1;
        drop(users);
        let mut courses = self.courses.lock().unwrap_or_else(PoisonError::into_inner);
        let bell = courses
            .get(&course_id)
            .and_then(Weak::upgrade)
            .unwrap_or_else(|| {
                let bell = Arc::new(Notify::new());
                courses.insert(course_id, Arc::downgrade(&bell));
                bell
            });
        Some(Watch {
            hub: Arc::clone(self),
            course_id,
            user_id,
            bell,
        })
    }

    /// How many watch.
    pub(crate) fn watchers(&self) -> usize {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.values().sum()
    }

    fn ring(&self, course_id: CourseId) {
        let mut courses = self.courses.lock().unwrap_or_else(PoisonError::into_inner);
        match courses.get(&course_id).map(Weak::upgrade) {
            Some(Some(bell)) => bell.notify_waiters(),
            // The last watcher left while its bell was in use.
            Some(None) => {
                courses.remove(&course_id);
            }
            None => {}
        }
    }

    fn ring_all(&self) {
        let courses = self.courses.lock().unwrap_or_else(PoisonError::into_inner);
        for bell in courses.values().filter_map(Weak::upgrade) {
            bell.notify_waiters();
        }
    }
}

impl Watch {
    /// Resolves when the course's progress may have changed: true by a hint, false because it is time to look anyway.
    /// Take it **before** looking, so that nothing falls between the look and the wait.
    pub(crate) fn next(&self) -> impl Future<Output = bool> + Send + use<> {
        let rung = Arc::clone(&self.bell).notified_owned();
        async move { tokio::time::timeout(LOOK_ANYWAY, rung).await.is_ok() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut users = self.hub.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = users.get_mut(&self.user_id) {
            *places -= 1;
            if *places == 0 {
                users.remove(&self.user_id);
            }
        }
        drop(users);
        let mut courses = self.hub.courses.lock().unwrap_or_else(PoisonError::into_inner);
        // This one still counts; nobody else can join while the lock is held.
        if Arc::strong_count(&self.bell) == 1 {
            courses.remove(&self.course_id);
        }
    }
}

/// Hears what changes in all processes and passes it on, until the process ends.
pub(super) async fn listen(service: Arc<Service>) {
    let ending = service.shutdown.clone();
    tokio::select! {
        () = ending.cancelled() => {}
        () = hear(&service) => {}
    }
}

async fn hear(service: &Service) {
    loop {
        match service
            .store
            .listen_for(&[Channel::Progress, Channel::Tiers])
            .await
        {
            Ok(mut listener) => {
                // What happened before it listened is unknown.
                service.progress.ring_all();
                service.tiers.forget();
                loop {
                    match listener.hint().await {
                        Ok(Hint::Progress(course_id)) => service.progress.ring(course_id),
                        Ok(Hint::Tiers) => service.tiers.forget(),
                        Ok(Hint::Reconnected) => {
                            service.progress.ring_all();
                            service.tiers.forget();
                        }
                        Ok(Hint::Jobs | Hint::Webhooks) => {}
                        Err(error) => {
                            tracing::warn!(%error, "the connection for hints is lost");
                            break;
                        }
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the connection for hints cannot be made"),
        }
        tokio::time::sleep(REST).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn watchers_are_woken_and_their_places_given_back() {
        let hub = Arc::new(ProgressHub::default());
        let (course, user) = (CourseId::generate(), UserId::generate());
        let first = hub.watch(course, user, 2).unwrap();
        let second = hub.watch(course, user, 2).unwrap();
        assert!(hub.watch(course, user, 2).is_none());
        let rung = first.next();
        hub.ring(CourseId::generate());
        hub.ring(course);
        assert!(rung.await);
        drop(first);
        assert!(
            hub.courses.lock().unwrap().contains_key(&course),
            "the second still watches"
        );
        drop(second);
        assert_eq!(hub.watchers(), 0);
        assert!(hub.courses.lock().unwrap().is_empty());
    }
}
