//! What people are told of a start: whether this authority may propose, and what an amnesiac waits for.

use consensus_core::CoreStatus;
use metanode_telemetry::names::{TARGET_STARTUP, as_i64};

/// How far a life has been told of. It only goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    #[default]
    Nothing,
    Amnesia,
    FirstRound,
    Proposing,
}

/// Tells each step once.
#[derive(Debug, Default)]
pub(super) struct StartLog {
    told: Told,
}

impl StartLog {
    /// After an input.
    pub(super) fn observe(&mut self, status: &CoreStatus) {
        let amnesia = status.amnesia.as_ref();
        let now = match amnesia {
            Some(amnesia) if amnesia.first_round.is_some() => Told::FirstRound,
            Some(_) => Told::Amnesia,
            None if status.may_propose => Told::Proposing,
            None => return,
        };
        if now <= self.told {
            return;
        }
        let came_back = now == Told::Proposing && self.told > Told::Nothing;
        self.told = now;
        let own_round = as_i64(status.proposed_round.get());
        if let Some(amnesia) = amnesia {
            match amnesia.first_round {
                None => tracing::warn!(
                    target: TARGET_STARTUP,
                    own_round,
                    cause = ?amnesia.cause,
                    "[STARTUP] this authority does not remember all that it signed, peers are asked"
                ),
                Some(first_round) => tracing::info!(
                    target: TARGET_STARTUP,
                    own_round,
                    cause = ?amnesia.cause,
                    first_round = as_i64(first_round.get()),
                    "[STARTUP] a quorum has told from which round on this authority may propose"
                ),
            }
        } else if came_back {
            tracing::info!(
                target: TARGET_STARTUP,
                own_round,
                "[STARTUP] this authority proposes again after it forgot what it signed"
            );
        } else {
            tracing::info!(
                target: TARGET_STARTUP,
                own_round,
                "[STARTUP] a quorum knows no newer own block, proposing begins"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use consensus_core::{Amnesia, AmnesiaCause, Round};

    use super::*;

    #[test]
    fn each_step_of_a_start_is_told_once() {
        let amnesiac = |first_round| CoreStatus {
            amnesia: Some(Amnesia { cause: AmnesiaCause::ExecutorAhead, awaited: Vec::new(), first_round }),
            ..CoreStatus::default()
        };
        let waiting = CoreStatus::default();
        let proposing = CoreStatus { may_propose: true, ..CoreStatus::default() };
        let mut log = StartLog::default();
        let steps = [
            (&waiting, Told::Nothing),
            (&amnesiac(None), Told::Amnesia),
            (&amnesiac(Some(Round::new(5))), Told::FirstRound),
            (&amnesiac(Some(Round::new(6))), Told::FirstRound),
            (&proposing, Told::Proposing),
            (&proposing, Told::Proposing),
        ];
        for (status, told) in steps {
            log.observe(status);
            assert_eq!(log.told, told);
        }
    }
}
