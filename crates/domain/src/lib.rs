//! What a course is and what is right: types, limits and rules of Coursewright.
//!
//! Pure: no async, no I/O, no SQL, no HTTP. Names and limits follow the data model that
//! existing front ends read and check.

pub mod analysis;
pub mod clock;
pub mod conflict;
pub mod course;
pub mod course_document;
pub mod document;
pub mod error;
pub mod generation;
pub mod grounding;
pub mod id;
pub mod job;
pub mod language;
pub mod lesson;
pub mod limits;
pub mod organization;
pub mod quality;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
pub mod schema;
mod script;
pub mod stage;
pub mod structure;
pub mod style;
pub mod taxonomy;
pub mod usage;
pub mod user;
pub mod validation;
pub mod wording;
