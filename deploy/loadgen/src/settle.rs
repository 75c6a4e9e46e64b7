//! One batch, from its first try until the fate of each of its transactions is known.
//!
//! Two answers are final and do not say what became of a transaction: DUPLICATE, whose first place may have been executed
//! or rejected, and COMMITTED to who waits for the execution, where the executor's results were lost on their way. The same bytes again
//! would only be another duplicate. So the chain decides: the account has this one transaction in flight, and its nonce after
//! the commit says whether it was used.

use crate::{
    accounts::{Sender, Signed},
    chain::NonceReader,
};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use metanode_client::{CallError, SubmitClient, TransactionOutcome, TransactionState, WaitFor};
use reference_ledger::RejectionCode;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Time for one try; then the same bytes are submitted again.
const TRY_TIMEOUT: Duration = Duration::from_secs(20);

/// A transaction on its way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) sender: Sender,
    pub(crate) signed: Signed,
    /// When it was meant to be sent.
    pub(crate) intended: Instant,
}

/// What became of a transaction on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Executed, at this moment as seen from here.
    Executed(Instant),
    /// Rejected or refused.
    Rejected {
        /// Why, for people.
        reason: String,
        /// Whether the account has used this nonce before: its next one is higher.
        nonce_used: bool,
    },
    /// Not known: the drain deadline has passed, or the authority has stopped with it.
    Unresolved {
        /// Why, for people; `None` for the deadline.
        reason: Option<String>,
    },
}

/// A batch at its end.
#[derive(Debug)]
pub(crate) struct SettledBatch {
    pub(crate) endings: Vec<(Pending, Ending)>,
    /// How many of them were sent more than once.
    pub(crate) resubmitted: u64,
    /// How often one of them was told as dropped, and sent again.
    pub(crate) dropped: u64,
    /// How often one of them was told as a duplicate.
    pub(crate) duplicates: u64,
    /// How many results were computed from the chain.
    pub(crate) untold: u64,
}

/// Submits until every fate is known, or `abandon` is cancelled.
pub(crate) async fn settle(
    client: SubmitClient,
    nonces: NonceReader,
    batch: Vec<Pending>,
    abandon: CancellationToken,
) -> SettledBatch {
    let mut settling = Settling {
        open: batch,
        ordered: Vec::new(),
        endings: Vec::new(),
        unknown_tries: false,
        resubmitted: 0,
        dropped: 0,
        duplicates: 0,
        untold: 0,
        backoff: backoff(),
    };
    let abandoned = abandon.run_until_cancelled(settling.run(&client, &nonces)).await.is_none();
    if abandoned {
        settling.end_all(&Ending::Unresolved { reason: None });
    }
    let Settling { endings, resubmitted, dropped, duplicates, untold, .. } = settling;
    SettledBatch { endings, resubmitted, dropped, duplicates, untold }
}

struct Settling {
    open: Vec<Pending>,
    /// In the order, at or before this commit, without a result.
    ordered: Vec<(Pending, u64)>,
    endings: Vec<(Pending, Ending)>,
    /// Whether a try ended without an answer: the open ones may be in the order already.
    unknown_tries: bool,
    resubmitted: u64,
    dropped: u64,
    duplicates: u64,
    untold: u64,
    backoff: ExponentialBackoff,
}

impl Settling {
    async fn run(&mut self, client: &SubmitClient, nonces: &NonceReader) {
        self.submit_all(client).await;
        self.resolve(nonces).await;
    }

    async fn submit_all(&mut self, client: &SubmitClient) {
        while !self.open.is_empty() {
            let transactions = self.open.iter().map(|pending| pending.signed.bytes.clone()).collect();
            let error = match client.submit_once(transactions, WaitFor::Executed, TRY_TIMEOUT).await {
                Ok(outcomes) => {
                    self.take(outcomes);
                    continue;
                }
                Err(error) => error,
            };
            if error.outcome_unknown() && !self.unknown_tries {
                self.unknown_tries = true;
                self.resubmitted += self.open.len() as u64;
            }
            let delay = self.backoff.next().unwrap_or(LONGEST_DELAY);
            match error {
                CallError::Disconnected { .. }
                | CallError::Unavailable { .. }
                | CallError::Busy { .. }
                | CallError::AlreadyPooled { .. }
                | CallError::DeadlineExceeded => {
                    tokio::time::sleep(error.retry_after().map_or(delay, |asked| asked.max(delay))).await;
                }
                // What was taken may still be executed.
                refused if self.unknown_tries || refused.outcome_unknown() => {
                    self.end_all(&Ending::Unresolved { reason: Some(refused.to_string()) });
                }
                refused => {
                    self.end_all(&Ending::Rejected { reason: refused.to_string(), nonce_used: false });
                }
            }
        }
    }

    /// Asks the chain about those that are in the order without a result.
    async fn resolve(&mut self, nonces: &NonceReader) {
        let Some(index) = self.ordered.iter().map(|(_, index)| *index).max() else { return };
        let accounts: Vec<_> = self.ordered.iter().map(|(pending, _)| *pending.sender.address()).collect();
        let after = match nonces.nonces_after(index, &accounts).await {
            Ok(Some(after)) => after,
            Ok(None) => return self.end_all(&Ending::Unresolved { reason: Some(NO_RESULT.to_owned()) }),
            Err(error) => return self.end_all(&Ending::Unresolved { reason: Some(error.to_string()) }),
        };
        let now = Instant::now();
        self.untold += self.ordered.len() as u64;
        for ((pending, _), nonce) in self.ordered.drain(..).zip(after) {
            let ending = if nonce > pending.sender.nonce() {
                Ending::Executed(now)
            } else {
                Ending::Rejected { reason: REJECTED_THERE.to_owned(), nonce_used: false }
            };
            self.endings.push((pending, ending));
        }
    }

    /// Ends what has a final outcome; the rest stays open and is sent again.
    fn take(&mut self, outcomes: Vec<TransactionOutcome>) {
        let now = Instant::now();
        let mut open = Vec::new();
        for (pending, outcome) in std::mem::take(&mut self.open).into_iter().zip(outcomes) {
            self.dropped += u64::from(outcome.state() == TransactionState::Dropped);
            self.duplicates += u64::from(outcome.state() == TransactionState::Duplicate);
            match said(&outcome, now, self.unknown_tries) {
                Said::Ended(ending) => self.endings.push((pending, ending)),
                Said::Ordered { index } => self.ordered.push((pending, index)),
                Said::Open => open.push(pending),
            }
        }
        self.open = open;
        if !self.open.is_empty() && !self.unknown_tries {
            self.unknown_tries = true;
            self.resubmitted += self.open.len() as u64;
        }
    }

    fn end_all(&mut self, ending: &Ending) {
        let ordered = self.ordered.drain(..).map(|(pending, _)| pending);
        self.endings.extend(self.open.drain(..).chain(ordered).map(|pending| (pending, ending.clone())));
    }
}

/// What an outcome says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// The end.
    Ended(Ending),
    /// It is in the order, at or before this commit; the result is not told, and asking again would not help.
    Ordered {
        /// Commit index.
        index: u64,
    },
    /// Nothing final: submit again.
    Open,
}

fn said(outcome: &TransactionOutcome, now: Instant, resubmitted: bool) -> Said {
    match outcome.state() {
        TransactionState::Executed => Said::Ended(Ending::Executed(now)),
        TransactionState::Committed | TransactionState::Duplicate if outcome.commit_index > 0 => {
            Said::Ordered { index: outcome.commit_index }
        }
        TransactionState::Rejected => {
            let nonce_used = outcome.rejection_code == RejectionCode::NonceTooLow.number();
            // Only one transfer of an account is in flight: if its nonce is used, an earlier try used it.
            Said::Ended(if nonce_used && resubmitted {
                Ending::Executed(now)
            } else {
                Ending::Rejected { reason: outcome.rejection_reason.clone(), nonce_used }
            })
        }
        TransactionState::Unspecified
        | TransactionState::Accepted
        | TransactionState::Committed
        | TransactionState::Duplicate
        | TransactionState::Dropped => Said::Open,
    }
}

const NO_RESULT: &str = "the executor's result was not told, and no genesis was given to compute it from";
const REJECTED_THERE: &str = "rejected at its first place in the order; the reason was not told";
const LONGEST_DELAY: Duration = Duration::from_millis(500);

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(LONGEST_DELAY)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(state: TransactionState, rejection_code: u32) -> TransactionOutcome {
        TransactionOutcome { state: state.into(), rejection_code, ..Default::default() }
    }

    #[test]
    fn a_used_nonce_means_executed_only_after_a_try_of_unknown_fate() {
        let now = Instant::now();
        let too_low = outcome(TransactionState::Rejected, RejectionCode::NonceTooLow.number());
        assert_eq!(said(&too_low, now, true), Said::Ended(Ending::Executed(now)));
        let rejected = |nonce_used| Said::Ended(Ending::Rejected { reason: String::new(), nonce_used });
        assert_eq!(said(&too_low, now, false), rejected(true));
        let poor = outcome(TransactionState::Rejected, RejectionCode::InsufficientFunds.number());
        assert_eq!(said(&poor, now, true), rejected(false));
    }

    #[test]
    fn a_stage_on_the_way_is_no_ending() {
        let now = Instant::now();
        for state in [TransactionState::Accepted, TransactionState::Dropped] {
            assert_eq!(said(&outcome(state, 0), now, false), Said::Open);
        }
    }

    #[test]
    fn a_place_in_the_order_without_a_result_is_no_execution() {
        for state in [TransactionState::Committed, TransactionState::Duplicate] {
            let placed = TransactionOutcome { commit_index: 9, ..outcome(state, 0) };
            for resubmitted in [false, true] {
                assert_eq!(said(&placed, Instant::now(), resubmitted), Said::Ordered { index: 9 });
            }
        }
    }
}
