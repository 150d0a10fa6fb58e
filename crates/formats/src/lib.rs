//! Bytes to and from courses: exports for people and for other programs, texts out of documents and their cutting.
//!
//! Pure: no network, no files, no clock. Everything that comes in is treated as hostile.

pub mod chunk;
pub mod export;
pub mod import;
