//! What the numbers of a master mean. Pure.

use metanode_proto::legacy::v1::LastBlockNumber;

use super::error::LegacyError;

const QUERY: &str = "GetLastBlockNumber";

/// Reads positions, over the life of one link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    reports_ready: bool,
    /// True from the first time that `last_global_exec_index` was reported.
    exec_index: bool,
}

impl Numbers {
    pub(super) const fn new(reports_ready: bool) -> Self {
        Self { reports_ready, exec_index: false }
    }

    /// The cursor: `last_global_exec_index` where it is reported, else `last_block_number`.
    ///
    /// # Errors
    /// [`LegacyError::NotReady`] where the master tells so; [`LegacyError::Contradiction`] where the execution index is below the
    /// block number, or gone: a batch may make no block, but none is made without an execution.
    pub(super) fn read(&mut self, answer: &LastBlockNumber) -> Result<u64, LegacyError> {
        if self.reports_ready && !answer.is_ready {
            return Err(LegacyError::NotReady);
        }
        let (exec_index, block_number) = (answer.last_global_exec_index, answer.last_block_number);
        self.exec_index |= exec_index > 0;
        if !self.exec_index {
            return Ok(block_number);
        }
        if exec_index < block_number {
            return Err(LegacyError::Contradiction {
                query: QUERY,
                field: "last_global_exec_index",
                value: exec_index,
                other_field: "last_block_number",
                other: block_number,
            });
        }
        Ok(exec_index)
    }

    /// True while nothing but block numbers was reported: whether empty commits advance them is not known.
    pub(super) const fn are_blocks_alone(self) -> bool {
        !self.exec_index
    }
}

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// Where the master stands.
    pub(super) index: u64,
    /// Set where it has lost what was acknowledged: that index. An alarm (X03).
    pub(super) rewound_from: Option<u64>,
}

/// Decides where to go on from what the master says. `trusts_zero`: it reports whether it is ready, or an operator said so.
///
/// # Errors
/// [`LegacyError::ZeroDoubted`] for a zero that may be that of a master which has not loaded its state (X02).
pub(super) fn start(index: u64, acknowledged: u64, trusts_zero: bool) -> Result<Start, LegacyError> {
    if index == 0 && acknowledged > 0 && !trusts_zero {
        return Err(LegacyError::ZeroDoubted { acknowledged });
    }
    Ok(Start { index, rewound_from: (index < acknowledged).then_some(acknowledged) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(last_block_number: u64, last_global_exec_index: u64, is_ready: bool) -> LastBlockNumber {
        LastBlockNumber { last_block_number, last_global_exec_index, is_ready, ..LastBlockNumber::default() }
    }

    #[test]
    fn the_execution_index_is_the_cursor_where_it_is_reported() {
        let mut numbers = Numbers::new(false);
        assert_eq!(numbers.read(&said(0, 0, false)).unwrap(), 0);
        assert_eq!(numbers.read(&said(3, 0, false)).unwrap(), 3);
        assert!(numbers.are_blocks_alone());
        assert_eq!(numbers.read(&said(3, 5, false)).unwrap(), 5, "two empty commits made no block");
        assert!(!numbers.are_blocks_alone());
        for impossible in [said(3, 0, true), said(6, 5, true)] {
            assert!(matches!(numbers.read(&impossible), Err(LegacyError::Contradiction { .. })));
        }
    }

    #[test]
    fn x02_ready_counts_only_where_it_is_reported() {
        assert!(matches!(Numbers::new(true).read(&said(5, 5, false)), Err(LegacyError::NotReady)));
        assert_eq!(Numbers::new(true).read(&said(5, 5, true)).unwrap(), 5);
        assert_eq!(Numbers::new(false).read(&said(5, 5, false)).unwrap(), 5, "false is not on the wire");
    }

    #[test]
    fn x02_zero_is_nothing_executed_only_if_nothing_was_acknowledged() {
        let at = |index, rewound_from| Start { index, rewound_from };
        assert_eq!(start(0, 0, false).unwrap(), at(0, None));
        assert!(matches!(start(0, 7, false), Err(LegacyError::ZeroDoubted { acknowledged: 7 })));
        assert_eq!(start(0, 7, true).unwrap(), at(0, Some(7)));
    }

    #[test]
    fn x03_a_number_below_what_was_acknowledged_is_an_alarm_with_both() {
        let at = |index, rewound_from| Start { index, rewound_from };
        assert_eq!(start(6, 7, false).unwrap(), at(6, Some(7)));
        assert_eq!(start(7, 7, false).unwrap(), at(7, None));
        assert_eq!(start(8, 7, false).unwrap(), at(8, None));
    }
}
