//! Bytes to and from courses: exports for people and for other programs.
//!
//! Pure: no network, no files, no clock. Everything that comes in is treated as hostile.

pub mod export;
