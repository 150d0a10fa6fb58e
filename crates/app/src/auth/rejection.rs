//! Why somebody is not let in.

use store::error::StoreError;

use super::secret_token::NoRandomness;

/// Why a token or key is refused. The caller hears 401 and nothing else; the reason is counted and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rejection {
    /// Longer than any honest token.
    TooLong,
    /// Not three parts of base64url, or no JSON in them.
    Malformed,
    /// Signed with another algorithm than the configured one, or with none.
    Algorithm,
    /// The signature is missing or does not fit.
    Signature,
    /// Signed with a key that the issuer does not publish.
    UnknownKey,
    /// No longer valid.
    Expired,
    /// Not valid yet.
    NotYetValid,
    /// Of another issuer.
    Issuer,
    /// For somebody else.
    Audience,
    /// A claim that is needed is missing or has no meaning here.
    Claims,
    /// The person does not exist (any more), or belongs elsewhere.
    UnknownUser,
    /// The API key does not exist, is revoked or has expired.
    ApiKey,
    /// The cookie is not, or no longer, that of a session.
    Session,
    /// The cookie came with a request that another site may have caused.
    CrossSite,
}

impl Rejection {
    /// The word in metrics and logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::UnknownKey => "unknown_key",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Claims => "claims",
            Self::UnknownUser => "unknown_user",
            Self::ApiKey => "api_key",
            Self::Session => "session",
            Self::CrossSite => "cross_site",
        }
    }
}

/// Why it could not be said who calls.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    /// The token or key is refused.
    #[error("the token is refused: {}", .0.as_str())]
    Rejected(Rejection),
    /// The identity provider's keys cannot be had, so nobody can be refused either.
    #[error("the keys of the identity provider cannot be fetched")]
    NoKeys,
    /// No cookie could be made.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The database refused or did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Rejection> for AuthError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}
