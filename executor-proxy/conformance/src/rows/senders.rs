//! Who may send: leases, incarnations, streams.

use metanode_proto::{
    executor::v1::Lease,
    reason::{FENCED, WRONG_AUTHORITY, WRONG_CHAIN},
};
use tonic::Code;

use crate::{
    bench::Bench,
    client::Refusal,
    row::{Failure, Outcome, equal},
};

fn fenced(incarnation: u64) -> Refusal {
    Refusal::new(Code::Aborted, FENCED).with("incarnation", incarnation)
}

pub(super) async fn incarnation(bench: &mut Bench) -> Outcome {
    let mut last = 0;
    for kill in [false, false, true, true, false] {
        let issued = bench.open(0).await?.incarnation;
        if issued <= last {
            return Err(Failure::new(
                format!("an incarnation above {last}, the last that was issued"),
                format!("incarnation {issued}"),
            ));
        }
        last = issued;
        if kill {
            // It was durable before it was answered.
            bench.restart().await?;
        }
    }
    // A process keeps its own over all its reconnects.
    for _ in 0..2 {
        equal("incarnation of a reconnect", &last, &bench.open(last).await?.incarnation)?;
    }
    bench.goes_on(last).await?;
    Ok(())
}

pub(super) async fn fencing(bench: &mut Bench) -> Outcome {
    let mut older = bench.begin_stream(3).await?;
    let mut newer = bench.open(0).await?;
    if newer.incarnation <= older.incarnation {
        return Err(Failure::new(
            format!("an incarnation above {}", older.incarnation),
            format!("incarnation {}", newer.incarnation),
        ));
    }
    let last = newer.acknowledged;
    let before = bench.position().await?;
    let refusal = fenced(newer.incarnation);
    bench.send(&older, last + 1, last + 1).await?;
    older.stream.refusal(&refusal).await?;
    bench.unmoved(&before).await?;
    // It does not come back, also not with its number.
    let again = bench.opening(older.incarnation, last);
    refusal.check_call(&older.client.try_open(again).await?)?;
    bench.execute(&mut newer, last + 3).await?;
    // The fence is as durable as the incarnation.
    bench.restart().await?;
    let again = bench.opening(older.incarnation, bench.chain.last());
    refusal.check_call(&bench.client().await?.try_open(again).await?)?;
    bench.goes_on(newer.incarnation).await?;
    Ok(())
}

pub(super) async fn takeover(bench: &mut Bench) -> Outcome {
    let mut older = bench.begin_stream(3).await?;
    let mut newer = bench.open(older.incarnation).await?;
    let last = newer.acknowledged;
    let before = bench.position().await?;
    bench.send(&older, last + 1, last + 1).await?;
    older.stream.refusal(&fenced(newer.incarnation)).await?;
    bench.unmoved(&before).await?;
    bench.execute(&mut newer, last + 3).await
}

pub(super) async fn authority(bench: &mut Bench) -> Outcome {
    let mut session = bench.begin_stream(2).await?;
    let refusal = Refusal::new(Code::FailedPrecondition, WRONG_AUTHORITY);
    let other = bench.network.committee.last().map(|member| member.protocol_key.clone()).unwrap_or_default();
    let stranger = if other == bench.network.authority() { vec![0xa7; 32].into() } else { other };
    for restarted in [false, true] {
        if restarted {
            bench.restart().await?;
        }
        let last = bench.position().await?.block_number;
        let mut opening = bench.opening(0, last);
        opening.lease = Some(Lease { authority: stranger.clone(), incarnation: 0 });
        refusal.check_call(&bench.client().await?.try_open(opening).await?)?;
        if !restarted {
            // Who is refused takes nothing away from the stream that is open.
            let to = session.acknowledged + 2;
            bench.execute(&mut session, to).await?;
        }
    }
    bench.goes_on(session.incarnation).await?;
    Ok(())
}

pub(super) async fn chain(bench: &mut Bench) -> Outcome {
    let mut session = bench.begin_stream(2).await?;
    let mut opening = bench.opening(0, session.acknowledged);
    opening.chain_id = vec![0xc7; 32].into();
    let refusal = Refusal::new(Code::FailedPrecondition, WRONG_CHAIN);
    refusal.check_call(&bench.client().await?.try_open(opening).await?)?;
    let to = session.acknowledged + 2;
    bench.execute(&mut session, to).await
}
