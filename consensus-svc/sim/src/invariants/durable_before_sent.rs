//! Durable before visible: an own block is in the store and under the guard before it is sent, a commit in the store before
//! it is handed on (contract, Durable before visible; S02).

use super::{Invariant, Record};

/// Nothing to remember: each record tells it.
#[derive(Debug)]
pub(crate) struct DurableBeforeSent;

impl Invariant for DurableBeforeSent {
    fn name(&self) -> &'static str {
        "durable-before-sent"
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        match record {
            Record::Sent { node, honest: true, block, stored, guard } => {
                if !stored {
                    return Err(format!("node {node} sends {block:?}, which is not durable"));
                }
                if *guard < Some((block.block().epoch, block.round())) {
                    return Err(format!("node {node} sends {block:?} above its guard {guard:?}"));
                }
            }
            Record::Delivered { node, sub_dag, stored: false, .. } => {
                return Err(format!("node {node} hands on {sub_dag:?}, which is not durable"));
            }
            _ => {}
        }
        Ok(())
    }
}
