//! Commits and openings that must be refused, with nothing changed.

use metanode_proto::{
    consensus::v1::Commit,
    reason::{COMMIT_FORK, COMMIT_GAP, WRONG_EPOCH},
};
use tonic::Code;

use crate::{
    bench::Bench,
    client::Refusal,
    row::{Outcome, hex},
};

/// Sends a commit behind executed ones; it must end the stream with this error, change nothing, and a new stream goes on.
async fn refused(bench: &mut Bench, incarnation: u64, commit: &Commit, refusal: &Refusal) -> Outcome {
    let before = bench.position().await?;
    let mut session = bench.open(incarnation).await?;
    session.stream.commit(commit).await?;
    session.stream.refusal(refusal).await?;
    bench.unmoved(&before).await
}

pub(super) async fn fork(bench: &mut Bench) -> Outcome {
    let session = bench.begin_stream(6).await?;
    let (last, incarnation) = (session.acknowledged, session.incarnation);
    drop(session);
    // Another history from one commit before: the last one, and one below it.
    for index in [last, last - 3] {
        let mut other = bench.chain.fork_after(index - 1);
        let theirs = other.grow_to(2_000).commit.clone();
        let refusal = Refusal::new(Code::FailedPrecondition, COMMIT_FORK)
            .with("index", index)
            .with("ours", hex(&bench.chain.digest(index)))
            .with("theirs", hex(&theirs.digest));
        refused(bench, incarnation, &theirs, &refusal).await?;
    }
    bench.goes_on(incarnation).await?;
    Ok(())
}

pub(super) async fn gap(bench: &mut Bench) -> Outcome {
    let session = bench.begin_stream(3).await?;
    let (last, incarnation) = (session.acknowledged, session.incarnation);
    drop(session);
    for index in [last + 2, last + 9] {
        let early = bench.chain.at(index).commit.clone();
        let refusal = Refusal::new(Code::FailedPrecondition, COMMIT_GAP)
            .with("expected_index", last + 1)
            .with("index", index);
        refused(bench, incarnation, &early, &refusal).await?;
    }
    bench.goes_on(incarnation).await?;
    Ok(())
}

pub(super) async fn predecessor(bench: &mut Bench) -> Outcome {
    let session = bench.begin_stream(3).await?;
    let (last, incarnation) = (session.acknowledged, session.incarnation);
    drop(session);
    let mut other = bench.chain.fork_after(last - 1);
    let theirs = other.grow_to(2_000).commit.digest.clone();
    let next = other.at(last + 1).commit.clone();
    let refusal = Refusal::new(Code::FailedPrecondition, COMMIT_FORK)
        .with("index", last)
        .with("ours", hex(&bench.chain.digest(last)))
        .with("theirs", hex(&theirs));
    refused(bench, incarnation, &next, &refusal).await?;
    bench.goes_on(incarnation).await?;
    Ok(())
}

pub(super) async fn later_epoch(bench: &mut Bench) -> Outcome {
    let session = bench.begin_stream(3).await?;
    let (last, incarnation, epoch) = (session.acknowledged, session.incarnation, bench.chain.epoch());
    drop(session);
    let mut later = bench.chain.fork_after(last);
    later.begin_epoch();
    let commit = later.at(last + 1).commit.clone();
    let refusal =
        Refusal::new(Code::FailedPrecondition, WRONG_EPOCH).with("ours", epoch).with("theirs", epoch + 1);
    refused(bench, incarnation, &commit, &refusal).await?;
    bench.goes_on(incarnation).await?;
    Ok(())
}

pub(super) async fn opening(bench: &mut Bench) -> Outcome {
    let mut session = bench.begin_stream(5).await?;
    let last = session.acknowledged;
    let before = bench.position().await?;
    let refusal = Refusal::new(Code::FailedPrecondition, COMMIT_FORK)
        .with("index", last)
        .with("ours", hex(&bench.chain.digest(last)))
        .with("theirs", "ee".repeat(32));
    let mut forged = bench.opening(session.incarnation, last);
    forged.after_digest = vec![0xee; 32].into();
    refusal.check_call(&session.client.try_open(forged).await?)?;
    let ahead = last + 4;
    bench.chain.at(ahead);
    let refusal = Refusal::new(Code::FailedPrecondition, COMMIT_GAP)
        .with("expected_index", last + 1)
        .with("index", ahead + 1);
    let early = bench.opening(session.incarnation, ahead);
    refusal.check_call(&session.client.try_open(early).await?)?;
    bench.unmoved(&before).await?;
    // Who is refused takes nothing away from the stream that is open.
    bench.execute(&mut session, last + 2).await
}
