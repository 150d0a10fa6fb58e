//! Which process leads: one at a time, and another as soon as it is gone.

use crate::world::World;

#[tokio::test]
async fn one_process_leads_until_it_lets_go() {
    let world = World::new().await;
    let other = world.database.open().await.unwrap();
    let mut lead = world.store().try_lead().await.unwrap().unwrap();
    assert!(lead.holds().await);
    assert!(other.try_lead().await.unwrap().is_none());
    assert!(
        world.store().try_lead().await.unwrap().is_none(),
        "nor the same once more"
    );
    lead.let_go().await.unwrap();
    assert!(other.try_lead().await.unwrap().unwrap().holds().await);
}

#[tokio::test]
async fn a_lost_connection_ends_the_lead() {
    let world = World::new().await;
    let other = world.database.open().await.unwrap();
    let mut lead = world.store().try_lead().await.unwrap().unwrap();
    // What the end of the process, and a restart of the server, do. It returns when the server's process has ended.
    let ended: bool = sqlx::query_scalar(
        "select bool_and(pg_terminate_backend(pid, 10000)) from pg_locks
         where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())",
    )
    .fetch_one(&mut world.superuser().await)
    .await
    .unwrap();
    assert!(ended);
    assert!(!lead.holds().await);
    assert!(other.try_lead().await.unwrap().is_some());
}
