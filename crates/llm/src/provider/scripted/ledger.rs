//! What a scripted server billed, and how often it gave the same answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use domain::usage::MicroUsd;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The server's own books. Cheap to share.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    calls: u64,
    refused: u64,
    under_way: u64,
    most_at_once: u64,
    billed: MicroUsd,
    billed_to: BTreeMap<String, i64>,
    answered: BTreeMap<String, Answered>,
}

/// A request that got a complete, good answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// SHA-256 of the request's body.
    pub hash: String,
    /// What was asked: the schema's name and, where it can be told, the number.
    pub name: String,
    /// How often it was answered so: more than once, and somebody paid twice for the same.
    pub count: u64,
}

/// The books at one moment, as `GET /__ledger` shows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Chat completions that were asked for, refused ones included.
    pub calls: u64,
    /// Of them, those that the dialect refused.
    pub refused: u64,
    /// The most that were under way at once.
    pub most_at_once: u64,
    /// What was billed in all, also for attempts that broke after they were billed.
    pub billed_usd_micros: i64,
    /// The same by who was billed, where the server can tell ([`super::server::Behaviour::payer`]).
    pub billed_to: BTreeMap<String, i64>,
    /// Requests that got a complete, good answer.
    pub requests: Vec<Answered>,
}

/// A call under way; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay<'a>(&'a Ledger);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.change(|books| books.under_way -= 1);
    }
}

impl Ledger {
    /// The books now.
    pub fn balance(&self) -> Balance {
        self.change(|books| Balance {
            calls: books.calls,
            refused: books.refused,
            most_at_once: books.most_at_once,
            billed_usd_micros: books.billed.0,
            billed_to: books.billed_to.clone(),
            requests: books.answered.values().cloned().collect(),
        })
    }

    pub(super) fn begin(&self) -> UnderWay<'_> {
        self.change(|books| {
            books.calls += 1;
            books.under_way += 1;
            books.most_at_once = books.most_at_once.max(books.under_way);
        });
        UnderWay(self)
    }

    pub(super) fn refused(&self) {
        self.change(|books| books.refused += 1);
    }

    pub(super) fn billed(&self, cost: MicroUsd, payer: Option<String>) {
        self.change(|books| {
            books.billed += cost;
            if let Some(payer) = payer {
                *books.billed_to.entry(payer).or_default() += cost.0;
            }
        });
    }

    pub(super) fn answered(&self, body: &Value, name: String) {
        let hash = hex::encode(Sha256::digest(body.to_string()));
        self.change(|books| {
            let request = books
                .answered
                .entry(hash.clone())
                .or_insert(Answered { hash, name, count: 0 });
            request.count += 1;
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
