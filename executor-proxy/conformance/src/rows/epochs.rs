//! From one epoch to the next.

use bytes::Bytes;
use metanode_proto::{
    executor::v1::AdvanceEpochRequest,
    reason::{COMMIT_FORK, COMMIT_GAP, INVALID_FIELD, WRONG_EPOCH},
};
use tonic::Code;

use crate::{
    bench::Bench,
    client::{Refusal, describe},
    row::{Failure, Outcome, equal},
};

/// Stands for the digest of the next committee, which consensus has agreed on.
const COMMITTEE: &[u8] = &[0x7c; 32];

fn boundary(bench: &Bench, new_epoch: u64, index: u64) -> AdvanceEpochRequest {
    AdvanceEpochRequest {
        new_epoch,
        boundary_index: index,
        boundary_digest: bench.chain.digest(index),
        committee_digest: Bytes::from_static(COMMITTEE),
        timestamp_ms: 1_700_000_100_000,
    }
}

pub(super) async fn refused(bench: &mut Bench) -> Outcome {
    let mut session = bench.begin_stream(5).await?;
    let (last, epoch) = (session.acknowledged, bench.chain.epoch());
    bench.chain.at(last + 3);
    let before = bench.position().await?;
    let good = boundary(bench, epoch + 1, last);
    let failed = Code::FailedPrecondition;
    let wrong_epoch = || Refusal::new(failed, WRONG_EPOCH);
    let cases = [
        (
            boundary(bench, epoch + 1, last + 3),
            Refusal::new(failed, COMMIT_GAP).with("expected_index", last + 1),
        ),
        (
            AdvanceEpochRequest { boundary_digest: vec![0xee; 32].into(), ..good.clone() },
            Refusal::new(failed, COMMIT_FORK).with("index", last),
        ),
        (boundary(bench, epoch + 1, last - 2), wrong_epoch()),
        (boundary(bench, epoch + 2, last), wrong_epoch()),
        (
            AdvanceEpochRequest { boundary_digest: vec![1; 31].into(), ..good.clone() },
            Refusal::new(Code::InvalidArgument, INVALID_FIELD),
        ),
        (
            AdvanceEpochRequest { committee_digest: Bytes::new(), ..good },
            Refusal::new(Code::InvalidArgument, INVALID_FIELD),
        ),
    ];
    for (request, refusal) in cases {
        refusal.check_call(&session.client.advance_epoch(request).await?)?;
        bench.unmoved(&before).await?;
    }
    bench.execute(&mut session, last + 2).await
}

pub(super) async fn advance(bench: &mut Bench) -> Outcome {
    let mut session = bench.begin_stream(4).await?;
    let (last, old) = (session.acknowledged, bench.chain.epoch());
    let new = old + 1;
    let request = boundary(bench, new, last);
    let of_the_old = bench.chain.at(last + 1).commit.clone();
    // The old epoch goes no further than its boundary.
    bench.chain = bench.chain.fork_after(last);
    // Twice, as after an answer that was lost.
    for _ in 0..2 {
        advanced(bench, &request).await?;
        equal("epoch of the position", &new, &bench.position().await?.epoch)?;
    }
    let mut stream = bench.open(session.incarnation).await?.stream;
    stream.commit(&of_the_old).await?;
    let refusal = Refusal::new(Code::FailedPrecondition, WRONG_EPOCH).with("ours", new).with("theirs", old);
    stream.refusal(&refusal).await?;
    // What the old epoch executed is no less executed.
    let mut again = bench.open_after(session.incarnation, last - 1).await?;
    bench.send(&again, last, last).await?;
    let answer = again.stream.acknowledgement(last).await?;
    bench.judge_duplicate(&answer, last, last)?;
    drop(again);
    bench.chain.begin_epoch();
    session = bench.goes_on(session.incarnation).await?;
    // Once more when the new epoch is under way, and after a restart.
    advanced(bench, &request).await?;
    bench.restart().await?;
    equal("epoch after a restart", &new, &bench.position().await?.epoch)?;
    advanced(bench, &request).await?;
    if old > 0 || new > 0 {
        let back = boundary(bench, old, last);
        let answer = bench.client().await?.advance_epoch(back).await?;
        Refusal::new(Code::FailedPrecondition, WRONG_EPOCH).check_call(&answer)?;
    }
    bench.goes_on(session.incarnation).await?;
    Ok(())
}

async fn advanced(bench: &Bench, request: &AdvanceEpochRequest) -> Outcome {
    let expected = format!("AdvanceEpoch({}) answers with epoch {0}", request.new_epoch);
    match bench.client().await?.advance_epoch(request.clone()).await? {
        Ok(answer) => equal("epoch in the answer to AdvanceEpoch", &request.new_epoch, &answer.epoch),
        Err(status) => Err(Failure::new(expected, describe(&status))),
    }
}
