//! Progress: once the network heals, within a bounded time every honest node is up, has what any of them had, has committed a
//! new transaction of each, and everything that was accepted has met its fate where it was accepted (L01-L07, T01).

use super::{Invariant, Kind, Record};

/// Nothing to remember: the end tells it.
#[derive(Debug)]
pub(crate) struct Progress;

impl Invariant for Progress {
    fn name(&self) -> &'static str {
        "progress"
    }

    fn kind(&self) -> Kind {
        Kind::NoProgress
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        let Record::Ended { nodes, target, owed, waited_ms } = record else { return Ok(()) };
        if let Some(down) = nodes.iter().find(|standing| !standing.is_up) {
            return Err(format!("node {} is down {waited_ms} ms after the network healed", down.node));
        }
        if let Some(behind) = nodes.iter().find(|standing| standing.delivered < *target) {
            return Err(format!(
                "node {} has {} of {target} commits {waited_ms} ms after the network healed",
                behind.node, behind.delivered
            ));
        }
        if *owed > 0 {
            return Err(format!(
                "{owed} accepted transactions have met no fate {waited_ms} ms after the network healed"
            ));
        }
        Ok(())
    }
}
