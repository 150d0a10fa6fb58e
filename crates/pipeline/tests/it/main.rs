//! The pipeline on a real database, with scripted models.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod documents;
mod grounding;
mod ingestion;
mod ladder;
mod regeneration;
mod rounds;
mod shelf;
mod wishes;
mod world;
