//! A machine among peers who do anything.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use super::{
    choices::Choices,
    subject::{Subject, World},
    witness,
};
use crate::{
    block::{Block, CommitVote, ExecutedRoot, VerifiedBlock},
    block_verifier::BlockVerifier,
    catch_up::range::{ChainPoint, RangeError, verify_range},
    core_status::CoreStatus,
    effect::Effect,
    fetch::{FetchEnd, FetchId},
    input::{BlockSource, Input, Ticket},
    transaction::Transaction,
    types::{AuthorityIndex, BlockRef, CommitDigest, CommitIndex, Round, Slot, StateRoot, Timestamp},
};

/// Blocks that exist at most; inputs after that make no new ones.
const MAX_BLOCKS: usize = 240;
/// Most inputs of a run.
const MAX_STEPS: usize = 300;

/// Reads bytes as what happens to a machine: rounds of its peers, in whole, in part and in any order; blocks with any valid
/// ancestors and any timestamp; answers to its questions, certified ranges of what it was kept from among them; hints,
/// transactions, time, crashes between any two effects.
///
/// # Panics
/// If an invariant of the machine breaks: a bug.
pub fn machine(bytes: &[u8]) {
    play(bytes);
}

/// How the machine stands in the end.
fn play(bytes: &[u8]) -> CoreStatus {
    let mut choices = Choices::new(bytes);
    let world = World::of(choices.below(World::LONE));
    let mut peers = Peers::new(&world);
    let mut subject = Subject::new(&world, peers.own);
    if !choices.one_in(8) {
        subject.hear_all();
    }
    for step in 0..MAX_STEPS {
        if choices.is_over() || subject.machine.is_none() {
            break;
        }
        let effects = peers.step(&mut subject, &mut choices, step);
        peers.note(&effects);
    }
    subject.status().clone()
}

/// Everybody else, and every block that exists.
struct Peers {
    world: World,
    own: AuthorityIndex,
    verifier: BlockVerifier,
    blocks: BTreeMap<BlockRef, VerifiedBlock>,
    /// What the machine has asked for.
    wanted: Vec<BlockRef>,
    /// Its last question.
    asked: FetchId,
    /// Its last question for commits, and whom it was put to.
    asked_commits: Option<(AuthorityIndex, ChainPoint)>,
    /// Votes for the closing commits that it has formed.
    votes: Vec<CommitVote>,
}

impl Peers {
    fn new(world: &World) -> Self {
        let genesis_blocks = world.genesis.committee().indexes().map(|author| {
            let block = VerifiedBlock::genesis(&world.genesis, author);
            (block.reference(), block)
        });
        Self {
            world: world.clone(),
            own: AuthorityIndex::new(0),
            verifier: BlockVerifier::new(world.genesis.clone()),
            blocks: genesis_blocks.collect(),
            wanted: Vec::new(),
            asked: FetchId::default(),
            asked_commits: None,
            votes: Vec::new(),
        }
    }

    fn step(&mut self, subject: &mut Subject, choices: &mut Choices<'_>, step: usize) -> Vec<Effect> {
        match choices.byte() % 20 {
            0..=4 => self.round(subject, choices),
            5 | 6 => self.any_block(subject, choices),
            7 => {
                let block = self.pick(choices);
                let source = if choices.one_in(2) { BlockSource::Fetched } else { BlockSource::Streamed };
                subject.input(Input::Blocks { from: self.peer(choices), source, blocks: vec![block] })
            }
            8 => {
                let wanted = std::mem::take(&mut self.wanted);
                let blocks: Vec<_> =
                    wanted.iter().filter_map(|reference| self.blocks.get(reference).cloned()).collect();
                let from = self.peer(choices);
                subject.input(Input::Blocks { from, source: BlockSource::Fetched, blocks })
            }
            9 | 10 => {
                subject.now = subject.now.plus(Duration::from_millis(choices.number().min(100_000)));
                subject.input(Input::Tick)
            }
            11 => {
                let transactions = (0..choices.below(6)).map(|_| transaction(choices)).collect();
                subject.input(Input::Transactions { ticket: Ticket(step as u64), transactions })
            }
            12 => subject.input(Input::Wake {
                from: AuthorityIndex::new(u16::from(choices.byte())),
                round: Round::new(choices.number()),
            }),
            13 => {
                let block = choices.one_in(2).then(|| self.pick(choices));
                let peers_last = choices.one_in(2).then(|| self.pick(choices));
                subject.input(Input::OwnLastBlock { from: self.peer(choices), block, peers_last })
            }
            14 => {
                let let_out = choices.below(8);
                let effects = subject.input_up_to(Input::Tick, let_out);
                subject.start();
                effects.into_iter().take(let_out).collect()
            }
            16 => {
                let round = self.highest_with_quorum().plus(choices.below(4) as u64);
                subject.input(Input::SeenAhead { author: self.peer(choices), round })
            }
            17 => self.range(subject, choices),
            18 => {
                let (from, after) = (self.peer(choices), subject.status().last_commit);
                subject.input(if choices.one_in(2) {
                    Input::NoLaterCommit { from, after }
                } else {
                    Input::CommitsNotFetched { from, fork: None }
                })
            }
            19 => {
                let from = self.peer(choices);
                let (block, peers_last) = (self.last_of(self.own), self.last_of(from));
                subject.input(Input::OwnLastBlock { from, block, peers_last })
            }
            _ if choices.one_in(16) => subject.input(Input::Halt),
            _ if choices.one_in(16) => subject.input(Input::StoreBehind),
            _ if choices.one_in(8) => self.forge(subject, choices),
            _ if choices.one_in(8) => {
                let index = subject.status().last_commit.plus(1).minus(choices.below(5) as u64);
                let root = choices.one_in(4).then(|| StateRoot::new([choices.byte() % 2; 32]));
                subject.input(Input::Executed { index, root })
            }
            _ if choices.one_in(2) => {
                let fetch = FetchId(self.asked.0.saturating_sub(choices.below(3) as u64));
                let end = if choices.one_in(2) { FetchEnd::Answered } else { FetchEnd::Failed };
                subject.input(Input::FetchEnded { fetch, end })
            }
            _ => subject.input(Input::Tick),
        }
    }

    /// An answer to its last question for commits, by whom it asked or by somebody else: as many groups as a byte says. What
    /// is certified may contradict what the machine has formed, since more than a third of these peers do anything.
    fn range(&mut self, subject: &mut Subject, choices: &mut Choices<'_>) -> Vec<Effect> {
        let Some((asked, after)) = self.asked_commits else { return subject.input(Input::Tick) };
        let from = if choices.one_in(4) { self.peer(choices) } else { asked };
        let groups = choices.below(6).saturating_add(1);
        let range = witness::range(&self.world, self.blocks.values(), after.index, groups);
        let Some(range) = range else {
            return subject.input(Input::NoLaterCommit { from, after: after.index });
        };
        let highest = CommitIndex::new(choices.number());
        subject.input(match verify_range(&self.verifier, after, range) {
            Ok(range) => Input::CertifiedCommits { from, range, highest },
            Err(RangeError::Forked(fork)) => Input::CommitsNotFetched { from, fork: Some(fork) },
            Err(error) => panic!("an honest range is refused: {error}"),
        })
    }

    /// The next round of all peers, over all of the last that a byte does not leave out; another byte says who keeps the block
    /// back.
    fn round(&mut self, subject: &mut Subject, choices: &mut Choices<'_>) -> Vec<Effect> {
        let round = self.highest_with_quorum().next();
        let (left_out, kept) = (choices.byte(), choices.byte());
        let votes = self.votes(choices);
        let mut effects = Vec::new();
        for author in self.others() {
            let bit = 1u8.checked_shl(u32::from(author.get())).unwrap_or(0);
            let parents = self.world.genesis.committee().indexes().filter(|other| {
                let is_left_out = left_out & 1u8.checked_shl(u32::from(other.get())).unwrap_or(0) != 0;
                *other != author && !is_left_out
            });
            let slots = parents.map(|authority| Slot { round: round.previous(), authority });
            let parents: Vec<_> = slots.filter_map(|slot| self.first_in(slot)).collect();
            let transactions = (0..choices.below(3)).map(|_| transaction(choices)).collect();
            let timestamp = subject.now.plus(Duration::from_millis(u64::from(choices.byte())));
            let Some(block) = self.make(round, author, parents, (transactions, votes.clone()), timestamp)
            else {
                continue;
            };
            if kept & bit == 0 {
                let blocks = vec![block];
                effects.extend(subject.input(Input::Blocks {
                    from: author,
                    source: BlockSource::Streamed,
                    blocks,
                }));
            }
        }
        effects.extend(subject.input(Input::Tick));
        effects
    }

    /// A block of any peer at any round near the others, with any ancestors.
    fn any_block(&mut self, subject: &mut Subject, choices: &mut Choices<'_>) -> Vec<Effect> {
        let others: Vec<_> = self.others().collect();
        let author = choices.pick(&others).copied().unwrap_or_default();
        let highest = self.highest_with_quorum().get().saturating_add(2);
        let round = Round::new(highest.saturating_sub(choices.below(12) as u64));
        let ancestors = (0..choices.below(9)).map(|_| self.pick(choices).reference()).collect();
        let transactions = (0..choices.below(5)).map(|_| transaction(choices)).collect();
        let timestamp = Timestamp::from_millis(choices.number());
        let votes = self.votes(choices);
        let Some(block) = self.make(round, author, ancestors, (transactions, votes), timestamp) else {
            return Vec::new();
        };
        let from = self.peer(choices);
        subject.input(Input::Blocks { from, source: BlockSource::Streamed, blocks: vec![block] })
    }

    /// A block signed with the machine's own key that it does not know.
    fn forge(&mut self, subject: &mut Subject, choices: &mut Choices<'_>) -> Vec<Effect> {
        let round = self.highest_with_quorum().next();
        let slots =
            self.others().map(|authority| Slot { round: round.previous(), authority }).collect::<Vec<_>>();
        let parents: Vec<_> = slots.into_iter().filter_map(|slot| self.first_in(slot)).collect();
        let timestamp = Timestamp::from_millis(choices.number());
        let Some(block) =
            self.make(round, self.own, parents, (vec![transaction(choices)], Vec::new()), timestamp)
        else {
            return Vec::new();
        };
        let from = self.peer(choices);
        subject.input(Input::Blocks { from, source: BlockSource::Streamed, blocks: vec![block] })
    }

    /// Signs a block behind the author's latest one, if it is valid: nothing else reaches a machine.
    fn make(
        &mut self,
        round: Round,
        author: AuthorityIndex,
        mut ancestors: Vec<BlockRef>,
        (transactions, commit_votes): (Vec<Transaction>, Vec<CommitVote>),
        timestamp: Timestamp,
    ) -> Option<VerifiedBlock> {
        if self.blocks.len() >= MAX_BLOCKS {
            return None;
        }
        let own = self.blocks.keys().rev().find(|known| known.author == author && known.round < round)?;
        ancestors.insert(0, *own);
        let mut slots = std::collections::BTreeSet::new();
        ancestors.retain(|ancestor| slots.insert(ancestor.slot()));
        let block = Block {
            chain_id: self.world.genesis.chain_id(),
            epoch: self.world.genesis.committee().epoch(),
            round,
            author,
            timestamp,
            ancestors,
            transactions,
            executed_roots: commit_votes.iter().map(root_vote).collect(),
            commit_votes,
            epoch_vote: None,
        };
        let bytes = block.sign(self.world.signers.get(author.as_usize())?).signed_bytes().clone();
        let block = self.verifier.verify(bytes).ok()?;
        self.blocks.insert(block.reference(), block.clone());
        Some(block)
    }

    /// Takes up what the machine has sent and asked for.
    fn note(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Broadcast(block) => {
                    self.blocks.insert(block.reference(), block.clone());
                }
                Effect::Fetch(fetch) => {
                    self.wanted.extend(&fetch.blocks);
                    self.asked = fetch.id;
                }
                Effect::FetchCommits { peer, after } => self.asked_commits = Some((*peer, *after)),
                Effect::Deliver(sub_dag) if sub_dag.commit.closing => {
                    self.votes.push(CommitVote { index: sub_dag.commit.index, digest: sub_dag.digest });
                }
                _ => {}
            }
        }
    }

    /// Votes for the last commits, or for what nobody has committed.
    fn votes(&self, choices: &mut Choices<'_>) -> Vec<CommitVote> {
        match choices.byte() {
            0..=127 => self.votes.iter().rev().take(3).rev().copied().collect(),
            128..=191 => Vec::new(),
            _ => {
                let any = |choices: &mut Choices<'_>| CommitVote {
                    index: CommitIndex::new(choices.number()),
                    digest: CommitDigest::new([choices.byte(); 32]),
                };
                (0..choices.below(4)).map(|_| any(choices)).collect()
            }
        }
    }

    fn others(&self) -> impl Iterator<Item = AuthorityIndex> + use<> {
        let own = self.own;
        let size = u16::try_from(self.world.genesis.committee().size()).unwrap_or(u16::MAX);
        (0..size).map(AuthorityIndex::new).filter(move |authority| *authority != own)
    }

    fn peer(&self, choices: &mut Choices<'_>) -> AuthorityIndex {
        let others: Vec<_> = self.others().collect();
        choices.pick(&others).copied().unwrap_or_default()
    }

    /// A block that exists, mostly a late one.
    fn pick(&self, choices: &mut Choices<'_>) -> VerifiedBlock {
        let back = choices.below(self.blocks.len());
        let block = self.blocks.values().nth_back(back).or_else(|| self.blocks.values().next());
        block.expect("genesis blocks exist").clone()
    }

    /// The highest block that exists of an author; none before its first.
    fn last_of(&self, author: AuthorityIndex) -> Option<VerifiedBlock> {
        let mut blocks = self.blocks.values().rev().filter(|block| block.round() > Round::GENESIS);
        blocks.find(|block| block.author() == author).cloned()
    }

    fn first_in(&self, slot: Slot) -> Option<BlockRef> {
        let mut known = self.blocks.keys().filter(|known| known.slot() == slot);
        known.next().copied()
    }

    /// The highest round in which blocks of a quorum exist.
    fn highest_with_quorum(&self) -> Round {
        let committee = self.world.genesis.committee();
        let rounds = self.blocks.keys().rev().map(|known| known.round);
        let mut rounds = rounds.filter(|round| {
            let mut tally = crate::committee::Tally::new(committee);
            for known in self.blocks.keys().filter(|known| known.round == *round) {
                tally.add(committee, known.author);
            }
            tally.is_quorum(committee)
        });
        rounds.next().unwrap_or(Round::GENESIS)
    }
}

/// With every vote for a commit goes one for a root there: of one mind as those are.
const fn root_vote(vote: &CommitVote) -> ExecutedRoot {
    ExecutedRoot { index: vote.index, root: StateRoot::new(*vote.digest.as_bytes()) }
}

/// One of a few transactions, so that they repeat; sometimes one that no block may hold.
fn transaction(choices: &mut Choices<'_>) -> Transaction {
    let (size, fill) = (usize::from(choices.byte()), choices.byte() % 4);
    Transaction::new(Bytes::from(vec![fill; size.saturating_mul(if fill == 3 { 2 } else { 1 })]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::fuzzing::SEEDS;

    /// A target that gets nowhere finds nothing.
    #[test]
    fn every_seed_gets_as_far_as_collected_rounds_held_back_blocks_or_a_fork() {
        let (_, seeds) = SEEDS.into_iter().find(|(name, _)| *name == "machine").expect("seeds");
        for (place, seed) in seeds().iter().enumerate() {
            let status = play(seed);
            let far = status.gc_round > Round::GENESIS || status.waiting_blocks > 0 || status.fork.is_some();
            assert!(far, "seed {place}: {status:?}");
        }
    }

    #[test]
    fn some_seeds_catch_up_by_certified_ranges() {
        let (_, seeds) = SEEDS.into_iter().find(|(name, _)| *name == "machine").expect("seeds");
        let ends: Vec<_> = seeds().iter().map(|seed| play(seed)).collect();
        let caught_up = ends.iter().filter(|status| status.ranges_total > 0);
        assert!(caught_up.clone().count() > 0, "{ends:#?}");
        assert!(caught_up.into_iter().all(|status| status.last_commit > CommitIndex::NONE));
    }
}
