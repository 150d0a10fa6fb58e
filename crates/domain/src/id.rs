//! Typed identifiers: a course id cannot be passed where a user id is meant.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id_types {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new `UUIDv7` (RFC 9562): ids made later sort later.
            #[expect(clippy::disallowed_methods, reason = "the one place where ids are made")]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// Wraps an id that was read from the database or a token.
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The id as the database and the wire know it.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

id_types! {
    /// A tenant.
    OrganizationId,
    /// A person in one organization.
    UserId,
    /// A course.
    CourseId,
    /// One run that makes or remakes a course.
    GenerationId,
    /// A row of the queue.
    JobId,
    /// A saved structure of a course.
    VersionId,
    /// One call of a model.
    ModelCallId,
    /// A worker process.
    WorkerId,
    /// A line of refresh tokens, from one sign-in on.
    SessionId,
    /// A key of an integrator.
    ApiKeyId,
    /// A document of a course.
    DocumentId,
    /// Room that an upload has reserved.
    UploadId,
    /// An address of an organization that hears of events.
    WebhookId,
    /// One event on its way to one address.
    DeliveryId,
    /// A request of the API.
    RequestId,
    /// A piece of a document.
    ChunkId,
    /// A question to the documents of a course.
    QuestionId,
}
