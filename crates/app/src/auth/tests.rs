//! Tokens, keys and accounts against a real database; keys of providers over real HTTP.

mod accounts;
mod browser;
mod keys;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use domain::clock::{Clock, FixedClock};
use domain::id::{OrganizationId, UserId};
use domain::user::{Actor, Role};
use serde_json::{Value, json};
use store::Store;
use store::testkit::{TestDatabase, database};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::rejection::{AuthError, Rejection};
use super::{Authenticator, Credential};
use crate::config::{Config, Environment, Flags};
use crate::procedures::Caller;
use keys::{TestKey, part};

const SECRET: &str = "a secret of thirty-two bytes at least";
const ISSUER: &str = "https://id.example.org/";
const AUDIENCE: &str = "courses";

/// An authenticator on a database of its own.
struct World {
    auth: Authenticator,
    store: Arc<Store>,
    clock: Arc<FixedClock>,
    _folder: tempfile::TempDir,
    _database: TestDatabase,
}

impl World {
    async fn new(variables: &[(&str, &str)]) -> Self {
        let database = database().await.unwrap();
        let store = Arc::new(database.open().await.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let environment: Environment = variables.iter().copied().collect();
        let flags = Flags {
            data_dir: Some(folder.path().to_path_buf()),
            ..Flags::default()
        };
        let config = Config::load(&flags, &environment).unwrap();
        let clock = Arc::new(FixedClock::new(
            DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        ));
        let told: Arc<dyn Clock> = Arc::clone(&clock) as _;
        Self {
            auth: Authenticator::start(&config, Arc::clone(&store), told)
                .await
                .unwrap(),
            store,
            clock,
            _folder: folder,
            _database: database,
        }
    }

    async fn with_secret() -> Self {
        Self::new(&[
            ("COURSEWRIGHT_JWT_SECRET", SECRET),
            ("COURSEWRIGHT_AUTH__ISSUER", ISSUER),
            ("COURSEWRIGHT_AUTH__AUDIENCE", AUDIENCE),
        ])
        .await
    }

    async fn with_provider(provider: &MockServer, algorithm: &str) -> Self {
        Self::new(&[
            ("COURSEWRIGHT_AUTH__JWKS_URL", &format!("{}/keys", provider.uri())),
            ("COURSEWRIGHT_AUTH__ALGORITHM", algorithm),
            ("COURSEWRIGHT_AUTH__ISSUER", ISSUER),
            ("COURSEWRIGHT_AUTH__AUDIENCE", AUDIENCE),
        ])
        .await
    }

    async fn identify(&self, text: &str) -> Result<Caller, AuthError> {
        self.auth.identify(&Credential::new(text)).await
    }

    #[track_caller]
    fn refused(found: &Result<Caller, AuthError>, reason: Rejection) {
        assert!(
            matches!(found, Err(AuthError::Rejected(found)) if *found == reason),
            "{reason:?} expected: {found:?}"
        );
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Good claims of an instructor, changed by `change`.
    fn claims(&self, change: impl FnOnce(&mut Value)) -> Value {
        let mut claims = json!({
            "sub": "0198a000-0000-7000-8000-000000000001",
            "email": "ann@example.org",
            "user_role": "instructor",
            "organization_id": "0198a000-0000-7000-8000-000000000002",
            "iss": ISSUER,
            "aud": [AUDIENCE, "others"],
            "exp": self.now().timestamp() + 600,
        });
        change(&mut claims);
        claims
    }
}

/// A provider that publishes these keys.
async fn publish(provider: &MockServer, keys: Value) {
    provider.reset().await;
    Mock::given(path("/keys"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "keys": keys })))
        .mount(provider)
        .await;
}

async fn fetches(provider: &MockServer) -> usize {
    provider.received_requests().await.unwrap().len()
}

#[tokio::test]
async fn good_token_brings_its_person_and_organization_in() {
    let world = World::with_secret().await;
    let key = TestKey::Hs256(SECRET.into());
    let caller = world
        .identify(&key.sign(None, &world.claims(|_| {})))
        .await
        .unwrap();
    assert_eq!(caller.scopes, None);
    assert_eq!(caller.actor.role, Role::Instructor);
    let user = world
        .store
        .with_tenant(&caller.actor, async |tx| {
            store::user::get_user(tx, tx.actor().user_id).await
        })
        .await;
    assert_eq!(user.unwrap().email, "ann@example.org");

    // The provider decides what they may, from the next token on.
    let promoted = key.sign(None, &world.claims(|claims| claims["user_role"] = "admin".into()));
    assert_eq!(world.identify(&promoted).await.unwrap().actor.role, Role::Admin);
    // But nobody moves to another organization, and nobody takes another's address.
    let elsewhere = world.claims(|claims| claims["organization_id"] = json!(UserId::generate()));
    World::refused(
        &world.identify(&key.sign(None, &elsewhere)).await,
        Rejection::UnknownUser,
    );
    let other = world.claims(|claims| claims["sub"] = json!(UserId::generate()));
    World::refused(
        &world.identify(&key.sign(None, &other)).await,
        Rejection::UnknownUser,
    );
}

#[tokio::test]
async fn every_attack_on_a_shared_secret_is_refused_for_its_reason() {
    let world = World::with_secret().await;
    let key = TestKey::Hs256(SECRET.into());
    let now = world.now().timestamp();
    let good = key.sign(None, &world.claims(|_| {}));
    world.identify(&good).await.unwrap();

    let changed = [
        ("exp", json!(now - 31), Rejection::Expired),
        ("exp", Value::Null, Rejection::Claims),
        ("exp", json!("tomorrow"), Rejection::Claims),
        ("nbf", json!(now + 31), Rejection::NotYetValid),
        ("iss", json!("https://evil.example/"), Rejection::Issuer),
        ("iss", Value::Null, Rejection::Issuer),
        // Own tokens have another key.
        ("iss", json!("coursewright"), Rejection::Signature),
        ("aud", json!("others"), Rejection::Audience),
        ("aud", json!(["others"]), Rejection::Audience),
        ("aud", Value::Null, Rejection::Audience),
        ("sub", Value::Null, Rejection::Claims),
        ("sub", json!(1), Rejection::Claims),
        ("user_role", json!("root"), Rejection::Claims),
        ("organization_id", Value::Null, Rejection::Claims),
    ];
    for (claim, value, reason) in changed {
        let claims = world.claims(|claims| claims[claim] = value.clone());
        let found = world.identify(&key.sign(None, &claims)).await;
        assert!(
            matches!(&found, Err(AuthError::Rejected(found)) if *found == reason),
            "{claim} {value}: {found:?}"
        );
    }
    // Clocks may differ by 30 s.
    let late = world.claims(|claims| claims["exp"] = json!(now - 29));
    world.identify(&key.sign(None, &late)).await.unwrap();

    let claims = world.claims(|_| {});
    for name in ["none", "None", "NONE", "HS384", "RS256", "HS512", "hs256", ""] {
        let token = key.sign_with(&json!({"alg": name}), &claims);
        World::refused(&world.identify(&token).await, Rejection::Algorithm);
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        World::refused(
            &world.identify(&format!("{unsigned}.")).await,
            Rejection::Algorithm,
        );
    }
    let (unsigned, signature) = good.rsplit_once('.').unwrap();
    let forged = TestKey::Hs256(b"another secret of thirty-two bytes".to_vec());
    let stolen = unsigned.split_once('.').unwrap().0.to_owned()
        + "."
        + &part(
            world
                .claims(|claims| claims["user_role"] = "superadmin".into())
                .to_string()
                .as_bytes(),
        )
        + "."
        + signature;
    for (token, reason) in [
        (format!("{unsigned}."), Rejection::Signature),
        (format!("{unsigned}.{}", part(b"short")), Rejection::Signature),
        (format!("{unsigned}.***"), Rejection::Signature),
        (forged.sign(None, &claims), Rejection::Signature),
        (
            TestKey::Hs256(Vec::new()).sign(None, &claims),
            Rejection::Signature,
        ),
        (stolen, Rejection::Signature),
        (unsigned.to_owned(), Rejection::Malformed),
        (format!("{good}.{signature}"), Rejection::Malformed),
        (String::new(), Rejection::Malformed),
        ("a.b.c".to_owned(), Rejection::Malformed),
        (
            key.sign_with(&json!({"alg": "HS256", "crit": ["exp"]}), &claims),
            Rejection::Malformed,
        ),
        (key.sign_with(&json!({"kid": "1"}), &claims), Rejection::Malformed),
        ("x".repeat(8 * 1024 + 1), Rejection::TooLong),
        (format!("{good}{}", "A".repeat(1 << 20)), Rejection::TooLong),
    ] {
        World::refused(&world.identify(&token).await, reason);
    }
}

#[tokio::test]
async fn published_keys_verify_all_three_algorithms() {
    for (key, algorithm) in [
        (TestKey::rs256(), "RS256"),
        (TestKey::es256(), "ES256"),
        (TestKey::ed_dsa(), "EdDSA"),
    ] {
        let provider = MockServer::start().await;
        let odd = json!({"kty": "new", "kid": "odd"});
        publish(
            &provider,
            json!([odd, key.jwk("one"), TestKey::Hs256(SECRET.into()).jwk("shared")]),
        )
        .await;
        let world = World::with_provider(&provider, algorithm).await;
        let claims = world.claims(|_| {});
        world.identify(&key.sign(Some("one"), &claims)).await.unwrap();
        // One usable key only: a token need not name it.
        world.identify(&key.sign(None, &claims)).await.unwrap();
        assert_eq!(fetches(&provider).await, 1, "{algorithm}");

        let token = key.sign(Some("one"), &claims);
        let (message, signature) = token.rsplit_once('.').unwrap();
        let last = if signature.starts_with('A') { 'B' } else { 'A' };
        let bent = format!("{message}.{last}{}", &signature[1..]);
        World::refused(&world.identify(&bent).await, Rejection::Signature);
        World::refused(
            &world.identify(&format!("{message}.")).await,
            Rejection::Signature,
        );
        // The published key used as a shared secret, and a shared secret that is published.
        for (confused, id) in [
            (TestKey::Hs256(key.jwk("one").to_string().into_bytes()), "one"),
            (TestKey::Hs256(part(b"key").into_bytes()), "one"),
            (TestKey::Hs256(SECRET.into()), "shared"),
        ] {
            let token = confused.sign(Some(id), &claims);
            World::refused(&world.identify(&token).await, Rejection::Algorithm);
            let lying = confused.sign_with(&json!({"alg": algorithm, "kid": id}), &claims);
            let found = world.identify(&lying).await;
            assert!(matches!(found, Err(AuthError::Rejected(_))), "{found:?}");
        }
        let other = TestKey::es256().sign(Some("one"), &claims);
        let found = world.identify(&other).await;
        assert!(matches!(found, Err(AuthError::Rejected(_))), "{found:?}");
        assert_eq!(fetches(&provider).await, 1, "{algorithm}");
    }
}

#[tokio::test]
async fn new_keys_are_known_at_once_and_withdrawn_ones_forgotten() {
    let provider = MockServer::start().await;
    let (old, new) = (TestKey::es256(), TestKey::es256());
    publish(&provider, json!([old.jwk("old")])).await;
    let world = World::with_provider(&provider, "ES256").await;
    let sign = |key: &TestKey, id: &str| {
        key.sign(
            Some(id),
            &world.claims(|claims| claims["exp"] = json!(2_000_000_000)),
        )
    };
    world.identify(&sign(&old, "old")).await.unwrap();

    publish(&provider, json!([old.jwk("old"), new.jwk("new")])).await;
    // A look at the provider was just taken: the next one comes in a minute.
    World::refused(&world.identify(&sign(&new, "new")).await, Rejection::UnknownKey);
    assert_eq!(fetches(&provider).await, 0);
    world.clock.advance(TimeDelta::seconds(61));
    world.identify(&sign(&new, "new")).await.unwrap();
    assert_eq!(fetches(&provider).await, 1);

    // Made-up keys cost one look a minute, however many come at once.
    world.clock.advance(TimeDelta::seconds(61));
    let tokens: Vec<_> = (0..50)
        .map(|number| sign(&new, &format!("made up {number}")))
        .collect();
    for found in futures::future::join_all(tokens.iter().map(|token| world.identify(token))).await {
        World::refused(&found, Rejection::UnknownKey);
    }
    assert_eq!(fetches(&provider).await, 2);

    publish(&provider, json!([new.jwk("new")])).await;
    world.clock.advance(TimeDelta::minutes(10));
    World::refused(&world.identify(&sign(&old, "old")).await, Rejection::UnknownKey);
    world.identify(&sign(&new, "new")).await.unwrap();
}

#[tokio::test]
async fn keys_outlive_a_provider_that_does_not_answer_for_an_hour() {
    let provider = MockServer::start().await;
    let key = TestKey::ed_dsa();
    let world = World::with_provider(&provider, "EdDSA").await;
    let token = key.sign(
        Some("one"),
        &world.claims(|claims| claims["exp"] = json!(2_000_000_000)),
    );
    let found = world.identify(&token).await;
    assert!(
        matches!(found, Err(AuthError::NoKeys)),
        "nobody is refused for want of keys: {found:?}"
    );

    publish(&provider, json!([key.jwk("one")])).await;
    world.clock.advance(TimeDelta::seconds(6));
    world.identify(&token).await.unwrap();
    provider.reset().await;
    world.clock.advance(TimeDelta::minutes(59));
    world.identify(&token).await.unwrap();
    world.clock.advance(TimeDelta::minutes(2));
    let found = world.identify(&token).await;
    assert!(matches!(found, Err(AuthError::NoKeys)), "{found:?}");
}

#[tokio::test]
async fn own_tokens_are_good_in_every_process_and_only_for_people_who_exist() {
    let world = World::new(&[]).await;
    let owner = world
        .store
        .with_system(async |tx| store::organization::ensure_local_owner(tx).await)
        .await
        .unwrap();
    let token = world.auth.sign(&owner, TimeDelta::minutes(15)).unwrap().token;
    assert_eq!(world.identify(&token).await.unwrap().actor, owner);
    let stranger = Actor {
        user_id: UserId::generate(),
        organization_id: OrganizationId::generate(),
        role: Role::Superadmin,
    };
    let made_up = world.auth.sign(&stranger, TimeDelta::minutes(15)).unwrap().token;
    World::refused(&world.identify(&made_up).await, Rejection::UnknownUser);
    // No identity provider is configured: its tokens are nobody's.
    let foreign = TestKey::Hs256(SECRET.into()).sign(None, &world.claims(|_| {}));
    World::refused(&world.identify(&foreign).await, Rejection::Issuer);

    world.clock.advance(TimeDelta::minutes(16));
    World::refused(&world.identify(&token).await, Rejection::Expired);
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let check = async |variables: &[(&str, &str)], part: &str| {
        let folder = tempfile::tempdir().unwrap();
        let flags = Flags {
            data_dir: Some(folder.path().to_path_buf()),
            ..Flags::default()
        };
        let config = Config::load(&flags, &variables.iter().copied().collect()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(DateTime::UNIX_EPOCH));
        let refused = super::identity_provider::IdentityProvider::of(&config, clock).unwrap_err();
        assert!(refused.to_string().contains(part), "{refused}");
    };
    let url = ("COURSEWRIGHT_AUTH__JWKS_URL", "https://id.example.org/keys");
    check(&[("COURSEWRIGHT_JWT_SECRET", "short")], "32").await;
    check(&[url, ("COURSEWRIGHT_AUTH__ALGORITHM", "HS256")], "HS256").await;
    check(
        &[url, ("COURSEWRIGHT_AUTH__ISSUER", "coursewright")],
        "auth.issuer",
    )
    .await;
    let secret = ("COURSEWRIGHT_JWT_SECRET", SECRET);
    check(&[secret, ("COURSEWRIGHT_AUTH__ALGORITHM", "RS256")], "jwks_url").await;
}
