//! Duplicates: within the committed window a transaction is executed once, the first in commit order, and whoever recovers
//! marks as those do who never stopped (protocol, Duplicates of transactions; T02).
//!
//! The window is computed here a second time, forward over the whole chain and never rebuilt.

use std::collections::VecDeque;

use consensus_core::{ProtocolParameters, Transaction};

use super::{Invariant, Record};
use crate::names::{NameSet, name};

/// The unmarked digests of the newest commits.
#[derive(Debug)]
pub(crate) struct Duplicates {
    window_ms: u64,
    max_entries: usize,
    chain: u64,
    commits: VecDeque<(u64, Vec<u64>)>,
    held: NameSet,
}

impl Duplicates {
    pub(crate) fn new(parameters: &ProtocolParameters) -> Self {
        Self {
            window_ms: u64::try_from(parameters.duplicate_window.as_millis()).unwrap_or(u64::MAX),
            max_entries: usize::try_from(parameters.max_duplicate_entries).unwrap_or(usize::MAX),
            chain: 0,
            commits: VecDeque::new(),
            held: NameSet::default(),
        }
    }
}

impl Invariant for Duplicates {
    fn name(&self) -> &'static str {
        "duplicates"
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        let Record::Delivered { sub_dag, .. } = record else { return Ok(()) };
        if sub_dag.commit.index.get() != self.chain + 1 {
            return Ok(());
        }
        self.chain += 1;
        let named = |transaction: &Transaction| name(&transaction.digest());
        let all = sub_dag.transactions().map(named);
        let expected: Vec<_> = all.filter(|name| self.held.insert(*name)).collect();
        let found: Vec<_> = sub_dag.unmarked_transactions().map(named).collect();
        if found != expected {
            return Err(format!(
                "commit {} is to execute {} transactions, {} are new in the window",
                self.chain,
                found.len(),
                expected.len()
            ));
        }
        let now_ms = sub_dag.commit.timestamp.as_millis();
        self.commits.push_back((now_ms, expected));
        while self.commits.front().is_some_and(|(at_ms, _)| at_ms + self.window_ms < now_ms)
            || self.held.len() > self.max_entries
        {
            for name in self.commits.pop_front().into_iter().flat_map(|(_, names)| names) {
                self.held.remove(name);
            }
        }
        Ok(())
    }
}
