//! Signing in and out, who one is, API keys.

use axum::http::header;
use chrono::{DateTime, Utc};
use domain::id::{ApiKeyId, OrganizationId, UserId};
use domain::organization::Tier;
use domain::user::{Actor, Role};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::api_key::{self as keys, ApiKey};
use store::organization::get_organization;
use store::user::get_user;

use super::error::{ApiError, ErrorCode};
use super::page::Done;
use super::{Access, Call, Procedure, Scope, mutation, query};
use crate::auth::api_key::{self, KeyWish};
use crate::auth::session::{AccountError, ClientMark, SignedIn};

/// The rows of this file.
pub(super) fn procedures() -> Vec<Procedure> {
    vec![
        mutation(
            "auth.login",
            Access::Anyone,
            "Sign in with e-mail and password",
            login,
        )
        .fails(&[ErrorCode::WrongCredentials, ErrorCode::Forbidden])
        .example(json!({ "email": "ann@example.org", "password": "correct horse battery" })),
        mutation(
            "auth.refresh",
            Access::Anyone,
            "Go on with a session: both tokens are new, the old refresh token is used up",
            refresh,
        )
        .example(json!({ "refreshToken": "cwr_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG" })),
        mutation("auth.logout", Access::Anyone, "End a session", logout)
            .example(json!({ "refreshToken": "cwr_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG" })),
        mutation(
            "auth.setup",
            Access::Anyone,
            "Make the first account, with the one-time token that the server shows at its first start",
            set_up,
        )
        .fails(&[
            ErrorCode::SetupClosed,
            ErrorCode::WeakPassword,
            ErrorCode::Forbidden,
            ErrorCode::Conflict,
        ])
        .example(json!({
            "token": "cws_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG",
            "email": "ann@example.org",
            "password": "correct horse battery",
        })),
        query("auth.me", Access::User, "Say who is signed in", me).example(json!({})),
        mutation(
            "apiKeys.create",
            Access::Author,
            "Make an API key of one's own; it is shown this once",
            create_key,
        )
        .scope(Scope::Admin)
        .example(json!({ "name": "LMS", "scopes": ["read", "generate"] })),
        query(
            "apiKeys.list",
            Access::User,
            "List API keys: one's own, for admins all",
            list_keys,
        )
        .example(json!({})),
        mutation("apiKeys.revoke", Access::User, "End an API key", revoke_key)
            .scope(Scope::Admin)
            .fails(&[ErrorCode::NotFound])
            .example(json!({ "id": "0198a000-0000-7000-8000-000000000001" })),
    ]
}

/// Address and password of an account.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LoginInput {
    /// The address.
    #[schemars(length(min = 1, max = 320))]
    email: String,
    /// The password.
    #[schemars(length(min = 1, max = 1000), extend("writeOnly" = true))]
    password: String,
}

/// A refresh token.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RefreshInput {
    /// As the last answer gave it.
    #[schemars(length(min = 1, max = 200), extend("writeOnly" = true))]
    refresh_token: String,
}

/// The first account.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SetupInput {
    /// The one-time token.
    #[schemars(length(min = 1, max = 200), extend("writeOnly" = true))]
    token: String,
    /// The address of the account.
    #[schemars(
        length(min = 3, max = 320),
        regex(pattern = r"^[^\s@\x00-\x1f\x7f-\x9f]+@[^\s@\x00-\x1f\x7f-\x9f]+$")
    )]
    email: String,
    /// What its owner is called.
    #[schemars(length(min = 1, max = 200))]
    name: Option<String>,
    /// Its password.
    #[schemars(length(min = 12, max = 128), extend("writeOnly" = true))]
    password: String,
}

/// Nothing is asked.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NoInput {}

/// What signing in gives.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Session")]
struct SessionOutput {
    /// Goes with every request: `Authorization: Bearer ...`.
    access_token: String,
    /// How it is sent: always `Bearer`.
    token_type: &'static str,
    /// Until when it is accepted.
    expires_at: DateTime<Utc>,
    /// Gives the next tokens; once.
    refresh_token: String,
    /// Until when it can be used.
    refresh_expires_at: DateTime<Utc>,
    /// Who is signed in.
    user: Person,
}

/// A person.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Person {
    /// Their id.
    id: UserId,
    /// Their address.
    email: String,
    /// What they are called.
    name: Option<String>,
    /// What they may do.
    role: Role,
    /// Where they belong.
    organization: PersonOrganization,
}

/// Where a person belongs.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PersonOrganization {
    /// Its id.
    id: OrganizationId,
    /// Its name.
    name: String,
    /// Its tier.
    tier: Tier,
}

async fn login(call: Call, input: LoginInput) -> Result<SessionOutput, ApiError> {
    let password = SecretString::from(input.password);
    let signed_in = call
        .service
        .auth
        .login(&input.email, &password, call.address)
        .await?;
    session_output(&call, signed_in).await
}

async fn refresh(call: Call, input: RefreshInput) -> Result<SessionOutput, ApiError> {
    let user_agent = call.header(header::USER_AGENT.as_str()).unwrap_or_default();
    let client = ClientMark::of(call.address, user_agent);
    let token = input.refresh_token.into();
    let signed_in = call.service.auth.refresh(&token, client).await?;
    session_output(&call, signed_in).await
}

async fn logout(call: Call, input: RefreshInput) -> Result<Done, ApiError> {
    call.service.auth.logout(&input.refresh_token.into()).await?;
    Ok(Done::DONE)
}

async fn set_up(call: Call, input: SetupInput) -> Result<SessionOutput, ApiError> {
    let (token, password) = (
        SecretString::from(input.token),
        SecretString::from(input.password),
    );
    let auth = &call.service.auth;
    let signed_in = auth
        .set_up(&token, &input.email, input.name.as_deref(), &password)
        .await?;
    session_output(&call, signed_in).await
}

async fn me(call: Call, _input: NoInput) -> Result<Person, ApiError> {
    let actor = call.actor()?;
    person(&call, actor).await
}

async fn session_output(call: &Call, signed_in: SignedIn) -> Result<SessionOutput, ApiError> {
    Ok(SessionOutput {
        user: person(call, signed_in.actor).await?,
        access_token: signed_in.access.token,
        token_type: "Bearer",
        expires_at: signed_in.access.expires_at,
        refresh_token: signed_in.refresh.expose().to_owned(),
        refresh_expires_at: signed_in.refresh_expires_at,
    })
}

async fn person(call: &Call, actor: Actor) -> Result<Person, ApiError> {
    let read = call.service.store.with_tenant(&actor, async move |tx| {
        let user = get_user(tx, actor.user_id).await?;
        let organization = get_organization(tx, actor.organization_id).await?;
        Ok((user, organization))
    });
    let (user, organization) = read.await?;
    Ok(Person {
        id: user.id,
        email: user.email,
        name: user.name,
        role: user.role,
        organization: PersonOrganization {
            id: organization.id,
            name: organization.name,
            tier: organization.tier,
        },
    })
}

/// A key to make.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateKeyInput {
    /// What people call it.
    #[schemars(
        length(min = 1, max = 100),
        regex(pattern = r"^\s*[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*)$")
    )]
    name: String,
    /// What it may be used for: `read` for queries, `generate` for changes, `admin` for what only admins may.
    #[schemars(length(min = 1, max = 3))]
    scopes: Vec<Scope>,
    /// When it ends by itself.
    expires_at: Option<DateTime<Utc>>,
}

/// The id of a key.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyInput {
    /// The id.
    id: ApiKeyId,
}

/// A key that was just made.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "NewApiKey")]
struct NewKeyOutput {
    /// The key itself, which is never shown again: `Authorization: Bearer cw_...`.
    key: String,
    /// What is kept of it.
    api_key: KeyOutput,
}

/// A key, without what it is made of.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ApiKey")]
struct KeyOutput {
    /// Its id.
    id: ApiKeyId,
    /// As whom it acts.
    user_id: UserId,
    /// What people call it.
    name: String,
    /// The beginning of the key, by which people know it again.
    prefix: String,
    /// What it may be used for.
    scopes: Vec<Scope>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it ends by itself.
    expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    last_used_at: Option<DateTime<Utc>>,
    /// When somebody ended it.
    revoked_at: Option<DateTime<Utc>>,
}

/// Keys.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ApiKeyList")]
struct KeysOutput {
    /// The newest first.
    items: Vec<KeyOutput>,
}

impl From<ApiKey> for KeyOutput {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            user_id: key.user_id,
            name: key.name,
            prefix: key.prefix,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
        }
    }
}

async fn create_key(call: Call, input: CreateKeyInput) -> Result<NewKeyOutput, ApiError> {
    let actor = call.actor()?;
    // A key that leaked must not be able to make itself successors.
    if call.caller.as_ref().is_some_and(|caller| caller.scopes.is_some()) {
        return Err(ApiError::new(ErrorCode::InsufficientScope));
    }
    let wish = KeyWish {
        name: input.name,
        scopes: input.scopes,
        expires_at: input.expires_at,
    };
    let service = &call.service;
    let (key, made) = api_key::create(&service.store, &actor, &wish, service.clock.now()).await?;
    Ok(NewKeyOutput {
        key: key.expose().to_owned(),
        api_key: made.into(),
    })
}

async fn list_keys(call: Call, _input: NoInput) -> Result<KeysOutput, ApiError> {
    let actor = call.actor()?;
    let listed = call
        .service
        .store
        .with_tenant(&actor, async move |tx| keys::list_api_keys(tx).await);
    Ok(KeysOutput {
        items: listed.await?.into_iter().map(KeyOutput::from).collect(),
    })
}

async fn revoke_key(call: Call, input: KeyInput) -> Result<KeyOutput, ApiError> {
    let actor = call.actor()?;
    let id = input.id;
    let revoked = call
        .service
        .store
        .with_tenant(&actor, async move |tx| keys::revoke_api_key(tx, id).await);
    Ok(revoked.await?.into())
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::WrongCredentials => Self::new(ErrorCode::WrongCredentials),
            AccountError::SessionEnded => Self::new(ErrorCode::Unauthenticated),
            AccountError::TooManyTries(secs) => Self::new(ErrorCode::RateLimited).retry_after(secs),
            AccountError::PasswordsOff => Self::new(ErrorCode::Forbidden),
            AccountError::SetupClosed => Self::new(ErrorCode::SetupClosed),
            AccountError::Invalid(input) if input.field == "password" => {
                Self::new(ErrorCode::WeakPassword).with(json!({ "problem": input.message }))
            }
            AccountError::Invalid(input) => vec![input].into(),
            AccountError::Store(error) => error.into(),
            AccountError::Hash(error) => Self::internal(&error),
            AccountError::Token(error) => Self::internal(&error),
            AccountError::Randomness(error) => Self::internal(&error),
        }
    }
}
