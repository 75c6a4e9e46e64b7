//! Agreement: the commits of honest nodes carry the same digest at each index (protocol, From leaders to commits; F01-F08).

use consensus_core::CommitDigest;

use super::{Invariant, Kind, Record};

/// The first digest seen at each index, and who had it.
#[derive(Debug, Default)]
pub(crate) struct Agreement(Vec<(CommitDigest, usize)>);

impl Invariant for Agreement {
    fn name(&self) -> &'static str {
        "agreement"
    }

    fn kind(&self) -> Kind {
        Kind::Diverged
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        let Record::Delivered { node, sub_dag, .. } = record else { return Ok(()) };
        let place = usize::try_from(sub_dag.commit.index.get()).unwrap_or(0).wrapping_sub(1);
        match self.0.get(place) {
            None if place == self.0.len() => self.0.push((sub_dag.digest, *node)),
            Some((digest, first)) if *digest != sub_dag.digest => {
                return Err(format!(
                    "commit {} is {:?} at node {first} and {:?} at node {node}",
                    sub_dag.commit.index, digest, sub_dag.digest
                ));
            }
            _ => {}
        }
        Ok(())
    }
}
