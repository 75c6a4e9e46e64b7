//! The verdict on a run: did all executors come along, do their ledgers agree, and was every transaction executed once, or
//! rejected.
//!
//! Equal at the last index that all have is not enough: an executor that stands still since its start agrees with everybody at
//! that index. So each ledger must reach [`Verdict::required_index`]. Beyond it ledgers may end apart by what was committed
//! while the processes were stopped, one after the other.

use crate::{
    ledger::{Ledger, LedgerError, LedgerFolder},
    settled,
};
use executor_proxy::backend::embedded::StoredOutcome;
use loadgen::{Fate, Settled};
use reference_ledger::Digest;
use std::{collections::BTreeMap, io, path::Path};

/// Most transactions that are held in memory at a time; longer runs are read in several passes.
const TRANSACTIONS_A_PASS: u64 = 1_000_000;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The records of the load cannot be read.
    #[error("cannot read the records of the load")]
    Settled(#[from] io::Error),
}

/// What the ledgers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Largest index that all have executed.
    pub index: u64,
    /// Digest of the commit and state root after it at that index, by authority; all zero for index 0.
    pub at_index: Vec<(Digest, Digest)>,
    /// Whether those are all the same.
    pub equal: bool,
    /// Where they first differ, if they do.
    pub first_difference: Option<u64>,
    /// Last index of each ledger.
    pub last_indexes: Vec<u64>,
    /// What each ledger must have reached: all that was committed when the load had ended, and each transaction of the load.
    pub required_index: u64,
    /// First index that is left out in each ledger; `None` where none is.
    pub holes: Vec<Option<u64>>,
    /// What became of the load.
    pub tally: Tally,
}

impl Verdict {
    /// The authorities whose ledgers end below [`Verdict::required_index`].
    pub fn behind(&self) -> Vec<usize> {
        let ends = self.last_indexes.iter().enumerate();
        ends.filter(|(_, last)| **last < self.required_index).map(|(authority, _)| authority).collect()
    }
}

/// What became of the transactions of a load. `executed + rejected + lost` is their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// In the ledger, with effect.
    pub executed: u64,
    /// In the ledger without effect, or refused by the authority for good.
    pub rejected: u64,
    /// Neither, though taken.
    pub lost: u64,
    /// Executions beyond the first one of a transaction.
    pub duplicates: u64,
}

/// Compares these ledgers, and looks for every transaction of the load that was recorded in `settled`
/// among what was executed after `after_index`. All must have come to `settled_index`, and to the last transaction of the
/// load. Blocks.
///
/// # Errors
/// [`VerifyError`].
pub fn verify(
    folders: &[LedgerFolder],
    after_index: u64,
    settled_index: u64,
    settled: &Path,
) -> Result<Verdict, VerifyError> {
    let ledgers = folders.iter().map(LedgerFolder::open).collect::<Result<Vec<_>, _>>()?;
    let last_indexes = ledgers.iter().map(Ledger::last_index).collect::<Result<Vec<_>, _>>()?;
    let index = last_indexes.iter().copied().min().unwrap_or(0);
    let at_index = states(&ledgers, index)?;
    let equal = are_equal(&at_index);
    let equal_at = |index| states(&ledgers, index).map(|states| are_equal(&states));
    let first_difference = if equal { None } else { Some(first_difference(index, equal_at)?) };
    // What one authority told as executed may be beyond what all have executed, where another one is down.
    let longest = ledgers.iter().zip(&last_indexes).max_by_key(|(_, last)| **last);
    let (tally, last_used) = match longest {
        Some((ledger, _)) => tally(ledger, after_index, settled)?,
        None => (Tally::default(), 0),
    };
    let holes = ledgers.iter().map(|ledger| ledger.first_hole(after_index)).collect::<Result<_, _>>()?;
    let required_index = settled_index.max(last_used);
    Ok(Verdict { index, at_index, equal, first_difference, last_indexes, required_index, holes, tally })
}

fn states(ledgers: &[Ledger], index: u64) -> Result<Vec<(Digest, Digest)>, LedgerError> {
    let state = |ledger: &Ledger| {
        let commit = ledger.at(index)?;
        Ok(commit.map_or((Digest::ZERO, Digest::ZERO), |commit| (commit.digest, commit.state_root)))
    };
    ledgers.iter().map(state).collect()
}

fn are_equal(states: &[(Digest, Digest)]) -> bool {
    states.windows(2).all(|pair| pair.first() == pair.last())
}

/// The first index where ledgers differ that do so at `unequal`: digests and roots cover all before them, so once
/// different they stay so.
fn first_difference<E>(unequal: u64, equal_at: impl Fn(u64) -> Result<bool, E>) -> Result<u64, E> {
    let (mut equal, mut unequal) = (0, unequal);
    while unequal - equal > 1 {
        let middle = equal + (unequal - equal) / 2;
        if equal_at(middle)? { equal = middle } else { unequal = middle }
    }
    Ok(unequal)
}

/// One transaction of the load, and how often the ledger has it.
struct Found {
    fate: Fate,
    executed: u64,
    rejected: u64,
}

/// The tally, and the last index that holds a transaction of the load; 0 if there is none.
fn tally(ledger: &Ledger, after_index: u64, settled: &Path) -> Result<(Tally, u64), VerifyError> {
    let count = settled::read(settled)?.try_fold(0_u64, |count, one| one.map(|_| count + 1))?;
    let passes = count.div_ceil(TRANSACTIONS_A_PASS);
    let (mut tally, mut last_used) = (Tally::default(), 0);
    for pass in 0..passes {
        // Digests are evenly spread.
        let is_in_pass = |digest: &Digest| {
            let [first, second, ..] = digest.0;
            u64::from(u16::from_be_bytes([first, second])).checked_rem(passes) == Some(pass)
        };
        let mut found = BTreeMap::new();
        for one in settled::read(settled)? {
            let Settled { digest, fate } = one?;
            if is_in_pass(&digest) {
                found.insert(digest, Found { fate, executed: 0, rejected: 0 });
            }
        }
        for commit in ledger.after(after_index) {
            let commit = commit?;
            for result in commit.results {
                if let Some(found) = found.get_mut(&result.digest) {
                    last_used = last_used.max(commit.index);
                    match result.outcome {
                        StoredOutcome::Executed => found.executed += 1,
                        StoredOutcome::Rejected { .. } => found.rejected += 1,
                        StoredOutcome::Duplicate => {}
                    }
                }
            }
        }
        found.values().for_each(|found| tally.add(found));
    }
    Ok((tally, last_used))
}

impl Tally {
    fn add(&mut self, found: &Found) {
        match (found.executed, found.rejected, found.fate) {
            (1.., _, _) => {
                self.executed += 1;
                self.duplicates += found.executed - 1;
            }
            (0, 1.., _) | (0, 0, Fate::Rejected) => self.rejected += 1,
            (0, 0, Fate::Executed | Fate::Unresolved) => self.lost += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally_of(executed: u64, rejected: u64, fate: Fate) -> Tally {
        let mut tally = Tally::default();
        tally.add(&Found { fate, executed, rejected });
        tally
    }

    #[test]
    fn the_ledger_decides_over_what_the_load_was_told() {
        let none = Tally::default();
        let executed = Tally { executed: 1, ..none };
        assert_eq!(tally_of(1, 0, Fate::Unresolved), executed);
        assert_eq!(tally_of(1, 1, Fate::Executed), executed, "the resubmission was rejected by its nonce");
        assert_eq!(tally_of(2, 0, Fate::Executed), Tally { duplicates: 1, ..executed });
        assert_eq!(tally_of(0, 0, Fate::Executed), Tally { lost: 1, ..none });
        assert_eq!(tally_of(0, 0, Fate::Unresolved), Tally { lost: 1, ..none });
        assert_eq!(tally_of(0, 2, Fate::Unresolved), Tally { rejected: 1, ..none });
        assert_eq!(tally_of(0, 0, Fate::Rejected), Tally { rejected: 1, ..none });
    }

    #[test]
    fn one_other_root_is_unequal() {
        let state = |root| (Digest([1; 32]), Digest([root; 32]));
        assert!(are_equal(&[state(1), state(1), state(1)]));
        assert!(!are_equal(&[state(1), state(1), state(2)]));
        assert!(!are_equal(&[(Digest([2; 32]), Digest([1; 32])), state(1)]));
        assert!(are_equal(&[state(1)]));
    }

    #[test]
    fn the_first_difference_is_found() {
        for first in 1..=40 {
            let equal_at = |index| Ok::<_, io::Error>(index < first);
            assert_eq!(first_difference(40, equal_at).unwrap(), first);
        }
    }

    #[test]
    fn ledgers_that_never_ran_are_equal_at_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let settled = folder.path().join("settled.bin");
        std::fs::write(&settled, []).unwrap();
        let folder = |name| LedgerFolder::Embedded { data_dir: folder.path().join(name) };
        let verdict = verify(&[folder("a"), folder("b")], 0, 0, &settled).unwrap();
        assert_eq!((verdict.index, verdict.equal, verdict.behind()), (0, true, vec![]));
        assert_eq!(verdict.tally, Tally::default());
    }
}
