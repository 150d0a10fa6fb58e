//! The stages, one file each (a folder where it has parts).

pub(crate) mod analysis;
pub(crate) mod content;
pub(crate) mod documents;
pub(crate) mod finalization;
pub(crate) mod structure;
