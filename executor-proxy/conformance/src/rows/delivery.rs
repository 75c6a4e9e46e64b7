//! Commits in order, and commits that come again.

use crate::{
    bench::Bench,
    client::Answer,
    row::{Failure, Outcome, equal},
};

/// Commits that are sent before the first answer is read.
const AHEAD: u64 = 24;

pub(super) async fn order(bench: &mut Bench) -> Outcome {
    let mut session = bench.open(0).await?;
    let to = session.acknowledged + AHEAD;
    bench.send(&session, session.acknowledged + 1, to).await?;
    while session.acknowledged < to {
        let one = session.stream.acknowledgement(session.acknowledged + 1).await?;
        session.acknowledged = bench.judge_acknowledgement(&one, session.acknowledged, to)?;
        let position = bench.position().await?.block_number;
        if position < session.acknowledged {
            return Err(Failure::new(
                format!("a position of at least {}, which is acknowledged", session.acknowledged),
                format!("block_number = {position}"),
            ));
        }
    }
    equal("block_number when all is acknowledged", &to, &bench.position().await?.block_number)?;
    session.stream.half_close();
    match session.stream.next().await? {
        Answer::Ended(status) if status.code() == tonic::Code::Ok => Ok(()),
        other => {
            Err(Failure::new("an orderly end of a stream that is closed by its client", other.to_string()))
        }
    }
}

pub(super) async fn duplicate(bench: &mut Bench) -> Outcome {
    let mut session = bench.begin_stream(9).await?;
    let last = session.acknowledged;
    let before = bench.position().await?;
    // The last one once more on the same stream: a call that was retried though it was executed.
    bench.send(&session, last, last).await?;
    let again = session.stream.acknowledgement(last).await?;
    bench.judge_duplicate(&again, last, last)?;
    bench.unmoved(&before).await?;
    // Several on a stream that takes up earlier, with new ones right behind them.
    let (from, to) = (last - 4, last + 3);
    let mut session = bench.open_after(session.incarnation, from - 1).await?;
    bench.send(&session, from, to).await?;
    let mut covered = from - 1;
    while covered < last {
        let again = session.stream.acknowledgement(covered + 1).await?;
        covered = bench.judge_duplicate(&again, covered + 1, last)?;
    }
    session.acknowledged = last;
    bench.settle(&mut session, to).await?;
    equal("block_number", &to, &bench.position().await?.block_number)
}

pub(super) async fn in_flight(bench: &mut Bench) -> Outcome {
    let mut session = bench.begin_stream(2).await?;
    let from = session.acknowledged + 1;
    let to = from + 11;
    // Each one twice at once: the second comes while the first is under way, or just after.
    for index in from..=to {
        bench.send(&session, index, index).await?;
        bench.send(&session, index, index).await?;
    }
    // The second one is acknowledged as a duplicate, or dropped in silence: that of the first one covers it.
    while session.acknowledged < to {
        let one = session.stream.acknowledgement(session.acknowledged + 1).await?;
        if one.duplicate {
            bench.judge_duplicate(&one, from, session.acknowledged)?;
        } else {
            session.acknowledged = bench.judge_acknowledgement(&one, session.acknowledged, to)?;
        }
    }
    equal("block_number", &to, &bench.position().await?.block_number)?;
    bench.goes_on(session.incarnation).await?;
    Ok(())
}
