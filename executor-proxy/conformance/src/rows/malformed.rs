//! Messages that break the contract's form.

use bytes::Bytes;
use metanode_proto::{
    consensus::v1::Commit,
    executor::v1::{ExecuteCommitsRequest, execute_commits_request::Message},
    reason::{MALFORMED_COMMIT, MALFORMED_STREAM},
};
use metanode_shell::grpc::decode_limit;
use prost::Message as _;
use tonic::Code;

use crate::{
    bench::Bench,
    client::{Answer, Refusal},
    row::{Failure, Outcome},
};

/// Bytes that are no message of protobuf.
const NO_MESSAGE: &[u8] = &[0xff; 40];

/// A commit, spoiled in each way that its form can be wrong.
fn spoiled(good: &Commit) -> Vec<Commit> {
    let spoil = |change: fn(&mut Commit)| {
        let mut commit = good.clone();
        change(&mut commit);
        commit
    };
    vec![
        spoil(|commit| commit.digest = commit.digest.slice(..31)),
        spoil(|commit| commit.previous_digest = Bytes::new()),
        spoil(|commit| commit.leaders.clear()),
        spoil(|commit| commit.leaders[0].digest = Bytes::from_static(b"short")),
        spoil(|commit| commit.leaders[0].author = 65_536),
        spoil(|commit| {
            if let Some(block) = commit.blocks.first_mut() {
                block.block = None;
            }
        }),
        spoil(|commit| commit.duplicate_marks = Bytes::from_static(&[0xff; 4])),
    ]
}

pub(super) async fn malformed(bench: &mut Bench) -> Outcome {
    let session = bench.begin_stream(8).await?;
    let (last, incarnation) = (session.acknowledged, session.incarnation);
    drop(session);
    let before = bench.position().await?;
    let next = last + 1;
    let mut other = bench.chain.fork_after(last);
    let good = other.grow_to(2_000).commit.clone();
    for commit in spoiled(&good) {
        let mut session = bench.open(incarnation).await?;
        session.stream.commit(&commit).await?;
        let refusal = Refusal::new(Code::InvalidArgument, MALFORMED_COMMIT).with("index", next);
        session.stream.refusal(&refusal).await?;
        bench.unmoved(&before).await?;
    }
    let mut session = bench.open(incarnation).await?;
    session.stream.commit(&Commit { index: 0, ..good }).await?;
    session.stream.refusal(&Refusal::new(Code::InvalidArgument, MALFORMED_COMMIT)).await?;
    bench.unmoved(&before).await?;
    // Not every gRPC library tells a service that a message cannot be decoded: the code and the reason are free here.
    let mut session = bench.open(incarnation).await?;
    session.stream.bytes(Bytes::from_static(NO_MESSAGE)).await?;
    ends_with_any_error(&mut session.stream, "bytes that cannot be decoded").await?;
    bench.unmoved(&before).await?;
    bench.goes_on(incarnation).await?;
    Ok(())
}

pub(super) async fn stream_order(bench: &mut Bench) -> Outcome {
    let session = bench.begin_stream(2).await?;
    let (last, incarnation) = (session.acknowledged, session.incarnation);
    drop(session);
    let before = bench.position().await?;
    let refusal = Refusal::new(Code::InvalidArgument, MALFORMED_STREAM);
    let next = bench.chain.at(last + 1).commit.clone();
    let good = bench.opening(incarnation, last);
    let (mut without_lease, mut short_chain) = (good.clone(), good.clone());
    without_lease.lease = None;
    short_chain.chain_id = short_chain.chain_id.slice(..31);
    let firsts = [
        Some(Message::Commit(next.clone())),
        None,
        Some(Message::Opening(without_lease)),
        Some(Message::Opening(short_chain)),
    ];
    for message in firsts {
        let client = bench.client().await?;
        client.stream(ExecuteCommitsRequest { message }).await?.refusal(&refusal).await?;
        bench.unmoved(&before).await?;
    }
    for second in [Some(Message::Opening(good)), None] {
        let mut session = bench.open(incarnation).await?;
        session.stream.message(second).await?;
        session.stream.refusal(&refusal).await?;
        bench.unmoved(&before).await?;
    }
    bench.goes_on(incarnation).await?;
    Ok(())
}

pub(super) async fn oversize(bench: &mut Bench) -> Outcome {
    let mut session = bench.begin_stream(1).await?;
    let incarnation = session.incarnation;
    let limit = bench.network.max_commit_bytes;
    let largest = bench.chain.grow_to(limit).commit.index;
    bench.execute(&mut session, largest).await?;
    drop(session);
    let before = bench.position().await?;
    let mut other = bench.chain.fork_after(largest);
    let over = other.grow_to(limit + 1).commit.clone();
    let mut session = bench.open(incarnation).await?;
    session.stream.commit(&over).await?;
    let refusal = Refusal::new(Code::InvalidArgument, MALFORMED_COMMIT).with("index", largest + 1);
    session.stream.refusal(&refusal).await?;
    bench.unmoved(&before).await?;
    // A message that is not even decoded. What a gRPC library says of it differs, and some close the connection.
    let undecoded = u64::try_from(decode_limit(limit)).unwrap_or(u64::MAX);
    for size_bytes in [undecoded + 1, 4 * undecoded] {
        let mut other = bench.chain.fork_after(largest);
        let over = other.grow_to(size_bytes).commit.clone();
        let message = ExecuteCommitsRequest { message: Some(Message::Commit(over)) };
        let mut session = bench.open(incarnation).await?;
        session.stream.bytes(message.encode_to_vec().into()).await?;
        ends_with_any_error(&mut session.stream, "a message above max_commit_bytes + 1 MiB").await?;
        bench.lives()?;
        bench.unmoved(&before).await?;
    }
    bench.goes_on(incarnation).await?;
    Ok(())
}

async fn ends_with_any_error(stream: &mut crate::client::Stream, what: &str) -> Outcome {
    match stream.next().await? {
        Answer::Ended(status) if status.code() != Code::Ok => Ok(()),
        other => Err(Failure::new(format!("{what}: an error"), other.to_string())),
    }
}
