//! Tests over real processes, and of the floors of the workspace.
//!
//! [`kill_under_load`] is the story that the `kill_*` tests tell with different victims; each is a test file of its own, so
//! that cargo runs one network at a time.

mod kill;
mod scrape;
mod wait;

pub use kill::{Evidence, Story, Victims, kill_under_load};
