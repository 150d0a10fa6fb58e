//! Built-in accounts and API keys.

use domain::error::ErrorKind;
use secrecy::SecretString;
use store::api_key::{Scope, revoke_api_key};
use store::organization::ensure_local_owner;
use store::user::{NewUser, insert_user};

use super::*;
use crate::auth::api_key::{KeyWish, create};
use crate::auth::session::{AccountError, ClientMark, SignedIn, set_password};

pub(super) const PASSWORD: &str = "correct horse battery";

async fn person(world: &World, email: &str, role: Role) -> Actor {
    let new_user = async |tx: &mut store::tx::SystemTx| {
        let new = NewUser {
            organization_id: ensure_local_owner(tx).await?.organization_id,
            email: email.to_owned(),
            name: None,
            role,
            password_hash: None,
        };
        insert_user(tx, &new).await
    };
    world.store.with_system(new_user).await.unwrap()
}

pub(super) async fn with_account() -> (World, Actor) {
    let world = World::new(&[]).await;
    let ann = person(&world, "Ann@Example.org", Role::Instructor).await;
    set_password(&world.store, &ann, &PASSWORD.into()).await.unwrap();
    (world, ann)
}

async fn login(world: &World, email: &str, password: &str) -> Result<SignedIn, AccountError> {
    let address = Some("192.0.2.7".parse().unwrap());
    world.auth.login(email, &password.into(), address).await
}

fn secret(signed_in: &SignedIn) -> SecretString {
    signed_in.refresh.expose().into()
}

/// The client that refreshes.
fn browser() -> Option<ClientMark> {
    ClientMark::of(Some("192.0.2.7".parse().unwrap()), "a browser")
}

#[tokio::test]
async fn signing_in_gives_a_token_for_a_quarter_of_an_hour() {
    let (world, ann) = with_account().await;
    let signed_in = login(&world, " ann@example.ORG", PASSWORD).await.unwrap();
    assert_eq!(signed_in.actor, ann);
    assert_eq!(signed_in.access.expires_at - world.now(), TimeDelta::minutes(15));
    assert_eq!(signed_in.refresh_expires_at - world.now(), TimeDelta::days(30));
    assert_eq!(world.identify(&signed_in.access.token).await.unwrap().actor, ann);
}

#[tokio::test]
async fn wrong_password_unknown_address_and_no_password_look_alike() {
    let (world, _) = with_account().await;
    person(&world, "bob@example.org", Role::Student).await;
    for (email, password) in [
        ("ann@example.org", "correct horse batterz"),
        ("nobody@example.org", PASSWORD),
        ("bob@example.org", ""),
        ("owner@localhost", PASSWORD),
    ] {
        let refused = login(&world, email, password).await.unwrap_err();
        assert!(
            matches!(refused, AccountError::WrongCredentials),
            "{email}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn guessing_ends_after_ten_tries_even_with_the_right_password() {
    let (world, _) = with_account().await;
    for _ in 0..10 {
        login(&world, "ann@example.org", "guess").await.unwrap_err();
    }
    let refused = login(&world, "ann@example.org", PASSWORD).await.unwrap_err();
    assert!(matches!(refused, AccountError::TooManyTries(900)), "{refused:?}");
    assert_eq!(refused.kind(), ErrorKind::LimitReached);
    world.clock.advance(TimeDelta::minutes(15));
    login(&world, "ann@example.org", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn refresh_token_that_comes_twice_ends_the_session_for_both() {
    let (world, ann) = with_account().await;
    let first = login(&world, "ann@example.org", PASSWORD).await.unwrap();
    let other = login(&world, "ann@example.org", PASSWORD).await.unwrap();
    let second = world.auth.refresh(&secret(&first), browser()).await.unwrap();
    assert_eq!(second.actor, ann);
    assert_ne!(second.refresh.expose(), first.refresh.expose());
    let third = world.auth.refresh(&secret(&second), browser()).await.unwrap();

    // The thief comes with an old one; then the line's newest one is worth nothing either.
    for used in [&first, &third] {
        let refused = world.auth.refresh(&secret(used), None).await.unwrap_err();
        assert!(matches!(refused, AccountError::SessionEnded), "{refused:?}");
    }
    // Another sign-in of the same person goes on.
    world.auth.refresh(&secret(&other), browser()).await.unwrap();
}

#[tokio::test]
async fn two_tabs_of_a_browser_may_refresh_with_one_token() {
    let (world, ann) = with_account().await;
    let first = login(&world, "ann@example.org", PASSWORD).await.unwrap();
    let one = world.auth.refresh(&secret(&first), browser()).await.unwrap();
    world.clock.advance(TimeDelta::seconds(3));
    let other = world.auth.refresh(&secret(&first), browser()).await.unwrap();
    assert_eq!(other.actor, ann);
    for tab in [&one, &other] {
        world.auth.refresh(&secret(tab), browser()).await.unwrap();
    }
    // From elsewhere it is a thief at any time.
    let elsewhere = ClientMark::of(Some("192.0.2.8".parse().unwrap()), "a browser");
    let refused = world.auth.refresh(&secret(&first), elsewhere).await.unwrap_err();
    assert!(matches!(refused, AccountError::SessionEnded), "{refused:?}");
}

#[tokio::test]
async fn sessions_end_by_logout_time_and_a_new_password() {
    let (world, ann) = with_account().await;
    let ended = async |signed_in: &SignedIn| {
        let refused = world.auth.refresh(&secret(signed_in), None).await.unwrap_err();
        assert!(matches!(refused, AccountError::SessionEnded), "{refused:?}");
    };
    let session = login(&world, "ann@example.org", PASSWORD).await.unwrap();
    world.auth.logout(&secret(&session)).await.unwrap();
    ended(&session).await;
    world.auth.logout(&"cwr_unknown".into()).await.unwrap();

    let session = login(&world, "ann@example.org", PASSWORD).await.unwrap();
    set_password(&world.store, &ann, &"a new good password".into())
        .await
        .unwrap();
    ended(&session).await;

    let session = login(&world, "ann@example.org", "a new good password")
        .await
        .unwrap();
    world.clock.advance(TimeDelta::days(31));
    ended(&session).await;
    for nonsense in ["", "cwr_", "x", &"cwr_x".repeat(1000)] {
        let refused = world.auth.refresh(&nonsense.into(), None).await.unwrap_err();
        assert!(matches!(refused, AccountError::SessionEnded), "{refused:?}");
    }
}

#[tokio::test]
async fn first_account_is_made_once_with_the_secret_of_the_first_start() {
    let world = World::new(&[]).await;
    let token = world.auth.setup_token().await.unwrap().unwrap();
    let again = world.auth.setup_token().await.unwrap().unwrap();
    assert_eq!(token.expose(), again.expose(), "every process shows the same");
    let set_up = async |token: &str, email: &str, password: &str| {
        world
            .auth
            .set_up(&token.into(), email, Some("Ann"), &password.into())
            .await
    };
    let closed = |refused: Result<SignedIn, AccountError>| {
        assert!(matches!(refused, Err(AccountError::SetupClosed)), "{refused:?}");
    };
    closed(set_up("cws_guess", "ann@example.org", PASSWORD).await);
    for (email, password) in [("ann", PASSWORD), ("ann@example.org", "short")] {
        let refused = set_up(token.expose(), email, password).await.unwrap_err();
        assert!(matches!(refused, AccountError::Invalid(_)), "{refused:?}");
    }
    let (one, other) = tokio::join!(
        set_up(token.expose(), "ann@example.org", PASSWORD),
        set_up(token.expose(), "eve@example.org", PASSWORD)
    );
    let (made, refused) = if one.is_ok() { (one, other) } else { (other, one) };
    assert_eq!(made.unwrap().actor.role, Role::Superadmin);
    closed(refused);
    closed(set_up(token.expose(), "eve@example.org", PASSWORD).await);
    assert!(world.auth.setup_token().await.unwrap().is_none());
}

#[tokio::test]
async fn passwords_can_be_turned_off() {
    let world = World::new(&[("COURSEWRIGHT_AUTH__PASSWORD_LOGIN", "false")]).await;
    let refused = login(&world, "ann@example.org", PASSWORD).await.unwrap_err();
    assert!(matches!(refused, AccountError::PasswordsOff), "{refused:?}");
    assert!(world.auth.setup_token().await.unwrap().is_none());
}

#[tokio::test]
async fn api_keys_carry_their_scopes_and_end_at_once() {
    let (world, ann) = with_account().await;
    let wish = |expires_at| KeyWish {
        name: "LMS".to_owned(),
        scopes: vec![Scope::Generate, Scope::Read, Scope::Read],
        expires_at,
    };
    let (key, made) = create(&world.store, &ann, &wish(None), world.now())
        .await
        .unwrap();
    assert!(key.expose().starts_with(&made.prefix) && made.prefix.len() == 11);
    let caller = world.identify(key.expose()).await.unwrap();
    assert_eq!(caller.actor, ann);
    assert_eq!(caller.scopes, Some(vec![Scope::Read, Scope::Generate]));
    let id = made.id;
    let revoking = world
        .store
        .with_tenant(&ann, async |tx| revoke_api_key(tx, id).await);
    revoking.await.unwrap();
    World::refused(&world.identify(key.expose()).await, Rejection::ApiKey);

    let tomorrow = world.now() + TimeDelta::days(1);
    let (key, _) = create(&world.store, &ann, &wish(Some(tomorrow)), world.now())
        .await
        .unwrap();
    world.identify(key.expose()).await.unwrap();
    world.clock.advance(TimeDelta::days(1));
    World::refused(&world.identify(key.expose()).await, Rejection::ApiKey);

    World::refused(&world.identify("cw_guess").await, Rejection::ApiKey);
    World::refused(
        &world.identify(&format!("cw_{}", "x".repeat(200))).await,
        Rejection::TooLong,
    );
}

#[tokio::test]
async fn keys_that_make_no_sense_are_refused() {
    let (world, ann) = with_account().await;
    let past = Some(world.now() - TimeDelta::seconds(1));
    for (name, scopes, expires_at, field) in [
        ("", vec![Scope::Read], None, "name"),
        ("a\nb", vec![Scope::Read], None, "name"),
        ("LMS", vec![], None, "scopes"),
        // An instructor has nothing that an admin's key could do.
        ("LMS", vec![Scope::Admin], None, "scopes"),
        ("LMS", vec![Scope::Read], past, "expires_at"),
    ] {
        let wish = KeyWish {
            name: name.to_owned(),
            scopes,
            expires_at,
        };
        let refused = create(&world.store, &ann, &wish, world.now()).await.unwrap_err();
        assert!(
            matches!(&refused, AccountError::Invalid(input) if input.field == field),
            "{field}: {refused:?}"
        );
    }
}
