//! Streams that break, and masters that are killed or stand still.

use nix::sys::signal::Signal;
use tonic::Code;

use crate::{
    bench::Bench,
    client::Answer,
    row::{Failure, Outcome, equal},
};

/// Commits that are sent ahead when something breaks.
const AHEAD: u64 = 40;

pub(super) async fn hang_up(bench: &mut Bench) -> Outcome {
    let mut session = bench.begin_stream(2).await?;
    for _ in 0..3 {
        let incarnation = session.incarnation;
        let (from, to) = (session.acknowledged + 1, session.acknowledged + AHEAD);
        bench.send(&session, from, to).await?;
        let some = from + bench.dice.roll(&(0..=10));
        bench.settle_some(&mut session, some, to).await?;
        let acknowledged = session.acknowledged;
        // The connection goes with its client.
        drop(session);
        session = bench.open(incarnation).await?;
        not_below(session.acknowledged, acknowledged, "was acknowledged")?;
        // The answer to the opening is where this stream goes on: what the old one sent is executed or gone.
        let next = session.acknowledged + 5;
        bench.execute(&mut session, next).await?;
    }
    let last = session.acknowledged;
    equal("block_number", &last, &bench.position().await?.block_number)
}

pub(super) async fn freeze(bench: &mut Bench) -> Outcome {
    let session = bench.begin_stream(3).await?;
    let (incarnation, acknowledged) = (session.incarnation, session.acknowledged);
    bench.signal(Signal::SIGSTOP);
    let sent = bench.send(&session, acknowledged + 1, acknowledged + AHEAD).await;
    // Its client gives up, and the master wakes up to a stream that nobody reads.
    drop(session);
    bench.signal(Signal::SIGCONT);
    sent?;
    let mut session = bench.open(incarnation).await?;
    not_below(session.acknowledged, acknowledged, "was acknowledged")?;
    let to = session.acknowledged + 5;
    bench.execute(&mut session, to).await?;
    equal("block_number", &to, &bench.position().await?.block_number)
}

pub(super) async fn restart(bench: &mut Bench) -> Outcome {
    let mut session = bench.begin_stream(11).await?;
    for _ in 0..2 {
        let (last, incarnation) = (session.acknowledged, session.incarnation);
        let before = bench.position().await?;
        drop(session);
        bench.restart().await?;
        bench.unmoved(&before).await?;
        // What came before the restart is still known: commits that come again are answered as the first time.
        session = bench.open_after(incarnation, last - 4).await?;
        bench.send(&session, last - 3, last).await?;
        let mut covered = last - 4;
        while covered < last {
            let again = session.stream.acknowledgement(covered + 1).await?;
            covered = bench.judge_duplicate(&again, covered + 1, last)?;
        }
        session.acknowledged = last;
        bench.execute(&mut session, last + 3).await?;
    }
    Ok(())
}

pub(super) async fn kill(bench: &mut Bench) -> Outcome {
    let mut session = bench.open(0).await?;
    for _ in 0..bench.settings.effort.kills {
        let incarnation = session.incarnation;
        let (first, to) = (session.acknowledged + 1, session.acknowledged + AHEAD);
        bench.send(&session, first, to).await?;
        let reported = if bench.dice.roll(&(0..=1)) == 0 {
            until_reported(bench, first).await?
        } else {
            let some = bench.dice.roll(&(0..=AHEAD - 10));
            bench.settle_some(&mut session, first + some, to).await?;
            bench.position().await?.block_number
        };
        bench.kill().await?;
        // What is still on its way to us counts too.
        while let Answer::Acknowledged(one) = session.stream.next().await? {
            session.acknowledged = bench.judge_acknowledgement(&one, session.acknowledged, to)?;
        }
        let position = bench.restart().await?;
        not_below(position.block_number, session.acknowledged, "was acknowledged before the kill")?;
        not_below(position.block_number, reported, "was reported before the kill")?;
        session = bench.open(incarnation).await?;
    }
    let to = session.acknowledged + 8;
    bench.execute(&mut session, to).await
}

pub(super) async fn loading(bench: &mut Bench) -> Outcome {
    let mut session = bench.begin_stream(4).await?;
    for _ in 0..3 {
        let (last, incarnation) = (session.acknowledged, session.incarnation);
        drop(session);
        bench.kill().await?;
        // Asked from the first moment on; this is the first answer that says ready.
        let first = bench.start().await?;
        equal("block_number of the first answer that says ready = true", &last, &first.block_number)?;
        bench.judge_position(&first)?;
        // Ready means that commits are taken.
        let client = bench.client().await?;
        let opened = client.try_open(bench.opening(incarnation, last)).await?;
        if let Err(status) = &opened
            && status.code() == Code::Unavailable
        {
            return Err(Failure::new(
                "a stream opens once ready = true was said",
                crate::client::describe(status),
            ));
        }
        session = bench.open(incarnation).await?;
        bench.execute(&mut session, last + 3).await?;
    }
    Ok(())
}

/// Asks until a commit from `first` on is reported, or a number of times; the last answer. What is reported so early is what a
/// master may have told before it was durable.
async fn until_reported(bench: &mut Bench, first: u64) -> Outcome<u64> {
    let mut reported = 0;
    for _ in 0..200 {
        reported = bench.position().await?.block_number;
        if reported >= first {
            break;
        }
    }
    Ok(reported)
}

fn not_below(came: u64, least: u64, why: &str) -> Outcome {
    if came >= least {
        return Ok(());
    }
    Err(Failure::new(format!("a position of at least {least}, which {why}"), format!("block {came}")))
}
