//! One batch, from its first try until the fate of each of its transactions is known.

use crate::accounts::{Sender, Signed};
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
    /// Not known: the drain deadline has passed.
    Unresolved,
}

/// A batch at its end.
#[derive(Debug)]
pub(crate) struct SettledBatch {
    pub(crate) endings: Vec<(Pending, Ending)>,
    /// How many of them were sent more than once.
    pub(crate) resubmitted: u64,
}

/// Submits until every fate is known, or `abandon` is cancelled.
pub(crate) async fn settle(
    client: SubmitClient,
    batch: Vec<Pending>,
    abandon: CancellationToken,
) -> SettledBatch {
    let mut settling = Settling {
        open: batch,
        endings: Vec::new(),
        unknown_tries: false,
        resubmitted: 0,
        backoff: backoff(),
    };
    let abandoned = abandon.run_until_cancelled(settling.run(&client)).await.is_none();
    if abandoned {
        settling.end_all(&Ending::Unresolved);
    }
    SettledBatch { endings: settling.endings, resubmitted: settling.resubmitted }
}

struct Settling {
    open: Vec<Pending>,
    endings: Vec<(Pending, Ending)>,
    /// Whether a try ended without an answer: the open ones may be in the order already.
    unknown_tries: bool,
    resubmitted: u64,
    backoff: ExponentialBackoff,
}

impl Settling {
    async fn run(&mut self, client: &SubmitClient) {
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
                refused => {
                    self.end_all(&Ending::Rejected { reason: refused.to_string(), nonce_used: false });
                }
            }
        }
    }

    /// Ends what has a final outcome; the rest stays open and is sent again.
    fn take(&mut self, outcomes: Vec<TransactionOutcome>) {
        let now = Instant::now();
        let mut open = Vec::new();
        for (pending, outcome) in std::mem::take(&mut self.open).into_iter().zip(outcomes) {
            match ending(&outcome, now, self.unknown_tries) {
                Some(ending) => self.endings.push((pending, ending)),
                None => open.push(pending),
            }
        }
        self.open = open;
        if !self.open.is_empty() && !self.unknown_tries {
            self.unknown_tries = true;
            self.resubmitted += self.open.len() as u64;
        }
    }

    fn end_all(&mut self, ending: &Ending) {
        self.endings.extend(self.open.drain(..).map(|pending| (pending, ending.clone())));
    }
}

/// What an outcome says; `None` where it is not final.
fn ending(outcome: &TransactionOutcome, now: Instant, resubmitted: bool) -> Option<Ending> {
    match outcome.state() {
        TransactionState::Executed | TransactionState::Duplicate => Some(Ending::Executed(now)),
        TransactionState::Rejected => {
            let nonce_used = outcome.rejection_code == RejectionCode::NonceTooLow.number();
            // Only one transfer of an account is in flight: if its nonce is used, an earlier try used it.
            Some(if nonce_used && resubmitted {
                Ending::Executed(now)
            } else {
                Ending::Rejected { reason: outcome.rejection_reason.clone(), nonce_used }
            })
        }
        TransactionState::Unspecified
        | TransactionState::Accepted
        | TransactionState::Committed
        | TransactionState::Dropped => None,
    }
}

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
        assert_eq!(ending(&too_low, now, true), Some(Ending::Executed(now)));
        let rejected = |nonce_used| Some(Ending::Rejected { reason: String::new(), nonce_used });
        assert_eq!(ending(&too_low, now, false), rejected(true));
        let poor = outcome(TransactionState::Rejected, RejectionCode::InsufficientFunds.number());
        assert_eq!(ending(&poor, now, true), rejected(false));
    }

    #[test]
    fn a_stage_on_the_way_is_no_ending() {
        let now = Instant::now();
        for state in [TransactionState::Accepted, TransactionState::Committed, TransactionState::Dropped] {
            assert_eq!(ending(&outcome(state, 0), now, false), None);
        }
    }
}
