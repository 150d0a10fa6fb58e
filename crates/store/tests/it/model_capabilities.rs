//! What servers have taught of their models.

use serde_json::json;
use store::model_capability::{list_capabilities, save_capability};

use crate::world::World;

#[tokio::test]
async fn what_was_learnt_is_replaced_and_forgotten_after_a_week() {
    let world = World::new().await;
    let store = world.store();
    let save = async |address: &str, window: u32| {
        store
            .with_system(async |tx| {
                save_capability(tx, "p", address, "m", &json!({ "context_window": window })).await
            })
            .await
            .unwrap();
    };
    save("here/v1", 4096).await;
    save("there/v1", 8192).await;
    save("here/v1", 16_384).await;
    let known = async || {
        let stored = store
            .with_system(async |tx| list_capabilities(tx).await)
            .await
            .unwrap();
        let known = stored
            .into_iter()
            .map(|one| (one.address, one.capabilities["context_window"].clone()));
        known.collect::<Vec<_>>()
    };
    assert_eq!(
        known().await,
        [
            ("here/v1".to_owned(), json!(16_384)),
            ("there/v1".to_owned(), json!(8192))
        ]
    );
    sqlx::query(
        "update model_capabilities set learnt_at = now() - interval '8 days' where address = 'here/v1'",
    )
    .execute(&mut world.superuser().await)
    .await
    .unwrap();
    assert_eq!(known().await, [("there/v1".to_owned(), json!(8192))]);
}
