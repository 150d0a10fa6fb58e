//! Tokens of an identity provider: Supabase Auth, Keycloak, Auth0 and the like.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::clock::Clock;
use domain::id::{OrganizationId, UserId};
use domain::organization::Tier;
use domain::user::Role;
use jsonwebtoken::DecodingKey;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use store::user::KnownUser;
use url::Url;
use uuid::Uuid;

use super::jwks::PublishedKeys;
use super::jwt::{Claims, Rules, Unverified, Verified};
use super::own_token::OWN_ISSUER;
use super::rejection::{AuthError, Rejection};
use crate::config::{Config, TokenAlgorithm};
use crate::failure::Failure;

/// What a shared secret must have at least, in bytes: the length of the hash (RFC 7518, 3.2).
const LEAST_SECRET_BYTES: usize = 32;

/// The configured identity provider.
pub(super) struct IdentityProvider {
    rules: Rules,
    keys: Keys,
    default_organization: Option<OrganizationId>,
}

enum Keys {
    Shared(DecodingKey),
    Published(PublishedKeys),
}

/// A person as a token describes them, and the tier of their organization if it must be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) user: KnownUser,
    pub(super) tier: Tier,
}

impl IdentityProvider {
    /// The provider of the configuration, if there is one.
    ///
    /// # Errors
    /// [`Failure`] that names the setting which is wrong.
    pub(super) fn of(config: &Config, clock: Arc<dyn Clock>) -> Result<Option<Self>, Failure> {
        let settings = &config.settings.auth;
        let keys = match (&settings.jwks_url, &config.jwt_secret) {
            (None, None) => return Ok(None),
            (Some(url), _) => {
                let url = Url::parse(url)
                    .map_err(|_| Failure::setup(format!("auth.jwks_url is not a URL: '{url}'")))?;
                let algorithm = settings.algorithm.unwrap_or(TokenAlgorithm::Rs256);
                if algorithm == TokenAlgorithm::Hs256 {
                    return Err(Failure::setup(
                        "auth.algorithm is HS256, but keys at auth.jwks_url are public: HS256 needs a secret",
                    )
                    .advice("set auth.algorithm to RS256, ES256 or EdDSA, as the provider signs"));
                }
                Keys::Published(PublishedKeys::new(url, algorithm, clock)?)
            }
            (None, Some(secret)) => {
                let secret = secret.expose_secret().as_bytes();
                if secret.len() < LEAST_SECRET_BYTES {
                    return Err(Failure::setup(format!(
                        "the secret in {} has {} bytes: HS256 needs at least {LEAST_SECRET_BYTES}",
                        settings.jwt_secret_env,
                        secret.len()
                    )));
                }
                if settings
                    .algorithm
                    .is_some_and(|found| found != TokenAlgorithm::Hs256)
                {
                    return Err(Failure::setup("auth.algorithm needs auth.jwks_url")
                        .advice("set auth.jwks_url, or leave auth.algorithm out: a secret means HS256"));
                }
                Keys::Shared(DecodingKey::from_secret(secret))
            }
        };
        if settings.issuer.as_deref() == Some(OWN_ISSUER) {
            return Err(Failure::setup(format!(
                "auth.issuer must not be '{OWN_ISSUER}': own tokens have it"
            )));
        }
        if settings.issuer.is_none() || settings.audience.is_none() {
            tracing::warn!(
                "auth.issuer and auth.audience are not both set: tokens that were issued for others may be accepted"
            );
        }
        Ok(Some(Self {
            rules: Rules {
                algorithm: keys.algorithm(settings.algorithm),
                issuer: settings.issuer.clone(),
                audience: settings.audience.clone(),
            },
            keys,
            default_organization: settings.default_organization,
        }))
    }

    /// Whom a token describes.
    ///
    /// # Errors
    /// [`AuthError`]; `NoKeys` if the provider cannot be asked for its keys.
    pub(super) async fn verify(
        &self,
        token: &str,
        unverified: &Unverified,
        now: DateTime<Utc>,
    ) -> Result<Described, AuthError> {
        // First, so that a token with a made-up algorithm costs no look at the provider.
        self.rules.check_algorithm(unverified)?;
        let key = match &self.keys {
            Keys::Shared(key) => key.clone(),
            Keys::Published(keys) => keys.key(unverified.key_id.as_deref()).await?,
        };
        let claims = self.rules.verify(token, &key, now)?;
        Ok(described(&claims, self.default_organization)?)
    }
}

impl Keys {
    fn algorithm(&self, configured: Option<TokenAlgorithm>) -> TokenAlgorithm {
        match self {
            Self::Shared(_) => TokenAlgorithm::Hs256,
            Self::Published(_) => configured.unwrap_or(TokenAlgorithm::Rs256),
        }
    }
}

impl fmt::Debug for IdentityProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityProvider")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// What claims mean here (service 4.6).
///
/// # Errors
/// [`Rejection::Claims`] if it is not said who it is or where they belong, or if the role means nothing here.
fn described(claims: &Claims, default_organization: Option<OrganizationId>) -> Result<Described, Rejection> {
    let issuer = claims.iss.as_deref().unwrap_or_default();
    let subject = first(&[&claims.sub, &claims.user_id]).ok_or(Rejection::Claims)?;
    let user_id = UserId::from_uuid(id_of(issuer, "user", subject));
    let organization = first(&[&claims.organization_id, &claims.app_metadata.organization_id]);
    let organization_id = match organization {
        Some(name) => OrganizationId::from_uuid(id_of(issuer, "organization", name)),
        None => default_organization.ok_or(Rejection::Claims)?,
    };
    let tier = first(&[&claims.tier, &claims.app_metadata.tier])
        .and_then(|word| Tier::ALL.into_iter().find(|tier| tier.as_str() == word));
    // An address that its bearer has not shown to be theirs (OpenID Connect Core, 5.1) would let them take the place of
    // whoever has it. Providers that do not tell check it before they sign anybody in.
    let email = first(&[&claims.email])
        .filter(|_| claims.email_verified.as_ref().is_none_or(Verified::is_true))
        .map(str::to_owned);
    Ok(Described {
        user: KnownUser {
            user_id,
            organization_id,
            email,
            role: role(claims)?,
        },
        // Whoever wants more for a new tenant says so in the token, or sets it here.
        tier: tier.unwrap_or(Tier::Free),
    })
}

/// The first of these that says something.
fn first<'a>(values: &[&'a Option<String>]) -> Option<&'a str> {
    values
        .iter()
        .filter_map(|value| value.as_deref().map(str::trim))
        .find(|value| !value.is_empty())
}

/// The role: `user_role`, then `app_metadata.role`, and `role` last, because there Supabase names a role of the
/// database. A word for a person that means nothing here is refused; a word for the database gives the least.
fn role(claims: &Claims) -> Result<Role, Rejection> {
    let known = |word: &str| Role::ALL.into_iter().find(|role| role.as_str() == word);
    if let Some(word) = first(&[&claims.user_role, &claims.app_metadata.role]) {
        return known(word).ok_or(Rejection::Claims);
    }
    match first(&[&claims.role]) {
        None | Some("authenticated") => Ok(Role::Student),
        Some(word) => known(word).ok_or(Rejection::Claims),
    }
}

/// An id of ours for a name at an issuer. A UUID is taken as it is; any other text (`auth0|5f7c...`) gives always the
/// same UUID of version 8 (RFC 9562, 5.8), which differs between issuers.
fn id_of(issuer: &str, kind: &str, name: &str) -> Uuid {
    if let Ok(id) = Uuid::parse_str(name) {
        return id;
    }
    let mut digest = Sha256::new();
    for part in [issuer, kind, name] {
        // With the length before it, no two lists of parts give the same text.
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const USER: &str = "0198a000-0000-7000-8000-000000000001";
    const ORGANIZATION: &str = "0198a000-0000-7000-8000-000000000002";

    #[track_caller]
    fn read(claims: serde_json::Value) -> Result<Described, Rejection> {
        described(&serde_json::from_value(claims).unwrap(), None)
    }

    #[test]
    fn claims_of_each_provider_are_understood() {
        let own = read(
            json!({"user_id": USER, "role": "admin", "organization_id": ORGANIZATION, "tier": "premium"}),
        );
        let own = own.unwrap();
        assert_eq!(own.user.user_id.to_string(), USER);
        assert_eq!(own.user.organization_id.to_string(), ORGANIZATION);
        assert_eq!((own.user.role, own.tier), (Role::Admin, Tier::Premium));
        assert_eq!(own.user.email, None);

        let supabase = json!({"sub": USER, "role": "authenticated", "email": "ann@example.org",
            "app_metadata": {"role": "instructor", "organization_id": ORGANIZATION}});
        let supabase = read(supabase).unwrap();
        assert_eq!(
            (supabase.user.role, supabase.tier),
            (Role::Instructor, Tier::Free)
        );
        assert_eq!(supabase.user.email.as_deref(), Some("ann@example.org"));
    }

    #[test]
    fn addresses_that_were_not_verified_do_not_count() {
        let check = |verified: serde_json::Value, counts: bool| {
            let claims = json!({"sub": USER, "organization_id": ORGANIZATION, "email": "ann@example.org",
                "email_verified": verified});
            let email = read(claims).unwrap().user.email;
            assert_eq!(email.is_some(), counts, "{verified}");
        };
        check(json!(true), true);
        check(json!(null), true);
        // Some providers send texts.
        check(json!("true"), true);
        check(json!(false), false);
        check(json!("false"), false);
        check(json!("perhaps"), false);
    }

    #[test]
    fn the_first_role_that_is_named_counts() {
        let check = |claims: serde_json::Value, expected: Result<Role, Rejection>| {
            let mut all = json!({"sub": USER, "organization_id": ORGANIZATION});
            all.as_object_mut()
                .unwrap()
                .extend(claims.as_object().unwrap().clone());
            assert_eq!(read(all).map(|read| read.user.role), expected, "{claims}");
        };
        check(json!({}), Ok(Role::Student));
        check(json!({"role": "authenticated"}), Ok(Role::Student));
        check(
            json!({"role": "superadmin", "user_role": "student"}),
            Ok(Role::Student),
        );
        check(
            json!({"role": "superadmin", "app_metadata": {"role": "admin"}}),
            Ok(Role::Admin),
        );
        check(
            json!({"user_role": "instructor", "app_metadata": {"role": "admin"}}),
            Ok(Role::Instructor),
        );
        check(json!({"role": "service_role"}), Err(Rejection::Claims));
        check(json!({"user_role": "root"}), Err(Rejection::Claims));
        check(json!({"user_role": "Superadmin"}), Err(Rejection::Claims));
        // What the user may write of themselves counts for nothing.
        check(
            json!({"user_metadata": {"role": "superadmin"}}),
            Ok(Role::Student),
        );
    }

    #[test]
    fn nobody_and_nowhere_are_refused() {
        assert_eq!(
            read(json!({"organization_id": ORGANIZATION})),
            Err(Rejection::Claims)
        );
        assert_eq!(
            read(json!({"sub": " ", "organization_id": ORGANIZATION})),
            Err(Rejection::Claims)
        );
        assert_eq!(read(json!({"sub": USER})), Err(Rejection::Claims));
    }

    #[test]
    fn names_that_are_no_uuids_give_stable_ids() {
        let id = id_of("https://a.example/", "user", "auth0|1");
        assert_eq!(id, id_of("https://a.example/", "user", "auth0|1"));
        assert_eq!(id.get_version_num(), 8);
        for (issuer, kind, name) in [
            ("https://b.example/", "user", "auth0|1"),
            ("https://a.example/", "organization", "auth0|1"),
            ("https://a.example/", "user", "auth0|2"),
            ("https://a.example/user", "", "auth0|1"),
        ] {
            assert_ne!(id, id_of(issuer, kind, name));
        }
    }
}
