//! People, their passwords, sessions and keys.

use chrono::{DateTime, Duration, Utc};
use domain::id::{OrganizationId, UserId};
use domain::organization::Tier;
use domain::user::{Actor, Role};
use store::api_key::{self, NewApiKey, Scope};
use store::error::StoreError;
use store::session::{self, Rotation};
use store::user::{self, KnownUser, NewUser};
use store::{audit, organization, tier};

use crate::world::{World, colleague, person};

fn noon() -> DateTime<Utc> {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

async fn rotate(world: &World, token: u8, next: u8, now: DateTime<Utc>) -> Rotation {
    rotate_as(world, None, token, next, now).await
}

async fn rotate_as(world: &World, client: Option<u8>, token: u8, next: u8, now: DateTime<Utc>) -> Rotation {
    let client = client.map(|client| [client; 32]);
    world
        .store()
        .with_system(async |tx| {
            let expires_at = now + Duration::days(30);
            session::rotate_session(tx, [token; 32], [next; 32], now, expires_at, client).await
        })
        .await
        .unwrap()
}

async fn sign_in(world: &World, actor: &Actor, token: u8) {
    world
        .store()
        .with_system(async |tx| {
            session::insert_session(tx, actor.user_id, [token; 32], noon() + Duration::days(30)).await
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_refresh_token_that_comes_twice_ends_its_line() {
    let world = World::new().await;
    sign_in(&world, &world.owner, 1).await;
    sign_in(&world, &world.owner, 101).await;
    assert_eq!(rotate(&world, 1, 2, noon()).await, Rotation::Rotated(world.owner));
    assert_eq!(rotate(&world, 2, 3, noon()).await, Rotation::Rotated(world.owner));
    assert_eq!(rotate(&world, 1, 4, noon()).await, Rotation::Reused);
    assert_eq!(
        rotate(&world, 3, 5, noon()).await,
        Rotation::Unknown,
        "the thief's token is dead too"
    );
    assert_eq!(rotate(&world, 4, 5, noon()).await, Rotation::Unknown);
    assert_eq!(
        rotate(&world, 101, 102, noon()).await,
        Rotation::Rotated(world.owner),
        "other sign-ins go on"
    );
}

#[tokio::test]
async fn of_two_that_come_at_once_with_one_token_one_is_told() {
    let world = World::new().await;
    sign_in(&world, &world.owner, 1).await;
    let (first, second) = tokio::join!(rotate(&world, 1, 2, noon()), rotate(&world, 1, 3, noon()));
    let rotated = [first, second].map(|rotation| matches!(rotation, Rotation::Rotated(_)));
    assert_eq!(rotated.iter().filter(|rotated| **rotated).count(), 1);
    assert!([first, second].contains(&Rotation::Reused));
}

#[tokio::test]
async fn a_second_tab_of_the_same_client_is_no_thief_for_ten_seconds() {
    let world = World::new().await;
    let rotated = Rotation::Rotated(world.owner);
    let (browser, other) = (Some(7), Some(8));
    sign_in(&world, &world.owner, 1).await;
    assert_eq!(rotate_as(&world, browser, 1, 2, noon()).await, rotated);
    let soon = noon() + Duration::seconds(10);
    assert_eq!(rotate_as(&world, browser, 1, 3, soon).await, rotated, "a sibling");
    // Both tabs go on with their own.
    assert_eq!(rotate_as(&world, browser, 2, 4, soon).await, rotated);
    assert_eq!(rotate_as(&world, browser, 3, 5, soon).await, rotated);
    // The grace is counted from the first use: siblings do not prolong it.
    let late = noon() + Duration::seconds(11);
    assert_eq!(rotate_as(&world, browser, 1, 6, late).await, Rotation::Reused);
    assert_eq!(rotate_as(&world, browser, 4, 7, late).await, Rotation::Unknown);

    for stranger in [other, None] {
        sign_in(&world, &world.owner, 11).await;
        assert_eq!(rotate_as(&world, browser, 11, 12, noon()).await, rotated);
        assert_eq!(
            rotate_as(&world, stranger, 11, 13, noon()).await,
            Rotation::Reused
        );
        assert_eq!(
            rotate_as(&world, browser, 12, 14, noon()).await,
            Rotation::Unknown
        );
        forget_tokens(&world).await;
    }
    sign_in(&world, &world.owner, 21).await;
    assert_eq!(rotate(&world, 21, 22, noon()).await, rotated);
    assert_eq!(
        rotate(&world, 21, 23, noon()).await,
        Rotation::Reused,
        "who shows nothing of itself has no grace"
    );
}

async fn forget_tokens(world: &World) {
    sqlx::query("delete from refresh_tokens")
        .execute(&mut world.superuser().await)
        .await
        .unwrap();
}

#[tokio::test]
async fn tokens_end_by_time_sign_out_and_new_passwords() {
    let world = World::new().await;
    let store = world.store();
    sign_in(&world, &world.owner, 1).await;
    sign_in(&world, &world.owner, 2).await;
    sign_in(&world, &world.owner, 3).await;
    let late = noon() + Duration::days(31);
    assert_eq!(rotate(&world, 1, 11, late).await, Rotation::Unknown);
    store
        .with_system(async |tx| session::revoke_session(tx, [2; 32]).await)
        .await
        .unwrap();
    assert_eq!(rotate(&world, 2, 12, noon()).await, Rotation::Unknown);
    store
        .with_system(async |tx| session::revoke_sessions_of(tx, world.owner.user_id).await)
        .await
        .unwrap();
    assert_eq!(rotate(&world, 3, 13, noon()).await, Rotation::Unknown);
    let forgotten = store
        .with_system(async |tx| session::delete_expired_sessions(tx, late).await)
        .await
        .unwrap();
    assert_eq!(forgotten, 3);
}

#[tokio::test]
async fn passwords_belong_to_addresses_without_regard_to_case() {
    let world = World::new().await;
    let store = world.store();
    let new = NewUser {
        organization_id: world.owner.organization_id,
        email: "Ann@Alpha.example".to_owned(),
        name: Some("Ann".to_owned()),
        role: Role::Admin,
        password_hash: Some("$argon2id$x".to_owned()),
    };
    let (first_run, ann, found, taken) = store
        .with_system(async |tx| {
            let first_run = !user::has_any_password(tx).await?;
            let ann = user::insert_user(tx, &new).await?;
            let found = user::find_credentials(tx, "ann@alpha.EXAMPLE").await?;
            Ok((first_run, ann, found.unwrap(), user::has_any_password(tx).await?))
        })
        .await
        .unwrap();
    assert!(first_run && taken);
    assert_eq!(
        (found.actor, found.password_hash.as_deref()),
        (ann, Some("$argon2id$x"))
    );
    let again = store
        .with_system(async |tx| user::insert_user(tx, &new).await)
        .await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    let people = store
        .with_tenant(&ann, async |tx| user::list_users(tx, None, None, 10).await)
        .await
        .unwrap();
    assert_eq!(people.len(), 2);
    let own = store
        .with_tenant(&world.owner, async |tx| {
            user::list_users(tx, None, None, 10).await
        })
        .await
        .unwrap();
    assert_eq!(own.len(), 1, "an instructor sees only themselves");
}

#[tokio::test]
async fn password_that_is_being_changed_confirms_nothing() {
    let world = World::new().await;
    let store = world.store();
    let id = world.owner.user_id;
    let set = async |hash: &str| {
        store
            .with_system(async |tx| user::set_password_hash(tx, id, hash).await)
            .await
            .unwrap();
    };
    let confirm = async |hash: &str| {
        store
            .with_system(async |tx| user::confirm_password(tx, id, hash).await)
            .await
            .unwrap()
    };
    set("old").await;
    assert!(confirm("old").await);
    assert!(!confirm("new").await);
    let mut change = store.system().await.unwrap();
    user::set_password_hash(&mut change, id, "new").await.unwrap();
    let commit = async {
        world.until_somebody_waits().await;
        change.commit().await.unwrap();
    };
    let (confirmed, ()) = tokio::join!(confirm("old"), commit);
    assert!(!confirmed, "the change came first");
    assert!(confirm("new").await);
}

#[tokio::test]
async fn roles_are_changed_by_those_who_may() {
    let world = World::new().await;
    let store = world.store();
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let stranger = person(store, "Beta", Tier::Free, Role::Admin).await;
    let superadmin = person(store, "Operators", Tier::Premium, Role::Superadmin).await;
    let set = async |actor: &Actor, of: UserId, role: Role| {
        store
            .with_tenant(actor, async |tx| user::set_role(tx, of, role).await)
            .await
    };
    let student = set(&admin, world.owner.user_id, Role::Student).await.unwrap();
    assert_eq!(student.role, Role::Student);
    for (actor, of, role) in [
        (&world.owner, world.owner.user_id, Role::Admin),
        (&admin, admin.user_id, Role::Superadmin),
        (&stranger, world.owner.user_id, Role::Instructor),
    ] {
        let refused = set(actor, of, role).await;
        assert!(
            matches!(
                refused,
                Err(StoreError::Forbidden(_) | StoreError::NotFound { .. })
            ),
            "{refused:?}"
        );
    }
    let last = set(&superadmin, superadmin.user_id, Role::Admin).await;
    assert!(matches!(last, Err(StoreError::Conflict(_))), "{last:?}");
    set(&superadmin, admin.user_id, Role::Superadmin).await.unwrap();
    set(&superadmin, superadmin.user_id, Role::Admin).await.unwrap();
    let entries = store
        .with_tenant(
            &Actor {
                role: Role::Superadmin,
                ..admin
            },
            async |tx| store::audit::list_audit(tx, None, 10).await,
        )
        .await
        .unwrap();
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[0].actor_id, Some(superadmin.user_id));
    assert_eq!(entries[2].action, "user.set_role");
    let noted: i64 =
        sqlx::query_scalar("select count(*) from system_metrics where event_type = 'superadmin_action'")
            .fetch_one(&mut world.superuser().await)
            .await
            .unwrap();
    assert_eq!(noted, 2, "what superadmins do is also an event");
}

#[tokio::test]
async fn the_last_superadmin_stays_also_when_two_go_at_once() {
    let world = World::new().await;
    let store = world.store();
    let first = person(store, "Operators", Tier::Premium, Role::Superadmin).await;
    let second = colleague(store, &first, Role::Superadmin, "second@operators.example").await;
    let unmake = async |actor: &Actor| {
        store
            .with_tenant(actor, async |tx| {
                user::set_role(tx, actor.user_id, Role::Admin).await
            })
            .await
    };
    let (one, other) = tokio::join!(unmake(&first), unmake(&second));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    let deleted = sqlx::query("delete from users where role = 'superadmin'")
        .execute(&mut world.superuser().await)
        .await;
    assert!(deleted.is_err());
}

#[tokio::test]
async fn a_token_of_an_identity_provider_makes_its_person_known() {
    let world = World::new().await;
    let store = world.store();
    let known = KnownUser {
        user_id: UserId::generate(),
        organization_id: OrganizationId::generate(),
        email: Some("eve@gamma.example".to_owned()),
        role: Role::Instructor,
    };
    let ensure = async |known: &KnownUser| {
        store
            .with_system(async |tx| user::ensure_user(tx, known).await)
            .await
    };
    let actor = ensure(&known).await.unwrap();
    assert_eq!(ensure(&known).await.unwrap(), actor);
    let promoted = KnownUser {
        role: Role::Admin,
        ..known.clone()
    };
    assert_eq!(ensure(&promoted).await.unwrap().role, Role::Admin);
    let moved = KnownUser {
        organization_id: world.owner.organization_id,
        ..known.clone()
    };
    assert!(matches!(ensure(&moved).await, Err(StoreError::Forbidden(_))));
    let copied = KnownUser {
        user_id: UserId::generate(),
        ..known
    };
    assert!(matches!(ensure(&copied).await, Err(StoreError::Conflict(_))));
    let found = store
        .with_system(async |tx| organization::get_organization(tx, actor.organization_id).await)
        .await
        .unwrap();
    assert_eq!(found.tier, Tier::Free);
}

/// Nobody is kept out because of the role or the address that a token names.
#[tokio::test]
async fn a_role_that_was_set_here_is_not_undone_by_a_token() {
    let world = World::new().await;
    let store = world.store();
    let known = KnownUser {
        user_id: UserId::generate(),
        organization_id: world.owner.organization_id,
        email: Some("eve@alpha.example".to_owned()),
        role: Role::Superadmin,
    };
    let ensure = async |role: Role, email: &str| {
        let known = KnownUser {
            role,
            email: Some(email.to_owned()),
            ..known.clone()
        };
        store
            .with_system(async |tx| user::ensure_user(tx, &known).await)
            .await
            .unwrap()
            .role
    };
    let eve = "eve@alpha.example";
    assert_eq!(ensure(Role::Superadmin, eve).await, Role::Superadmin);
    assert_eq!(
        ensure(Role::Student, eve).await,
        Role::Superadmin,
        "the last superadmin stays"
    );
    let other = person(store, "Operators", Tier::Premium, Role::Superadmin).await;
    assert_eq!(ensure(Role::Student, eve).await, Role::Student);
    store
        .with_tenant(&other, async |tx| {
            user::set_role(tx, known.user_id, Role::Admin).await
        })
        .await
        .unwrap();
    for role in [Role::Student, Role::Superadmin] {
        assert_eq!(ensure(role, eve).await, Role::Admin, "it was set here");
    }
    colleague(store, &world.owner, Role::Student, "taken@alpha.example").await;
    assert_eq!(ensure(Role::Student, "taken@alpha.example").await, Role::Admin);
    let found = store
        .with_system(async |tx| user::get_user(tx, known.user_id).await)
        .await
        .unwrap();
    assert_eq!(found.email, eve);
}

#[tokio::test]
async fn an_address_that_is_not_known_to_be_theirs_is_nobodys() {
    let world = World::new().await;
    let store = world.store();
    let ensure = async |user_id: UserId, email: Option<&str>| {
        let known = KnownUser {
            user_id,
            organization_id: world.owner.organization_id,
            email: email.map(str::to_owned),
            role: Role::Instructor,
        };
        store
            .with_system(async |tx| {
                let actor = user::ensure_user(tx, &known).await?;
                Ok(user::get_user(tx, actor.user_id).await?.email)
            })
            .await
            .unwrap()
    };
    let eve = UserId::generate();
    assert_eq!(ensure(eve, None).await, format!("{eve}@users.invalid"));
    assert_eq!(ensure(eve, Some("eve@alpha.example")).await, "eve@alpha.example");
    assert_eq!(
        ensure(eve, None).await,
        "eve@alpha.example",
        "what was known stays"
    );
}

#[tokio::test]
async fn keys_are_found_by_their_hash_until_they_end() {
    let world = World::new().await;
    let store = world.store();
    let colleague = colleague(store, &world.owner, Role::Instructor, "other@alpha.example").await;
    let new = NewApiKey {
        name: "integration".to_owned(),
        prefix: "cw_abc".to_owned(),
        key_hash: [7; 32],
        scopes: vec![Scope::Read, Scope::Generate],
        expires_at: Some(noon() + Duration::days(1)),
    };
    let key = store
        .with_tenant(&world.owner, async |tx| api_key::insert_api_key(tx, &new).await)
        .await
        .unwrap();
    assert_eq!(key.scopes, [Scope::Read, Scope::Generate]);
    let find = async |at: DateTime<Utc>| {
        store
            .with_system(async |tx| api_key::find_by_hash(tx, [7; 32], at).await)
            .await
            .unwrap()
    };
    assert_eq!(find(noon()).await.unwrap().1, world.owner);
    assert_eq!(find(noon()).await.unwrap().0.last_used_at, Some(noon()));
    find(noon() + Duration::seconds(30)).await;
    assert_eq!(
        find(noon() + Duration::seconds(90)).await.unwrap().0.last_used_at,
        Some(noon()),
        "uses are noted at most once a minute"
    );
    assert_eq!(find(noon() + Duration::days(2)).await, None, "it has expired");
    let others = store
        .with_tenant(&colleague, async |tx| api_key::list_api_keys(tx).await)
        .await
        .unwrap();
    assert_eq!(others, [], "a colleague does not see it");
    let refused = store
        .with_tenant(&colleague, async |tx| api_key::revoke_api_key(tx, key.id).await)
        .await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })));
    let revoked = store
        .with_tenant(&world.owner, async |tx| api_key::revoke_api_key(tx, key.id).await)
        .await
        .unwrap();
    assert!(revoked.revoked_at.is_some());
    assert_eq!(find(noon()).await, None);
}

#[tokio::test]
async fn only_superadmins_edit_tiers() {
    let world = World::new().await;
    let store = world.store();
    let superadmin = person(store, "Operators", Tier::Premium, Role::Superadmin).await;
    let mut settings = store
        .with_tenant(&world.owner, async |tx| {
            tier::get_tier_settings(tx, Tier::Free).await
        })
        .await
        .unwrap();
    assert_eq!((settings.concurrent_generations, settings.priority), (1, 1));
    settings.concurrent_generations = 2;
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let refused = store
        .with_tenant(&admin, async |tx| tier::update_tier_settings(tx, &settings).await)
        .await;
    assert!(matches!(refused, Err(StoreError::Forbidden(_))), "{refused:?}");
    let mut listener = store.listen_for(&[store::hint::Channel::Tiers]).await.unwrap();
    store
        .with_tenant(&superadmin, async |tx| {
            tier::update_tier_settings(tx, &settings).await
        })
        .await
        .unwrap();
    assert_eq!(listener.hint().await.unwrap(), store::hint::Hint::Tiers);
    let all = store
        .with_system(async |tx| tier::list_tier_settings(tx).await)
        .await
        .unwrap();
    assert_eq!(all.len(), Tier::ALL.len());
    assert!(all.contains(&settings));
}

#[tokio::test]
async fn two_who_edit_a_tier_at_once_lose_nothing() {
    let world = World::new().await;
    let store = world.store();
    let superadmin = person(store, "Operators", Tier::Premium, Role::Superadmin).await;
    let mut tx = store.tenant(&superadmin).await.unwrap();
    let mut first = tier::lock_tier_settings(&mut tx, Tier::Free).await.unwrap();
    first.priority = 2;
    let edit = store.with_tenant(&superadmin, async |tx| {
        let mut settings = tier::lock_tier_settings(tx, Tier::Free).await?;
        settings.concurrent_generations = 7;
        tier::update_tier_settings(tx, &settings).await
    });
    let finish = async {
        // The other one is at the lock by then, or comes later.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        tier::update_tier_settings(&mut tx, &first).await.unwrap();
        tx.commit().await.unwrap();
    };
    let (edited, ()) = tokio::join!(edit, finish);
    edited.unwrap();
    let found = store
        .with_system(async |tx| tier::get_tier_settings(tx, Tier::Free).await)
        .await
        .unwrap();
    assert_eq!((found.priority, found.concurrent_generations), (2, 7));
}

#[tokio::test]
async fn the_tier_of_an_organization_and_its_entry_change_together() {
    let world = World::new().await;
    let store = world.store();
    let superadmin = person(store, "Operators", Tier::Premium, Role::Superadmin).await;
    let admin = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    let set = async |actor: &Actor, id: OrganizationId| {
        store
            .with_tenant(actor, async |tx| {
                organization::set_tier(tx, id, Tier::Basic).await
            })
            .await
    };
    let id = world.owner.organization_id;
    assert!(matches!(set(&admin, id).await, Err(StoreError::Forbidden(_))));
    let missing = set(&superadmin, OrganizationId::generate()).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    assert_eq!(set(&superadmin, id).await.unwrap().tier, Tier::Basic);
    // Undone together, too.
    let mut tx = store.tenant(&superadmin).await.unwrap();
    organization::set_tier(&mut tx, id, Tier::Premium).await.unwrap();
    drop(tx);
    let (tier, entries) = store
        .with_tenant(&superadmin, async |tx| {
            Ok((
                organization::get_tier(tx, id).await?,
                audit::list_audit(tx, None, 10).await?,
            ))
        })
        .await
        .unwrap();
    assert_eq!((tier, entries.len()), (Tier::Basic, 1));
    assert_eq!(
        entries[0].details,
        serde_json::json!({"from": "standard", "to": "basic"})
    );
}
