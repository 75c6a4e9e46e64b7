//! Garbage, phantom parents, future rounds and old blocks.

use bytes::Bytes;
use consensus_core::{
    AuthorityIndex, Block, BlockDigest, BlockRef, ChainId, Round, Timestamp, Transaction, VerifiedBlock,
};

use super::{Byzantine, Deeds, Dispatch, Wire};
use crate::fault::Fault;

/// How many blocks a flood has: rounds within reach of the clock, more than some waiting rooms keep of one author.
const FLOOD_BLOCKS: u64 = 110;
/// How far above its own round a future block pretends to be.
const FUTURE_ROUNDS: u64 = 300;

impl Byzantine {
    /// Adds one deed of a random kind, to one random peer, to every other own block.
    pub(super) fn send_invalid(&mut self, shown: &VerifiedBlock, deeds: &mut Deeds) {
        let Some(to) = self.others.get(self.rng.place(self.others.len())).copied() else { return };
        if self.rng.chance(3_000) {
            deeds.faults.push(Fault::Flood);
            let flood = (1..=FLOOD_BLOCKS).map(|above| Wire::Stray(self.phantom(shown, above)));
            deeds.dispatches.extend(flood.map(|wire| Dispatch { to, delay_ms: 2, wire }));
            return;
        }
        let wire = match self.rng.below(8) {
            0 => Wire::Raw(self.garbage(shown)),
            1 => Wire::Raw(self.against_a_rule(shown)),
            2 => {
                deeds.faults.push(Fault::PhantomParents);
                Wire::Stray(self.phantom(shown, 1))
            }
            3 => Wire::Stray(self.phantom(shown, FUTURE_ROUNDS)),
            4 => {
                let Some(old) = self.recent.get(self.rng.place(self.recent.len())) else { return };
                deeds.faults.push(Fault::Replayed);
                Wire::Stray(old.clone())
            }
            _ => return,
        };
        deeds.dispatches.push(Dispatch { to, delay_ms: 2, wire });
    }

    /// Bytes that are no signed block of the author.
    fn garbage(&mut self, shown: &VerifiedBlock) -> Bytes {
        let mut bytes = shown.signed_bytes().to_vec();
        match self.rng.below(3) {
            0 => {
                let place = self.rng.place(bytes.len());
                bytes[place] ^= 1 << self.rng.below(8);
            }
            1 => bytes.truncate(self.rng.place(bytes.len())),
            _ => {
                bytes.clear();
                bytes.extend((0..self.rng.below(600)).map(|_| self.rng.draw().to_le_bytes()[0]));
            }
        }
        Bytes::from(bytes)
    }

    /// A signed block that breaks one rule of validity.
    fn against_a_rule(&mut self, shown: &VerifiedBlock) -> Bytes {
        let case = self.rng.below(9);
        let size = usize::try_from(self.genesis.parameters().max_transaction_bytes).unwrap_or(0);
        let broken = self.compose(shown, 0, |content| {
            // `compose` put the chain's last block first, which is `shown` itself: an ancestor of the same round.
            content.ancestors.clone_from(&shown.block().ancestors);
            break_rule(content, case, size);
        });
        broken.signed_bytes().clone()
    }

    /// A block that no rule of validity refuses, and whose ancestors do not exist.
    fn phantom(&mut self, shown: &VerifiedBlock, above: u64) -> VerifiedBlock {
        let round = shown.round().plus(above);
        let own = shown.author();
        let others: Vec<AuthorityIndex> =
            self.genesis.committee().indexes().filter(|author| *author != own).collect();
        let mut ancestors = vec![shown.reference()];
        for author in others {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&self.rng.draw().to_le_bytes());
            ancestors.push(BlockRef { round: round.previous(), author, digest: BlockDigest::new(digest) });
        }
        Block { round, ancestors, transactions: Vec::new(), ..shown.block().clone() }.sign(&self.signer)
    }
}

fn break_rule(content: &mut Block, case: u64, max_transaction_bytes: usize) {
    match case {
        0 => content.chain_id = ChainId::new([9; 32]),
        1 => content.epoch = consensus_core::Epoch::new(7),
        2 => content.author = AuthorityIndex::new((content.author.get() + 1) % 2),
        3 => content.ancestors.reverse(),
        4 => content.ancestors.truncate(1),
        5 => content.round = Round::GENESIS,
        6 => content.transactions.push(Transaction::new(Bytes::new())),
        7 => content.transactions.push(Transaction::new(Bytes::from(vec![1; max_transaction_bytes + 1]))),
        _ => {
            content.timestamp = Timestamp::default();
            content.ancestors.extend(content.ancestors.last().copied());
        }
    }
}
