//! `AdvanceEpoch` of the framed protocol.

use metanode_proto::legacy::v1::{
    AdvanceEpochRequest, request::Payload as Query, response::Payload as Reply,
};

use crate::{
    bench::Bench,
    row::{Failure, Outcome, equal},
};

async fn advance(bench: &Bench, new_epoch: u64, boundary: u64) -> Outcome<Result<u64, String>> {
    let request = AdvanceEpochRequest {
        new_epoch,
        epoch_start_timestamp_ms: 1_700_000_100_000,
        boundary_block: boundary,
        boundary_gei: boundary,
    };
    match bench.queries().await?.ask(Query::AdvanceEpoch(request)).await? {
        Reply::EpochAdvanced(advanced) => Ok(Ok(advanced.new_epoch)),
        Reply::Error(text) => Ok(Err(text)),
        other => Err(Failure::new("an answer to AdvanceEpoch", format!("{other:?}"))),
    }
}

async fn advanced(bench: &Bench, new_epoch: u64, boundary: u64) -> Outcome {
    match advance(bench, new_epoch, boundary).await? {
        Ok(epoch) => equal("new_epoch in the answer to AdvanceEpoch", &new_epoch, &epoch),
        Err(text) => {
            Err(Failure::new(format!("AdvanceEpoch({new_epoch}) is answered with that epoch"), text))
        }
    }
}

pub(super) async fn epoch(bench: &mut Bench) -> Outcome {
    let mut feed = bench.feed().await?;
    let (last, old) = (bench.position().await?.block_number + 3, bench.chain.epoch());
    for index in last - 2..=last {
        bench.execute_framed(&mut feed, index).await?;
    }
    let new = old + 1;
    // The old epoch goes no further than its boundary.
    bench.chain = bench.chain.fork_after(last);
    // Twice, as after an answer that was lost.
    for _ in 0..2 {
        advanced(bench, new, last).await?;
        equal("current epoch", &new, &bench.position().await?.epoch)?;
    }
    bench.chain.begin_epoch();
    let mut feed = bench.feed().await?;
    for index in last + 1..=last + 3 {
        bench.execute_framed(&mut feed, index).await?;
    }
    bench.restart().await?;
    equal("current epoch after a restart", &new, &bench.position().await?.epoch)?;
    advanced(bench, new, last).await?;
    match advance(bench, old, last).await? {
        Err(_) => {}
        Ok(epoch) => {
            return Err(Failure::new("an error: epochs do not go backwards", format!("epoch {epoch}")));
        }
    }
    equal("current epoch", &new, &bench.position().await?.epoch)
}
