//! Questions for certified commits, and what is answered.

use consensus_core::{
    ChainPoint, CommitIndex, CoreStatus, Input, RangeBytes, RangeError, RangeSource, collect_range,
    shows_nothing_later,
};

use super::{Event, World, setup::index};
use crate::{
    byzantine::{RangeMaterial, RangeService},
    disk::ShownCommits,
    fault::Fault,
};

/// What a liar's range may have beyond what an honest node sends at a time.
const LONG_RANGE_BYTES: u64 = 32 << 10;

/// One question and where it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitsQuestion {
    pub(crate) asker: usize,
    pub(crate) asked: usize,
    /// The asker's life.
    pub(crate) life: u64,
    pub(crate) after: ChainPoint,
}

/// A range, and the highest certified commit that the sender says to have.
pub(crate) type CommitsAnswer = (RangeBytes, CommitIndex);

impl World {
    /// Asks a peer for commits; without a session there is no connection to ask on, which shows at once.
    pub(super) fn ask_commits(&mut self, asker: usize, asked: usize, after: ChainPoint) {
        let question = CommitsQuestion { asker, asked, life: self.nodes[asker].life, after };
        if !self.network.stream(asked, asker).open {
            self.push(self.now_ms, Event::CommitsAnswer { question, answer: None });
            return;
        }
        if self.network.is_cut(asker, asked) {
            return;
        }
        if self.network.rng.chance(self.network.profile.fetch_lost_chance) {
            self.fault(Fault::FetchLost, Some(asker));
            return;
        }
        let delay_ms = self.network.delay(asker, asked);
        self.push(self.now_ms + delay_ms, Event::CommitsQuestion { question });
    }

    /// A question arrives: answered from the durable store.
    pub(super) fn commits_question(&mut self, question: CommitsQuestion) {
        let CommitsQuestion { asker, asked, after, .. } = question;
        if !self.nodes[asked].is_up() || self.network.is_cut(asked, asker) {
            return;
        }
        let honest = self.collect(asked, after.index, self.range_bytes);
        let material = (!self.nodes[asked].is_honest()).then(|| RangeMaterial {
            after,
            honest: honest.0.clone(),
            long: self.collect(asked, after.index, self.range_bytes + LONG_RANGE_BYTES).0,
            bare: self.collect_bare(asked, after.index),
            old: self.collect(asked, CommitIndex::NONE, self.range_bytes).0,
        });
        let liar = self.nodes[asked].byzantine.as_mut().zip(material);
        let service = liar.map_or(RangeService::Honest, |(liar, material)| liar.serve_range(material));
        let answer = match service {
            RangeService::Honest => Some(honest),
            RangeService::Silent => {
                self.fault(Fault::FetchRefused, Some(asked));
                return;
            }
            RangeService::False { range, lie } => {
                if let Some(lie) = lie {
                    self.fault(lie, Some(asked));
                }
                // Whoever says that it has nothing names no commit either, or it would be asked again.
                let highest = if range.commits.is_empty() { CommitIndex::NONE } else { honest.1 };
                Some((range, highest))
            }
        };
        let profile = self.network.profile;
        let copies = 1 + u64::from(self.network.rng.chance(profile.fetch_duplicated_chance));
        if copies > 1 {
            self.fault(Fault::FetchDuplicated, Some(asker));
        }
        for _ in 0..copies {
            let mut delay_ms = self.network.delay(asked, asker);
            if self.network.rng.chance(profile.fetch_late_chance) {
                delay_ms += self.network.rng.between(500, 3_000);
                self.fault(Fault::FetchLate, Some(asker));
            }
            let answer = answer.clone();
            self.push(self.now_ms + delay_ms, Event::CommitsAnswer { question, answer });
        }
    }

    fn collect(&self, place: usize, after: CommitIndex, limit_bytes: u64) -> CommitsAnswer {
        let node = &self.nodes[place];
        let shown = ShownCommits { store: &node.disk.store, own: node.own, released: node.sent };
        let Ok(range) = collect_range(&shown, after.next(), limit_bytes);
        let Ok(highest) = shown.last_certified();
        (range.unwrap_or_default(), highest)
    }

    /// What a liar holds after a commit, certified or not, and without any certificate.
    fn collect_bare(&self, place: usize, after: CommitIndex) -> RangeBytes {
        let store = &self.nodes[place].disk.store;
        let mut range = RangeBytes::default();
        for index in after.get() + 1..=store.commits.len() as u64 {
            let Some(sub_dag) = store.sub_dag(index) else { break };
            range.commits.push(sub_dag.commit.canonical_bytes().into());
            range.blocks.extend(sub_dag.blocks.iter().map(|block| block.signed_bytes().clone()));
            if sub_dag.commit.closing && range.commits.len() >= 3 {
                break;
            }
        }
        range
    }

    /// An answer arrives: judged, and handed on.
    pub(super) fn commits_answer(&mut self, question: CommitsQuestion, answer: Option<CommitsAnswer>) {
        let CommitsQuestion { asker, asked, life, after } = question;
        if self.nodes[asker].life != life || (answer.is_some() && self.network.is_cut(asked, asker)) {
            return;
        }
        let from = index(asked);
        let input = match answer {
            None => Input::CommitsNotFetched { from, fork: None },
            Some((range, highest)) if range.commits.is_empty() => {
                if shows_nothing_later(after.index, highest) {
                    Input::NoLaterCommit { from, after: after.index }
                } else {
                    Input::CommitsNotFetched { from, fork: None }
                }
            }
            Some((range, highest)) => match self.verifier.judge_range(after, range) {
                Ok(range) => Input::CertifiedCommits { from, range, highest },
                Err(error) => {
                    self.fault(Fault::RangeRefused, Some(asked));
                    if self.nodes[asked].is_honest() {
                        self.violate(
                            "honest-answers",
                            format!("a range of node {asked} is refused: {error}"),
                        );
                    }
                    let fork = if let RangeError::Forked(fork) = error { Some(fork) } else { None };
                    Input::CommitsNotFetched { from, fork }
                }
            },
        };
        self.feed(asker, input);
    }

    /// Counts what an input has shown of a machine's catch-ups.
    pub(super) fn count_catch_ups(&mut self, place: usize, before: (u64, u64)) {
        let after = catch_ups(&self.nodes[place].status);
        if after.0 > before.0 {
            self.fault(Fault::CatchUp, Some(place));
        }
        if after.1 > before.1 {
            self.fault(Fault::RangeApplied, Some(place));
        }
    }
}

/// Catch-ups begun and ranges applied.
pub(super) const fn catch_ups(status: &CoreStatus) -> (u64, u64) {
    (status.catch_ups_total, status.ranges_total)
}
