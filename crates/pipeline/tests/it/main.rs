//! The pipeline on a real database, with scripted models.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod ladder;
mod regeneration;
mod wishes;
mod world;
