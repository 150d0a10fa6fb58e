//! What a call costs by its model's price.

use domain::usage::{MicroUsd, TokenUsage};
use serde::{Deserialize, Serialize};

/// USD per million tokens. The default is free of charge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of prompt tokens.
    pub input: f64,
    /// Of answer tokens.
    pub output: f64,
    /// Of prompt tokens that the provider had in its cache; `None`: like other prompt tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<f64>,
}

impl Price {
    /// The cost of `usage`, of whose prompt `cached_input` tokens came from the provider's cache.
    pub fn cost(&self, usage: TokenUsage, cached_input: u64) -> MicroUsd {
        let cached_input = cached_input.min(usage.input);
        let fresh_input = usage.input - cached_input;
        // USD per million tokens is the same number as micro-USD per token.
        let micros = fresh_input as f64 * self.input
            + cached_input as f64 * self.cached.unwrap_or(self.input)
            + usage.output as f64 * self.output;
        MicroUsd::from_usd(micros / 1e6)
    }
}

/// The price that is assumed of a model whose price nobody knows, so that a budget can hold it back all the same: what
/// hosted models of middle size cost in November 2026. Never shown as a cost.
pub const ASSUMED_PRICE: Price = Price {
    input: 0.5,
    output: 2.0,
    cached: None,
};

/// What a call cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// The provider said so, or the card has a price.
    Known(MicroUsd),
    /// Nobody knows the price; this much is counted against the budget ([`ASSUMED_PRICE`]).
    Assumed(MicroUsd),
}

impl Cost {
    /// Nothing.
    pub const FREE: Self = Self::Known(MicroUsd::ZERO);

    /// What is counted against a budget.
    pub const fn counted(self) -> MicroUsd {
        match self {
            Self::Known(cost) | Self::Assumed(cost) => cost,
        }
    }

    /// The cost that may be shown.
    pub const fn known(self) -> Option<MicroUsd> {
        match self {
            Self::Known(cost) => Some(cost),
            Self::Assumed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_price_times_tokens() {
        let price = Price {
            input: 1.2,
            output: 6.0,
            cached: Some(0.24),
        };
        assert_eq!(price.cost(TokenUsage::new(1_000_000, 0), 0), MicroUsd(1_200_000));
        assert_eq!(
            price.cost(TokenUsage::new(1_000, 500), 0),
            MicroUsd(1_200 + 3_000)
        );
        assert_eq!(price.cost(TokenUsage::new(1_000, 0), 1_000), MicroUsd(240));
        assert_eq!(price.cost(TokenUsage::new(1_000, 0), 5_000), MicroUsd(240));
        assert_eq!(Price::default().cost(TokenUsage::new(9, 9), 0), MicroUsd::ZERO);
    }
}
