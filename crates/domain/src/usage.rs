//! Tokens and money.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Micro-USD in one dollar.
const MICROS_PER_USD: f64 = 1_000_000.0;

/// Money as whole millionths of a US dollar: sums are exact.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct MicroUsd(pub i64);

impl MicroUsd {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// Rounds dollars to the nearest millionth.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cost beyond 9e12 dollars saturates"
    )]
    pub fn from_usd(usd: f64) -> Self {
        Self((usd * MICROS_PER_USD).round() as i64)
    }

    /// The amount in dollars, for showing and for JSON fields named `_usd`.
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / MICROS_PER_USD
    }
}

impl fmt::Display for MicroUsd {
    /// Dollars with as many digits as the amount needs: `$0.0042`, `$1.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 != 0 && self.0.abs() < 10_000 {
            write!(f, "${:.6}", self.as_usd())
        } else {
            write!(f, "${:.2}", self.as_usd())
        }
    }
}

impl Add for MicroUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for MicroUsd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for MicroUsd {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for MicroUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// Tokens of one or more model calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenUsage {
    /// Tokens of the prompts.
    pub input: u64,
    /// Tokens of the answers.
    pub output: u64,
    /// Both together.
    pub total: u64,
}

impl TokenUsage {
    /// The usage of one call.
    pub const fn new(input: u64, output: u64) -> Self {
        Self {
            input,
            output,
            total: input + output,
        }
    }
}

impl Add for TokenUsage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(self.input + other.input, self.output + other.output)
    }
}

impl AddAssign for TokenUsage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for TokenUsage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), Add::add)
    }
}
