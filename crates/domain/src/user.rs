//! People and what they may do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{OrganizationId, UserId};

/// The one role of a person in their organization (product, "Words").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads published courses.
    Student,
    /// Makes courses.
    Instructor,
    /// Runs an organization.
    Admin,
    /// Runs the installation.
    Superadmin,
}

impl Role {
    /// Every role, from the least to the most.
    pub const ALL: [Self; 4] = [Self::Student, Self::Instructor, Self::Admin, Self::Superadmin];

    /// The name in the database, tokens and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Student => "student",
            Self::Instructor => "instructor",
            Self::Admin => "admin",
            Self::Superadmin => "superadmin",
        }
    }

    /// Whether the role may create, generate, edit and export courses of its own (service 4.6).
    pub const fn may_author(self) -> bool {
        !matches!(self, Self::Student)
    }
}

/// On whose behalf something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The person.
    pub user_id: UserId,
    /// Their organization.
    pub organization_id: OrganizationId,
    /// Their role in it.
    pub role: Role,
}
