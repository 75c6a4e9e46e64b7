//! Catch-up by certified commits.

pub mod range;
pub mod serving;
