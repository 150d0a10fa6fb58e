//! Housekeeping of several processes on one database.

use chrono::DateTime;
use domain::clock::{Clock, FixedClock};
use store::testkit::{TestDatabase, database};

use super::*;
use crate::config::{Config, Environment, Flags};

/// A moment after whatever the database itself notes, so that all of that is long ago.
const NOW_SECS: i64 = 4_000_000_000;

async fn process(database: &TestDatabase, folder: &tempfile::TempDir) -> Housekeeping {
    let flags = Flags {
        data_dir: Some(folder.path().to_path_buf()),
        ..Flags::default()
    };
    let config = Config::load(&flags, &Environment::default()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(DateTime::from_timestamp(NOW_SECS, 0).unwrap()));
    let store = Arc::new(database.open().await.unwrap());
    Housekeeping::new(Service::start(store, Arc::new(config), clock).await.unwrap()).unwrap()
}

#[tokio::test]
async fn one_process_keeps_house_and_another_goes_on_when_it_ends() {
    let (database, folder) = (database().await.unwrap(), tempfile::tempdir().unwrap());
    let (mut first, mut second) = (
        process(&database, &folder).await,
        process(&database, &folder).await,
    );
    let make_old = async || {
        let sql = "insert into system_metrics (event_type, severity) values ('quality_low', 'info')";
        database.arrange(sql).await.unwrap();
    };
    let left = async || {
        let sql = "select count(*) from system_metrics where event_type = 'quality_low'";
        database.number(sql).await.unwrap()
    };
    make_old().await;
    assert!(first.turn().await);
    assert_eq!(left().await, 0);
    make_old().await;
    assert!(!second.turn().await, "the first leads");
    assert_eq!(left().await, 1);
    assert!(first.turn().await, "and goes on to");
    assert_eq!(left().await, 0);

    // A shutdown lets the others go on at once.
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    first.run(&shutdown).await;
    make_old().await;
    assert!(second.turn().await);
    assert_eq!(left().await, 0);
}

#[tokio::test]
async fn alerts_follow_the_configured_minutes() {
    let (database, folder) = (database().await.unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(
        folder.path().join("coursewright.toml"),
        "[alerts]\nstuck_minutes = 30\n",
    )
    .unwrap();
    let flags = Flags {
        data_dir: Some(folder.path().to_path_buf()),
        config: Some(folder.path().join("coursewright.toml")),
    };
    let config = Config::load(&flags, &Environment::default()).unwrap();
    // Before whatever the database itself notes: nothing is old then.
    let moved_at = DateTime::from_timestamp(1_000_000_000, 0).unwrap();
    let clock = Arc::new(FixedClock::new(moved_at));
    let told: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let store = Arc::new(database.open().await.unwrap());
    let service = Service::start(store, Arc::new(config), told).await.unwrap();
    let mut house = Housekeeping::new(service).unwrap();
    database
        .arrange(&format!(
            "alter table courses disable trigger user; alter table organizations disable trigger user;
             insert into organizations (id, name, tier) values (gen_random_uuid(), 'Test', 'free');
             insert into users (id, organization_id, email, role)
               select gen_random_uuid(), id, 'ann@example.org', 'instructor' from organizations;
             insert into courses (id, organization_id, owner_id, slug, title, language, style)
               select gen_random_uuid(), organization_id, id, 'sql', 'SQL', 'en', 'practical' from users;
             insert into generations (id, course_id, organization_id, user_id, budget_usd_micros, seed)
               select gen_random_uuid(), id, organization_id, owner_id, 1, 1 from courses;
             update courses set generation_status = 'analyzing_task', updated_at = '{moved_at}',
               current_generation_id = (select id from generations)"
        ))
        .await
        .unwrap();
    let alerts = async || {
        let sql = "select count(*) from system_metrics where event_type = 'alert'";
        database.number(sql).await.unwrap()
    };
    clock.advance(TimeDelta::minutes(30));
    house.round().await;
    assert_eq!(alerts().await, 0);
    clock.advance(TimeDelta::seconds(1));
    house.round().await;
    assert_eq!(alerts().await, 1);
    house.round().await;
    assert_eq!(alerts().await, 1, "told again only after an hour");
}
