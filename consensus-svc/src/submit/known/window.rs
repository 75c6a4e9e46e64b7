//! The transactions of the window of duplicates: where each is in the order, and what the executor told of it.
//!
//! The window is the machine's: the unmarked transactions of the newest commits, within the same two bounds. So a transaction
//! that a commit marks as a duplicate is always found here at its first place. A restart rebuilds it from the commits that
//! the machine's own window is rebuilt from, and knows of these that they are executed, up to what was acknowledged, but not
//! with which results: those were told to the life before only.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use consensus_core::{
    CommitIndex, CommittedSubDag, ProtocolParameters, StateRoot, Timestamp, TransactionDigest, is_marked,
};
use metanode_proto::executor::v1::Acknowledgement;

use super::positions;
use crate::submit::{Fate, outcome::bounded_reason};

/// Most rejections that are kept with their reasons, about 350 bytes each at most. Above it the oldest commits keep only that they
/// are executed.
const MAX_REJECTIONS: usize = 65_536;

/// The window. Bounded by the genesis parameters `duplicate_window` and `max_duplicate_entries`, about 120 bytes an entry.
#[derive(Debug)]
pub struct CommittedWindow {
    length: Duration,
    max_entries: usize,
    /// Consecutive, rising.
    commits: VecDeque<Entry>,
    places: HashMap<TransactionDigest, (CommitIndex, u32)>,
    rejections: usize,
}

#[derive(Debug)]
struct Entry {
    index: CommitIndex,
    timestamp: Timestamp,
    digests: Vec<TransactionDigest>,
    results: Results,
}

/// What is known of the execution of one commit.
#[derive(Debug)]
enum Results {
    /// Not executed, as far as is known.
    Pending,
    /// Executed, and what came of it was not told to this process.
    Untold,
    /// Executed; rejected are those at these positions, with code and reason.
    Told { state_root: Option<StateRoot>, rejected: BTreeMap<u32, (u32, Box<str>)> },
}

impl CommittedWindow {
    /// An empty window.
    pub fn new(parameters: &ProtocolParameters) -> Self {
        Self {
            length: parameters.duplicate_window,
            max_entries: usize::try_from(parameters.max_duplicate_entries).unwrap_or(usize::MAX),
            commits: VecDeque::new(),
            places: HashMap::new(),
            rejections: 0,
        }
    }

    /// Takes a commit older than all in the window, while it is rebuilt from the newest commit back. The caller stops where the
    /// machine's own window ends.
    pub fn rebuild(&mut self, older: &CommittedSubDag) {
        let entry = self.enter(older);
        self.commits.push_front(entry);
    }

    /// After the rebuild: all up to `acknowledged` is executed.
    pub fn acknowledged(&mut self, acknowledged: CommitIndex) {
        self.resumed(acknowledged);
    }

    /// Takes the next commit in order, and lets old ones go.
    pub(super) fn commit(&mut self, sub_dag: &CommittedSubDag) {
        let entry = self.enter(sub_dag);
        let now = entry.timestamp;
        self.commits.push_back(entry);
        while self.commits.front().is_some_and(|oldest| {
            self.places.len() > self.max_entries || oldest.timestamp.plus(self.length) < now
        }) {
            let Some(oldest) = self.commits.pop_front() else { break };
            self.rejections -= oldest.results.rejections();
            for digest in oldest.digests {
                self.places.remove(&digest);
            }
        }
    }

    /// What is known of a transaction in the window.
    pub(super) fn fate(&self, digest: &TransactionDigest) -> Option<Fate> {
        let (index, position) = *self.places.get(digest)?;
        Some(match &self.entry(index)?.results {
            Results::Pending => Fate::Committed { index, position },
            Results::Untold => Fate::ExecutedUntold { index, position },
            Results::Told { state_root, rejected } => match rejected.get(&position) {
                None => Fate::Executed { index, position, state_root: *state_root },
                Some((code, reason)) => Fate::Rejected {
                    index,
                    position,
                    state_root: *state_root,
                    code: *code,
                    reason: reason.to_string(),
                },
            },
        })
    }

    /// Timestamp of the newest commit; zero before the first.
    pub(super) fn newest(&self) -> Timestamp {
        self.commits.back().map_or(Timestamp::default(), |newest| newest.timestamp)
    }

    /// Timestamp of the oldest commit; zero before the first.
    pub(super) fn start(&self) -> Timestamp {
        self.commits.front().map_or(Timestamp::default(), |oldest| oldest.timestamp)
    }

    /// Notes an acknowledgement: of the commits that it is the first to cover, it tells the results.
    pub(super) fn executed(
        &mut self,
        index: CommitIndex,
        state_root: Option<StateRoot>,
        wire: &Acknowledgement,
    ) {
        let tells = tells_results(wire);
        let pending = self.commits.iter_mut().filter(|entry| matches!(entry.results, Results::Pending));
        for entry in pending.take_while(|entry| entry.index <= index) {
            entry.results = if tells {
                let state_root = state_root.filter(|_| entry.index == index);
                Results::Told { state_root, rejected: BTreeMap::new() }
            } else {
                Results::Untold
            };
        }
        if tells {
            self.note_rejections(wire);
        }
    }

    /// The executor stands at `position`, as it says itself: what was sent before and not acknowledged is executed with results
    /// that nobody told, and what comes after will be executed and told.
    pub(super) fn resumed(&mut self, position: CommitIndex) {
        for entry in &mut self.commits {
            match entry.results {
                Results::Pending if entry.index <= position => entry.results = Results::Untold,
                Results::Untold if entry.index > position => entry.results = Results::Pending,
                _ => {}
            }
        }
    }

    fn note_rejections(&mut self, wire: &Acknowledgement) {
        for rejection in &wire.rejected {
            let Some(entry) = self.place(CommitIndex::new(rejection.index)) else { continue };
            if let Some(Results::Told { rejected, .. }) =
                self.commits.get_mut(entry).map(|entry| &mut entry.results)
            {
                let reason = bounded_reason(&rejection.reason).into();
                let is_new = rejected.insert(rejection.position, (rejection.code, reason)).is_none();
                self.rejections += usize::from(is_new);
            }
        }
        for entry in &mut self.commits {
            if self.rejections <= MAX_REJECTIONS {
                break;
            }
            let count = entry.results.rejections();
            if count > 0 {
                entry.results = Results::Untold;
                self.rejections -= count;
            }
        }
    }

    /// The unmarked transactions enter under their places.
    fn enter(&mut self, sub_dag: &CommittedSubDag) -> Entry {
        let (index, marks) = (sub_dag.commit.index, &sub_dag.commit.duplicate_marks);
        let mut digests = Vec::new();
        for (place, (position, transaction)) in positions(sub_dag).enumerate() {
            if !is_marked(marks, place) {
                self.places.insert(transaction.digest(), (index, position));
                digests.push(transaction.digest());
            }
        }
        Entry { index, timestamp: sub_dag.commit.timestamp, digests, results: Results::Pending }
    }

    fn entry(&self, index: CommitIndex) -> Option<&Entry> {
        self.commits.get(self.place(index)?)
    }

    fn place(&self, index: CommitIndex) -> Option<usize> {
        let first = self.commits.front()?.index;
        usize::try_from(index.get().checked_sub(first.get())?).ok()
    }
}

impl Results {
    fn rejections(&self) -> usize {
        match self {
            Self::Told { rejected, .. } => rejected.len(),
            Self::Pending | Self::Untold => 0,
        }
    }
}

/// Whether an acknowledgement says what came of the commits that it is the first to cover. One of a commit that the executor had
/// executed before does not: they were told with an earlier one.
pub(in crate::submit) const fn tells_results(wire: &Acknowledgement) -> bool {
    !wire.results_unknown && !wire.duplicate
}
