//! Cookies of browsers: when they are exchanged, and what becomes of one that was stolen.

use chrono::{DateTime, Duration, Utc};
use domain::user::Role;
use store::session;
use store::session_cookie::{
    CookieRules, CookieUse, NewCookie, find_cookie_actor, insert_cookie_session, revoke_cookie_session,
    use_cookie,
};

use crate::world::{World, colleague};

const RULES: CookieRules = CookieRules {
    exchanged_after: Duration::minutes(15),
    grace: Duration::seconds(60),
};

fn at(minutes: i64) -> DateTime<Utc> {
    let noon: DateTime<Utc> = "2026-06-01T12:00:00Z".parse().unwrap();
    noon + Duration::minutes(minutes)
}

fn cookie(number: u8, now: DateTime<Utc>) -> NewCookie {
    NewCookie {
        token_hash: [number; 32],
        expires_at: now + Duration::days(30),
    }
}

async fn sign_in(world: &World, number: u8) {
    world
        .store()
        .with_system(async |tx| {
            insert_cookie_session(tx, world.owner.user_id, cookie(number, at(0)), at(0)).await
        })
        .await
        .unwrap();
}

/// Comes with one cookie; the answer may carry the other.
async fn come(world: &World, number: u8, next: Option<u8>, now: DateTime<Utc>) -> CookieUse {
    world
        .store()
        .with_system(async |tx| {
            let next = next.map(|next| cookie(next, now));
            use_cookie(tx, [number; 32], next, RULES, now).await
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn a_cookie_is_exchanged_after_a_quarter_of_an_hour() {
    let world = World::new().await;
    let owner = world.owner;
    sign_in(&world, 1).await;
    assert_eq!(come(&world, 1, Some(2), at(14)).await, CookieUse::Known(owner));
    assert_eq!(
        come(&world, 2, None, at(14)).await,
        CookieUse::Unknown,
        "it was not handed out"
    );
    assert_eq!(come(&world, 1, None, at(15)).await, CookieUse::Known(owner));
    assert_eq!(
        come(&world, 1, Some(2), at(15)).await,
        CookieUse::Exchanged(owner)
    );
    assert_eq!(
        come(&world, 1, Some(3), at(15)).await,
        CookieUse::Known(owner),
        "requests at once get one successor"
    );
    assert_eq!(come(&world, 2, Some(3), at(16)).await, CookieUse::Known(owner));
}

#[tokio::test]
async fn a_cookie_that_comes_after_its_successor_was_seen_ends_the_session() {
    let world = World::new().await;
    let owner = world.owner;
    sign_in(&world, 1).await;
    sign_in(&world, 101).await;
    assert_eq!(
        come(&world, 1, Some(2), at(15)).await,
        CookieUse::Exchanged(owner)
    );
    assert_eq!(come(&world, 2, None, at(16)).await, CookieUse::Known(owner));
    let under_way = at(16) + Duration::seconds(59);
    assert_eq!(
        come(&world, 1, Some(9), under_way).await,
        CookieUse::Known(owner),
        "a request that was under way"
    );
    assert_eq!(come(&world, 1, None, at(17)).await, CookieUse::Reused);
    assert_eq!(come(&world, 2, None, at(17)).await, CookieUse::Unknown);
    assert_eq!(
        come(&world, 101, None, at(17)).await,
        CookieUse::Known(owner),
        "other sign-ins go on"
    );
}

#[tokio::test]
async fn a_thief_who_comes_first_is_found_out_by_the_owner() {
    let world = World::new().await;
    let owner = world.owner;
    sign_in(&world, 1).await;
    assert_eq!(
        come(&world, 1, Some(66), at(20)).await,
        CookieUse::Exchanged(owner)
    );
    assert_eq!(come(&world, 66, None, at(21)).await, CookieUse::Known(owner));
    assert_eq!(come(&world, 1, Some(2), at(30)).await, CookieUse::Reused);
    assert_eq!(come(&world, 66, None, at(30)).await, CookieUse::Unknown);
}

#[tokio::test]
async fn a_lost_answer_costs_nothing() {
    let world = World::new().await;
    let owner = world.owner;
    sign_in(&world, 1).await;
    assert_eq!(
        come(&world, 1, Some(2), at(15)).await,
        CookieUse::Exchanged(owner)
    );
    assert_eq!(
        come(&world, 1, Some(3), at(40)).await,
        CookieUse::Exchanged(owner)
    );
    assert_eq!(come(&world, 3, None, at(41)).await, CookieUse::Known(owner));
    assert_eq!(
        come(&world, 2, None, at(50)).await,
        CookieUse::Reused,
        "the lost one was found by somebody"
    );
}

#[tokio::test]
async fn of_requests_at_once_one_gets_the_successor() {
    let world = World::new().await;
    sign_in(&world, 1).await;
    let (first, second) = tokio::join!(come(&world, 1, Some(2), at(15)), come(&world, 1, Some(3), at(15)));
    let mut uses = [first, second];
    uses.sort_by_key(|used| matches!(used, CookieUse::Exchanged(_)));
    assert_eq!(
        uses,
        [CookieUse::Known(world.owner), CookieUse::Exchanged(world.owner)]
    );
}

#[tokio::test]
async fn cookies_end_by_time_sign_out_and_new_passwords() {
    let world = World::new().await;
    let store = world.store();
    for number in 1..=4 {
        sign_in(&world, number).await;
    }
    let month = at(0) + Duration::days(30);
    assert_eq!(come(&world, 1, None, month).await, CookieUse::Unknown);
    store
        .with_system(async |tx| revoke_cookie_session(tx, [2; 32]).await)
        .await
        .unwrap();
    assert_eq!(come(&world, 2, None, at(1)).await, CookieUse::Unknown);
    let whose = async |number: u8| {
        store
            .with_system(async |tx| find_cookie_actor(tx, [number; 32]).await)
            .await
            .unwrap()
    };
    assert_eq!((whose(2).await, whose(3).await), (None, Some(world.owner)));
    let other = colleague(store, &world.owner, Role::Admin, "admin@alpha.example").await;
    store
        .with_system(async |tx| session::revoke_sessions_of(tx, other.user_id).await)
        .await
        .unwrap();
    assert_eq!(come(&world, 3, None, at(1)).await, CookieUse::Known(world.owner));
    store
        .with_system(async |tx| session::revoke_sessions_of(tx, world.owner.user_id).await)
        .await
        .unwrap();
    assert_eq!(come(&world, 3, None, at(2)).await, CookieUse::Unknown);
    assert_eq!(whose(3).await, None);
    let forget = async |now: DateTime<Utc>| {
        store
            .with_system(async |tx| session::delete_expired_sessions(tx, now).await)
            .await
            .unwrap()
    };
    assert_eq!(forget(at(1)).await, 0);
    assert_eq!(forget(month).await, 4);
}
