//! Sessions of browsers, by a clock that stands still.

use secrecy::SecretString;

use super::accounts::{PASSWORD, with_account};
use super::*;
use crate::auth::browser::Visitor;
use crate::auth::session::{AccountError, set_password};

async fn sign_in(world: &World) -> SecretString {
    let address = Some("192.0.2.7".parse().unwrap());
    let visitor = world
        .auth
        .login_browser("ann@example.org", &PASSWORD.into(), address)
        .await
        .unwrap();
    kept(&visitor)
}

fn kept(visitor: &Visitor) -> SecretString {
    visitor.fresh.as_ref().unwrap().value.expose().into()
}

async fn refused(world: &World, cookie: &SecretString) {
    let found = world.auth.visit(cookie).await;
    assert!(
        matches!(found, Err(AuthError::Rejected(Rejection::Session))),
        "{found:?}"
    );
    let found = world.auth.identify_browser(cookie).await;
    assert!(
        matches!(found, Err(AuthError::Rejected(Rejection::Session))),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_browser_is_known_and_its_cookie_exchanged_now_and_then() {
    let (world, ann) = with_account().await;
    let first = sign_in(&world).await;
    let other = sign_in(&world).await;
    let visitor = world.auth.visit(&first).await.unwrap();
    assert_eq!((visitor.actor, visitor.fresh.is_none()), (ann, true));
    world.clock.advance(TimeDelta::minutes(15));
    assert_eq!(
        world.auth.identify_browser(&first).await.unwrap(),
        ann,
        "an answer without cookies exchanges none"
    );
    let visitor = world.auth.visit(&first).await.unwrap();
    assert_eq!(visitor.fresh.as_ref().unwrap().lifetime, TimeDelta::days(30));
    let second = kept(&visitor);
    // Another page of the same browser, at once.
    assert!(world.auth.visit(&first).await.unwrap().fresh.is_none());
    world.auth.visit(&second).await.unwrap();

    // A thief comes with the first one later; the owner has to sign in again, the owner's other browser has not.
    world.clock.advance(TimeDelta::minutes(2));
    refused(&world, &first).await;
    refused(&world, &second).await;
    assert_eq!(world.auth.follow_browser(&other).await.unwrap(), ann);
    world.auth.follow_browser(&second).await.unwrap_err();
}

#[tokio::test]
async fn a_stream_outlives_the_cookie_that_it_began_with() {
    let (world, ann) = with_account().await;
    let first = sign_in(&world).await;
    world.clock.advance(TimeDelta::minutes(16));
    let second = kept(&world.auth.visit(&first).await.unwrap());
    world.auth.visit(&second).await.unwrap();
    world.clock.advance(TimeDelta::minutes(10));
    assert_eq!(world.auth.follow_browser(&first).await.unwrap(), ann);
    world.auth.visit(&second).await.unwrap();
    world.auth.logout_browser(&second).await.unwrap();
    world.auth.follow_browser(&first).await.unwrap_err();
}

#[tokio::test]
async fn browsers_are_forgotten_by_sign_out_time_and_a_new_password() {
    let (world, ann) = with_account().await;
    let cookie = sign_in(&world).await;
    world.auth.logout_browser(&cookie).await.unwrap();
    refused(&world, &cookie).await;
    world.auth.logout_browser(&"cwc_unknown".into()).await.unwrap();

    let cookie = sign_in(&world).await;
    world.clock.advance(TimeDelta::days(30));
    refused(&world, &cookie).await;

    let cookie = sign_in(&world).await;
    set_password(&world.store, &ann, &"a new good password".into())
        .await
        .unwrap();
    refused(&world, &cookie).await;
    for nonsense in ["", "cwc_", "cwr_0123456789", &"cwc_x".repeat(1000)] {
        refused(&world, &nonsense.into()).await;
    }
}

#[tokio::test]
async fn tries_at_the_page_and_at_the_api_are_counted_together() {
    let (world, _) = with_account().await;
    let address = Some("192.0.2.7".parse().unwrap());
    for _ in 0..5 {
        let guess = "guess".into();
        world
            .auth
            .login("ann@example.org", &guess, address)
            .await
            .unwrap_err();
        let page = world.auth.login_browser("ann@example.org", &guess, address).await;
        assert!(matches!(page, Err(AccountError::WrongCredentials)), "{page:?}");
    }
    let page = world
        .auth
        .login_browser("ann@example.org", &PASSWORD.into(), address)
        .await;
    assert!(matches!(page, Err(AccountError::TooManyTries(900))), "{page:?}");
}
