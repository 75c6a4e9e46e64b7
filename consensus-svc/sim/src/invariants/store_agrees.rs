//! The store agrees with itself: the last commit that the progress record names is the last one that is held (S03).

use super::{Invariant, Record};

/// The comparison; there is nothing to remember.
#[derive(Debug)]
pub(crate) struct StoreAgrees;

impl Invariant for StoreAgrees {
    fn name(&self) -> &'static str {
        "store-agrees"
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        match record {
            Record::Stored { node, ends: (held, named), .. } if held != named => {
                Err(format!("the commits of node {node} end at {held}, its progress record at {named}"))
            }
            _ => Ok(()),
        }
    }
}
