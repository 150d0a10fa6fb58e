//! Tenants, tiers and quotas.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The limits and the queue priority of an organization (service 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Fourteen days of everything a standard customer has.
    Trial,
    /// One generation at a time, no documents.
    Free,
    /// Plain-text documents.
    Basic,
    /// Office documents.
    Standard,
    /// Everything, images included.
    Premium,
}

impl Tier {
    /// Every tier, as the data model lists them.
    pub const ALL: [Self; 5] = [
        Self::Trial,
        Self::Free,
        Self::Basic,
        Self::Standard,
        Self::Premium,
    ];

    /// The name in the database, tokens and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Free => "free",
            Self::Basic => "basic",
            Self::Standard => "standard",
            Self::Premium => "premium",
        }
    }

    /// The queue priority before an operator edits `tier_settings`; higher starts first (service 4.3).
    pub const fn default_priority(self) -> i16 {
        match self {
            Self::Free => 1,
            Self::Basic => 3,
            Self::Trial | Self::Standard => 5,
            Self::Premium => 10,
        }
    }
}
