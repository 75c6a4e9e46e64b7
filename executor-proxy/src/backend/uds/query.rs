//! The queries, each with the answer that belongs to it.

use metanode_proto::legacy::v1::{
    AdvanceEpochRequest, EpochBoundaryData, GetActiveValidatorsRequest, GetCurrentEpochRequest,
    GetEpochBoundaryDataRequest, GetLastBlockNumberRequest, GetLastHandledCommitIndexRequest,
    GetValidatorsAtBlockRequest, LastBlockNumber, ValidatorInfo, request::Payload as Query,
    response::Payload as Answer,
};
use sequencer_core::Digest;

use super::{error::LegacyError, link::Link};
use crate::backend::EpochStart;

/// Asks, and takes the one kind of answer that belongs to the query. Any other one closes the link: whose answer it is, nobody
/// knows (D13).
macro_rules! ask {
    ($link:ident, $query:ident($request:expr), $answer:ident) => {{
        const QUERY: &str = stringify!($query);
        match $link.ask(QUERY, Query::$query($request)).await? {
            Answer::$answer(answer) => answer,
            _ => {
                $link.close();
                return Err(LegacyError::OtherAnswer { query: QUERY });
            }
        }
    }};
}

impl Link {
    /// Query 5.
    pub(super) async fn last_block_number(&mut self) -> Result<LastBlockNumber, LegacyError> {
        Ok(ask!(self, GetLastBlockNumber(GetLastBlockNumberRequest {}), LastBlockNumber))
    }

    /// Query 6.
    pub(super) async fn current_epoch(&mut self) -> Result<u64, LegacyError> {
        Ok(ask!(self, GetCurrentEpoch(GetCurrentEpochRequest {}), CurrentEpoch).epoch)
    }

    /// Query 8. Backwards is refused; an epoch in force stays as it is.
    pub(super) async fn advance_epoch(&mut self, start: &EpochStart) -> Result<u64, LegacyError> {
        let boundary = start.boundary;
        let request = AdvanceEpochRequest {
            new_epoch: boundary.new_epoch,
            epoch_start_timestamp_ms: start.timestamp_ms,
            boundary_block: boundary.last.index,
            boundary_gei: boundary.last.index,
        };
        Ok(ask!(self, AdvanceEpoch(request), EpochAdvanced).new_epoch)
    }

    /// Query 9.
    pub(super) async fn epoch_boundary(&mut self, epoch: u64) -> Result<EpochBoundaryData, LegacyError> {
        Ok(ask!(self, GetEpochBoundaryData(GetEpochBoundaryDataRequest { epoch }), EpochBoundaryData))
    }

    /// Query 4 at block 0, which answers from genesis.
    pub(super) async fn genesis_validators(&mut self) -> Result<Vec<ValidatorInfo>, LegacyError> {
        let request = GetValidatorsAtBlockRequest { block_number: 0 };
        Ok(ask!(self, GetValidatorsAtBlock(request), ValidatorInfoList).validators)
    }

    /// Query 3.
    pub(super) async fn active_validators(&mut self) -> Result<Vec<ValidatorInfo>, LegacyError> {
        Ok(ask!(self, GetActiveValidators(GetActiveValidatorsRequest {}), ValidatorInfoList).validators)
    }

    /// Query 31: the state root after a block, where the master tells one of 32 bytes that belongs to it. `None` for the whole
    /// answer where the master does not know the query.
    pub(super) async fn state_root(&mut self, index: u64) -> Result<Option<Option<Digest>>, LegacyError> {
        let query = async |link: &mut Self| {
            let request = GetLastHandledCommitIndexRequest {};
            Ok(ask!(link, GetLastHandledCommitIndex(request), LastHandledCommitIndex))
        };
        match query(self).await {
            Ok(answer) if answer.last_gei == index => Ok(Some(Digest::from_slice(&answer.state_root))),
            Ok(_) => Ok(Some(None)),
            Err(LegacyError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
