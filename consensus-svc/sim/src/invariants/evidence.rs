//! Evidence: every equivocation that an honest node told of has a proof at the end in some honest node's durable store, or
//! that node's share of the author is full; and whatever is kept convinces anybody (F07).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use consensus_core::{AuthorityIndex, BlockVerifier, Genesis, Slot, evidence::MAX_PROOFS_PER_AUTHORITY};

use super::{Invariant, Record};

/// What was told, and what is kept.
#[derive(Debug)]
pub(crate) struct Evidence {
    verifier: BlockVerifier,
    met: BTreeSet<(usize, Slot)>,
    kept: BTreeSet<Slot>,
    shares: BTreeMap<(usize, AuthorityIndex), usize>,
}

impl Evidence {
    pub(crate) fn new(genesis: &Arc<Genesis>) -> Self {
        Self {
            verifier: BlockVerifier::new(genesis.clone()),
            met: BTreeSet::new(),
            kept: BTreeSet::new(),
            shares: BTreeMap::new(),
        }
    }

    fn is_full(&self, node: usize, authority: AuthorityIndex) -> bool {
        self.shares.get(&(node, authority)).is_some_and(|kept| *kept >= MAX_PROOFS_PER_AUTHORITY)
    }
}

impl Invariant for Evidence {
    fn name(&self) -> &'static str {
        "evidence"
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        match record {
            Record::MetEquivocation { node, slot } => {
                self.met.insert((*node, *slot));
            }
            // What only that store held is lost with it.
            Record::StoreReplaced { node } => self.met.retain(|(met_by, _)| met_by != node),
            Record::Proof { node, slot, proof } => {
                let judged = proof.verify(&self.verifier);
                let judged =
                    judged.map_err(|error| format!("node {node} keeps no proof of {slot:?}: {error}"))?;
                if judged.slot() != *slot {
                    return Err(format!(
                        "node {node} keeps a proof of {:?} as one of {slot:?}",
                        judged.slot()
                    ));
                }
                let share = self.shares.entry((*node, slot.authority)).or_default();
                *share += 1;
                if *share > MAX_PROOFS_PER_AUTHORITY {
                    return Err(format!("node {node} keeps {share} proofs of authority {}", slot.authority));
                }
                self.kept.insert(*slot);
            }
            Record::Ended { .. } => {
                let lost = self
                    .met
                    .iter()
                    .find(|(node, slot)| !self.kept.contains(slot) && !self.is_full(*node, slot.authority));
                if let Some((node, slot)) = lost {
                    return Err(format!(
                        "node {node} told of an equivocation in {slot:?}, and no proof is kept"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
