//! Tests over real processes, and of the floors of the workspace.
//!
//! [`kill_under_load`] is the story that the `kill_*` tests tell with different victims; each is a test file of its own, so
//! that cargo runs one network at a time. [`wipe_under_load`] takes an authority's store away, and [`away_under_load`] keeps one
//! away for long. [`faulty_link`] breaks the link of an authority to its
//! executor, or from there to a master; [`proxy_away`] kills the proxy between both. [`idle_network`] watches a network that nobody
//! uses. [`soak`] is a command: processes of a network are killed and frozen for as long as it is told to. [`replay`] is another:
//! a long log goes to an empty executor.

mod catch_up;
mod faulty_link;
mod idle;
mod kill;
mod proxy_away;
mod replay;
mod scrape;
mod soak;
mod under_load;
mod wait;
mod wipe;

pub use catch_up::{CatchUpStory, away_under_load};
pub use faulty_link::{FaultyLinkStory, Hop, faulty_link};
pub use idle::{IDLE_DELAY, IdleStory, idle_network};
pub use kill::{Evidence, Story, Victims, kill_under_load};
pub use proxy_away::{ProxyAwayStory, proxy_away};
pub use replay::{MachineSample, ProcessSample, ReplayOptions, ReplayReport, Sample, replay};
pub use soak::{Fault, Manner, Outcome, Plan, SoakOptions, SoakReport, Times, soak};
pub use wipe::{Return, WipeStory, wipe_under_load};
