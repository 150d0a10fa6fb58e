//! Documents: quotas are exact, equal content is stored once, no file stays behind (service 4.4).

use std::sync::Arc;

use domain::organization::Tier;
use domain::user::Role;
use store::document;
use store::error::StoreError;
use store::tier::TierSettings;
use store::tx::TenantTx;
use tokio::task::JoinSet;

use crate::library;
use crate::world::{World, colleague, new_document, upload};

fn limits(files: u32, bytes: u64) -> TierSettings {
    TierSettings {
        tier: Tier::Standard,
        priority: 5,
        concurrent_generations: 3,
        max_file_bytes: 1000,
        max_files_per_course: files,
        storage_bytes: bytes,
        formats: vec!["txt".to_owned()],
        generation_budget: domain::usage::MicroUsd(1),
        trial_days: None,
    }
}

async fn used(world: &World) -> i64 {
    sqlx::query_scalar("select storage_used_bytes from organizations where id = $1")
        .bind(world.owner.organization_id.as_uuid())
        .fetch_one(&mut world.superuser().await)
        .await
        .unwrap()
}

async fn removed(world: &World) -> Vec<String> {
    world
        .store()
        .with_system(async |tx| document::list_removed_files(tx, 100).await)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_quota_is_exact_after_fifty_uploads_at_once() {
    let world = World::new().await;
    let store = Arc::new(world.database.open().await.unwrap());
    let mut courses = Vec::new();
    for number in 0..5 {
        courses.push(world.course(&format!("Course {number}")).await.id);
    }
    let mut uploads = JoinSet::new();
    for number in 0..50 {
        let (store, owner, course) = (Arc::clone(&store), world.owner, courses[number % 5]);
        uploads.spawn(async move {
            // 50 of 100 bytes want a place; there is room for 20, and every third is not finished.
            let limits = limits(10, 2000);
            let reserve =
                async move |tx: &mut TenantTx| document::reserve_upload(tx, course, 100, &limits).await;
            let reserved = store.with_tenant(&owner, reserve).await?;
            let mut system = store.system().await?;
            if number % 3 == 0 {
                document::release_upload(&mut system, reserved.id).await?;
                system.commit().await?;
                return Ok(0);
            }
            let new = new_document("a.txt", format!("{number:0100}").as_bytes());
            document::finish_upload(&mut system, reserved.id, &new).await?;
            system.commit().await?;
            Ok::<i64, StoreError>(100)
        });
    }
    let mut kept = 0;
    for outcome in uploads.join_all().await {
        match outcome {
            Ok(bytes) => kept += bytes,
            Err(StoreError::QuotaExceeded {
                used,
                limit: 2000,
                size: 100,
            }) => assert!(used > 1900),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(kept <= 2000);
    assert_eq!(used(&world).await, kept);
    let stored: i64 = sqlx::query_scalar("select sum(size_bytes)::bigint from blobs")
        .fetch_one(&mut world.superuser().await)
        .await
        .unwrap();
    assert_eq!(stored, kept);
    let left: i64 = sqlx::query_scalar("select count(*) from upload_reservations")
        .fetch_one(&mut world.superuser().await)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_course_has_no_more_files_than_it_may() {
    let world = World::new().await;
    let store = Arc::new(world.database.open().await.unwrap());
    let course = world.course("Files").await.id;
    let mut uploads = JoinSet::new();
    for _ in 0..10 {
        let (store, owner) = (Arc::clone(&store), world.owner);
        uploads.spawn(async move {
            let limits = limits(3, 1_000_000);
            let reserve =
                async move |tx: &mut TenantTx| document::reserve_upload(tx, course, 1, &limits).await;
            store.with_tenant(&owner, reserve).await
        });
    }
    let (made, refused): (Vec<_>, Vec<_>) = uploads.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (3, 7));
    for error in refused.into_iter().filter_map(Result::err) {
        assert!(
            matches!(error, StoreError::TooManyFiles { current: 3, limit: 3 }),
            "{error:?}"
        );
    }
    assert_eq!(used(&world).await, 3);
}

#[tokio::test]
async fn a_file_that_fails_again_and_again_stands_there_once() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Files").await.id;
    for content in ["one", "two"] {
        let uploaded = upload(store, &world.owner, course, "a.pdf", content.as_bytes()).await;
        let claim = library::claimed(store, uploaded.document.id).await;
        store
            .with_system(async |tx| store::ingestion::fail(tx, &claim, "malformed", content).await)
            .await
            .unwrap();
    }
    let listed = store
        .with_tenant(&world.owner, async |tx| {
            document::list_documents(tx, course).await
        })
        .await
        .unwrap();
    let told: Vec<String> = listed
        .into_iter()
        .filter_map(|document| document.failure.map(|failure| failure.message))
        .collect();
    assert_eq!((told, used(&world).await), (vec!["two".to_owned()], 3));
}

#[tokio::test]
async fn equal_content_is_stored_once_until_its_last_document_goes() {
    let world = World::new().await;
    let store = world.store();
    let (one, two) = (world.course("One").await.id, world.course("Two").await.id);
    let first = upload(store, &world.owner, one, "a.txt", b"the same").await;
    let second = upload(store, &world.owner, two, "b.txt", b"the same").await;
    assert_eq!(first.duplicate_of_key, None);
    assert_eq!(
        second.duplicate_of_key.as_ref(),
        Some(&first.document.storage_key)
    );
    assert_eq!(second.document.storage_key, first.document.storage_key);
    assert_eq!(used(&world).await, 8);
    let copies = removed(&world).await;
    assert_eq!(copies.len(), 1, "the second copy's bytes are to go");
    store
        .with_system(async |tx| document::forget_removed_files(tx, &copies).await)
        .await
        .unwrap();

    let delete = async |id| {
        store
            .with_tenant(&world.owner, async |tx| document::delete_document(tx, id).await)
            .await
            .unwrap()
    };
    assert_eq!(delete(first.document.id).await, None);
    assert_eq!(used(&world).await, 8);
    assert_eq!(
        delete(second.document.id).await.as_ref(),
        Some(&first.document.storage_key)
    );
    assert_eq!(used(&world).await, 0);
    assert_eq!(
        removed(&world).await,
        std::slice::from_ref(&first.document.storage_key)
    );
    // The same content once more gets a place of its own.
    let third = upload(store, &world.owner, one, "c.txt", b"the same").await;
    assert_ne!(third.document.storage_key, first.document.storage_key);
}

#[tokio::test]
async fn what_a_deleted_course_stored_is_given_back() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Doomed").await.id;
    let kept = upload(store, &world.owner, course, "a.txt", b"content").await;
    let reserved = store
        .with_tenant(&world.owner, async |tx| {
            document::reserve_upload(tx, course, 50, &limits(5, 1000)).await
        })
        .await
        .unwrap();
    assert_eq!(used(&world).await, 57);
    store
        .with_tenant(&world.owner, async |tx| {
            store::course::delete_course(tx, course).await
        })
        .await
        .unwrap();
    assert_eq!(used(&world).await, 0);
    let mut expected = [kept.document.storage_key, reserved.storage_key];
    expected.sort();
    let mut found = removed(&world).await;
    found.sort();
    assert_eq!(found, expected);
    let late = store
        .with_system(async |tx| {
            document::finish_upload(tx, reserved.id, &new_document("b.txt", b"late")).await
        })
        .await;
    assert!(matches!(late, Err(StoreError::NotFound { .. })), "{late:?}");
}

#[tokio::test]
async fn a_reservation_ends_after_its_hour() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Slow").await.id;
    let reserved = store
        .with_tenant(&world.owner, async |tx| {
            document::reserve_upload(tx, course, 50, &limits(5, 1000)).await
        })
        .await
        .unwrap();
    let release = async || {
        store
            .with_system(async |tx| document::release_expired_uploads(tx).await)
            .await
            .unwrap()
    };
    assert_eq!(release().await, Vec::<String>::new());
    sqlx::query("update upload_reservations set expires_at = now() - interval '1 s'")
        .execute(&mut world.superuser().await)
        .await
        .unwrap();
    assert_eq!(release().await, [reserved.storage_key]);
    assert_eq!(used(&world).await, 0);
}

#[tokio::test]
async fn documents_belong_to_the_owner_of_their_course() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Mine").await.id;
    let kept = upload(store, &world.owner, course, "a.txt", b"content")
        .await
        .document;
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let other = colleague(store, &world.owner, Role::Instructor, "other@alpha.example").await;
    let seen = store
        .with_tenant(&admin, async |tx| document::list_documents(tx, course).await)
        .await
        .unwrap();
    assert_eq!(seen, std::slice::from_ref(&kept));
    let refused = store
        .with_tenant(&admin, async |tx| document::delete_document(tx, kept.id).await)
        .await;
    assert!(matches!(refused, Err(StoreError::Forbidden(_))), "{refused:?}");
    let refused = store
        .with_tenant(&other, async |tx| document::get_document(tx, kept.id).await)
        .await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
    let refused = store
        .with_tenant(&other, async |tx| {
            document::reserve_upload(tx, course, 1, &limits(5, 100)).await
        })
        .await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
}
