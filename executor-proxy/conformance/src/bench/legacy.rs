//! The same questions and commits in the framed protocol.

use bytes::Bytes;
use metanode_proto::{
    executor::v1::GetLastBlockNumberResponse,
    legacy::v1::{
        GetCurrentEpochRequest, GetLastBlockNumberRequest, GetLastHandledCommitIndexRequest,
        request::Payload as Query, response::Payload as Reply,
    },
};
use tonic::Status;

use super::Bench;
use crate::{
    client::within,
    legacy::{Feed, Layout, LegacyMaster, Queries, asked, frame},
    row::{Failure, Outcome},
    settings::Protocol,
};

impl Bench {
    /// The settings of the framed protocol.
    pub(crate) fn legacy(&self) -> Outcome<LegacyMaster> {
        match &self.settings.protocol {
            Protocol::Uds(master) => Ok(master.clone()),
            Protocol::Grpc { .. } => {
                Err(Failure::new("a master behind the framed protocol", "one behind gRPC"))
            }
        }
    }

    /// A new connection for blocks.
    pub(crate) async fn feed(&self) -> Outcome<Feed> {
        Feed::connect(&self.legacy()?.blocks, self.settings.patience).await
    }

    /// A new connection for queries.
    pub(crate) async fn queries(&self) -> Outcome<Queries> {
        Queries::connect(&self.legacy()?.queries, self.settings.patience).await
    }

    /// Where the master stands, in the words of the contract. The protocol carries no digest: that of the number is put in.
    pub(crate) async fn ask_framed(
        &self,
        master: &LegacyMaster,
    ) -> Outcome<Result<GetLastBlockNumberResponse, Status>> {
        let mut queries = Queries::connect(&master.queries, self.settings.patience).await?;
        // A master is not up before it takes blocks.
        drop(Feed::connect(&master.blocks, self.settings.patience).await?);
        let last = match queries.ask(Query::GetLastBlockNumber(GetLastBlockNumberRequest {})).await? {
            Reply::LastBlockNumber(last) => last,
            Reply::Error(text) => return Ok(Err(Status::unavailable(text))),
            other => return Err(Failure::new("an answer to GetLastBlockNumber", format!("{other:?}"))),
        };
        if master.reports_ready && !last.is_ready {
            return Ok(Ok(GetLastBlockNumberResponse::default()));
        }
        let number = last.last_global_exec_index.max(last.last_block_number);
        let epoch = asked!(queries, GetCurrentEpoch(GetCurrentEpochRequest {}), CurrentEpoch).epoch;
        let handled = Query::GetLastHandledCommitIndex(GetLastHandledCommitIndexRequest {});
        let state_root = match queries.ask(handled).await? {
            Reply::LastHandledCommitIndex(handled) if handled.last_gei == number => handled.state_root,
            _ => Bytes::new(),
        };
        Ok(Ok(GetLastBlockNumberResponse {
            block_number: number,
            commit_digest: self.chain.digest(number),
            state_root,
            epoch,
            ready: true,
            chain_id: self.network.chain_id.0.to_vec().into(),
        }))
    }

    /// The frame of a commit of this chain.
    pub(crate) fn frame(&mut self, index: u64) -> Outcome<Vec<u8>> {
        let layout: Layout = self.legacy()?.layout;
        Ok(frame(&self.chain.at(index).commit, layout))
    }

    /// Sends a block and waits until it is reported, as the proxy does. Never above it.
    pub(crate) async fn execute_framed(&mut self, feed: &mut Feed, index: u64) -> Outcome {
        let frame = self.frame(index)?;
        feed.send(&frame).await?;
        self.reported(index).await
    }

    /// Waits until a number is reported: no event tells, so it is asked again and again. None above it may come.
    pub(crate) async fn reported(&mut self, index: u64) -> Outcome {
        let patience = self.settings.patience;
        let asking = async {
            loop {
                let position = self.position().await?;
                if position.block_number > index {
                    let came = format!("block {}", position.block_number);
                    return Err(Failure::new(format!("block {index}, the last that was sent"), came));
                }
                if position.block_number == index {
                    return Ok(());
                }
                tokio::task::yield_now().await;
            }
        };
        within(patience, &format!("block {index} is executed and reported"), asking).await?
    }
}
