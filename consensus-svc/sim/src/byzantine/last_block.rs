//! False answers to the question of every start: which is your own last block, and which is the highest of mine that you know?

use bytes::Bytes;
use consensus_core::{BlockDigest, BlockRef, Transaction, VerifiedBlock};

use super::Byzantine;

/// An answer: the highest block of the asker, and the own last block.
#[derive(Clone, Debug)]
pub(crate) struct LastBlocks {
    pub(crate) askers: Option<VerifiedBlock>,
    pub(crate) own: Option<VerifiedBlock>,
}

impl Byzantine {
    /// What is said in place of the truth; `None` for the truth itself. `early` is a low block of the asker, `other` one of a
    /// third authority.
    pub(crate) fn lie_about_last(
        &mut self,
        truth: &LastBlocks,
        early: Option<VerifiedBlock>,
        other: Option<VerifiedBlock>,
    ) -> Option<LastBlocks> {
        if !self.habits.lies_about_last {
            return None;
        }
        let own = truth.own.clone();
        Some(match self.rng.below(7) {
            0 => return None,
            1 => LastBlocks { askers: None, own: None },
            2 => LastBlocks { askers: early, own: self.recent.first().cloned() },
            3 => LastBlocks { askers: truth.askers.clone(), own: Some(self.far_ahead(own.as_ref()?)) },
            4 => LastBlocks { askers: None, own: Some(self.twin_of(own.as_ref()?)) },
            5 => LastBlocks { askers: other, own },
            _ => LastBlocks { askers: truth.askers.clone(), own: other },
        })
    }

    /// A signed block of a round that the network has not come to, on parents that nobody has.
    fn far_ahead(&mut self, own: &VerifiedBlock) -> VerifiedBlock {
        let round = own.round().plus(self.rng.between(20, 1_000_000));
        let parents = self.genesis.committee().indexes().map(|author| BlockRef {
            round: round.previous(),
            author,
            digest: BlockDigest::new([0xa5; 32]),
        });
        let mut content = own.block().clone();
        let (first, others): (Vec<_>, Vec<_>) = parents.partition(|parent| parent.author == own.author());
        content.round = round;
        content.ancestors = first.into_iter().chain(others).collect();
        content.transactions = Vec::new();
        content.sign(&self.signer)
    }

    /// Another block of the slot, which is shown to nobody else.
    fn twin_of(&mut self, own: &VerifiedBlock) -> VerifiedBlock {
        self.made += 1;
        let mut content = own.block().clone();
        content.transactions =
            vec![Transaction::new(Bytes::from(format!("answer {} of {:?}", self.made, own)))];
        content.sign(&self.signer)
    }
}
