//! What the socket of queries answers.

use base64::{Engine, engine::general_purpose::STANDARD};
use metanode_proto::{
    executor::v1::CommitteeMember,
    legacy::v1::{
        GetActiveValidatorsRequest, GetCurrentEpochRequest, GetEpochBoundaryDataRequest,
        GetEpochStartTimestampRequest, GetLastBlockNumberRequest, GetValidatorsAtBlockRequest, ValidatorInfo,
        request::Payload as Query, response::Payload as Reply,
    },
};
use nix::sys::signal::Signal;

use crate::{
    bench::Bench,
    legacy::asked,
    row::{Failure, Outcome, equal, hex},
};

/// A key as bytes, whichever form it came in: the bytes, or their base64 text.
fn key(bytes: &[u8]) -> String {
    match STANDARD.decode(bytes) {
        Ok(key) if key.len() == 32 => hex(&key),
        _ => hex(bytes),
    }
}

fn committee(members: &[CommitteeMember]) -> String {
    let mut all: Vec<_> = members
        .iter()
        .map(|one| format!("{} {} stake {}", hex(&one.protocol_key), hex(&one.network_key), one.stake))
        .collect();
    all.sort();
    all.join(", ")
}

fn validators(infos: &[ValidatorInfo]) -> String {
    let mut all: Vec<_> = infos
        .iter()
        .map(|one| format!("{} {} stake {}", key(&one.protocol_key), key(&one.network_key), one.stake))
        .collect();
    all.sort();
    all.join(", ")
}

pub(super) async fn handshake(bench: &mut Bench) -> Outcome {
    let position = bench.position().await?;
    if bench.chain.last() == 0 {
        equal("last block number", &0, &position.block_number)?;
        equal("epoch", &0, &position.epoch)?;
    }
    Ok(())
}

pub(super) async fn at_block(bench: &mut Bench) -> Outcome {
    let expected = committee(&bench.network.committee);
    let mut queries = bench.queries().await?;
    let request = GetValidatorsAtBlockRequest { block_number: 0 };
    let genesis = asked!(queries, GetValidatorsAtBlock(request), ValidatorInfoList);
    equal("validators at block 0", &expected, &validators(&genesis.validators))?;
    if bench.chain.epoch() == 0 {
        let active = asked!(queries, GetActiveValidators(GetActiveValidatorsRequest {}), ValidatorInfoList);
        equal("active validators", &expected, &validators(&active.validators))?;
    }
    let above = bench.chain.last() + 1_000_000;
    let above = Query::GetValidatorsAtBlock(GetValidatorsAtBlockRequest { block_number: above });
    match queries.ask(above).await? {
        Reply::Error(_) => {}
        other => return Err(Failure::new("an error for a block above the last", format!("{other:?}"))),
    }
    // An error is an answer, not an end.
    asked!(queries, GetCurrentEpoch(GetCurrentEpochRequest {}), CurrentEpoch);
    Ok(())
}

pub(super) async fn in_order(bench: &mut Bench) -> Outcome {
    let epoch = bench.chain.epoch();
    let mut queries = bench.queries().await?;
    // There is no number that says which answer is whose: their order does.
    queries.send(Query::GetEpochBoundaryData(GetEpochBoundaryDataRequest { epoch })).await?;
    queries.send(Query::GetCurrentEpoch(GetCurrentEpochRequest {})).await?;
    queries.send(Query::GetEpochStartTimestamp(GetEpochStartTimestampRequest { epoch })).await?;
    queries.send(Query::GetLastBlockNumber(GetLastBlockNumberRequest {})).await?;
    let mut replies = Vec::new();
    for _ in 0..4 {
        replies.push(queries.reply().await?);
    }
    let [
        Reply::EpochBoundaryData(boundary),
        Reply::CurrentEpoch(current),
        Reply::EpochStartTimestamp(start),
        Reply::LastBlockNumber(_),
    ] = &replies[..]
    else {
        return Err(Failure::new("four answers in the order of the queries", format!("{replies:?}")));
    };
    equal("epoch of the boundary", &epoch, &boundary.epoch)?;
    equal("current epoch", &epoch, &current.epoch)?;
    equal("start of the epoch", &boundary.epoch_start_timestamp_ms, &start.timestamp_ms)?;
    if epoch == 0 {
        let validators = validators(&boundary.validators);
        equal("validators of the boundary", &committee(&bench.network.committee), &validators)?;
    }
    Ok(())
}

pub(super) async fn late(bench: &mut Bench) -> Outcome {
    let mut given_up = bench.queries().await?;
    bench.signal(Signal::SIGSTOP);
    let sent = given_up.send(Query::GetCurrentEpoch(GetCurrentEpochRequest {})).await;
    drop(given_up);
    let connected = bench.queries().await;
    bench.signal(Signal::SIGCONT);
    sent?;
    // The answer that nobody waits for any more is for its own connection.
    asked!(connected?, GetLastBlockNumber(GetLastBlockNumberRequest {}), LastBlockNumber);
    Ok(())
}

pub(super) async fn framing(bench: &mut Bench) -> Outcome {
    // A length that no query has.
    let mut queries = bench.queries().await?;
    queries.bytes(&u32::MAX.to_be_bytes()).await?;
    queries.closed("a query of 4 GiB was announced").await?;
    // A query that is none may be answered with an error, or end its connection; others go on.
    let mut queries = bench.queries().await?;
    queries.bytes(&[0, 0, 0, 3, 0xff, 0xff, 0xff]).await?;
    match queries.reply().await {
        Ok(Reply::Error(_)) | Err(_) => {}
        Ok(other) => return Err(Failure::new("an error for bytes that are no query", format!("{other:?}"))),
    }
    bench.lives()?;
    let mut queries = bench.queries().await?;
    asked!(queries, GetLastBlockNumber(GetLastBlockNumberRequest {}), LastBlockNumber);
    Ok(())
}
