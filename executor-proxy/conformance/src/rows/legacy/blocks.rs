//! Blocks: in order, again, out of order, in pieces, over two connections, after kills.

use nix::sys::signal::Signal;

use crate::{
    bench::Bench,
    row::{Failure, Outcome, equal},
};

/// Questions that a block which must not be executed is given.
const LOOKS: u32 = 20;

/// Has some more blocks executed on a new connection; the last number.
async fn some(bench: &mut Bench, count: u64) -> Outcome<u64> {
    let mut feed = bench.feed().await?;
    let last = bench.position().await?.block_number;
    for index in last + 1..=last + count {
        bench.execute_framed(&mut feed, index).await?;
    }
    Ok(last + count)
}

pub(super) async fn order(bench: &mut Bench) -> Outcome {
    // Among them are blocks without a transaction: the number counts them too.
    some(bench, 16).await?;
    Ok(())
}

pub(super) async fn resend(bench: &mut Bench) -> Outcome {
    let last = some(bench, 6).await?;
    let before = bench.position().await?;
    let mut feed = bench.feed().await?;
    for index in [last, last - 3, last] {
        let frame = bench.frame(index)?;
        feed.send(&frame).await?;
        bench.unmoved(&before).await?;
    }
    // Dropped in silence: the same connection goes on.
    bench.execute_framed(&mut feed, last + 1).await
}

pub(super) async fn ahead(bench: &mut Bench) -> Outcome {
    let last = some(bench, 3).await?;
    let before = bench.position().await?;
    let mut feed = bench.feed().await?;
    let (early, next) = (bench.frame(last + 2)?, bench.frame(last + 1)?);
    feed.send(&early).await?;
    for _ in 0..LOOKS {
        bench.unmoved(&before).await?;
    }
    // The proxy sends no such block. A master may hold it until it is next, drop it, or close the connection; to execute it is a
    // jump.
    let mut feed = bench.feed().await?;
    feed.send(&next).await?;
    let expected = format!("block {} once it has come", last + 1);
    let patience = bench.settings.patience;
    crate::client::within(patience, &expected, async {
        while bench.position().await?.block_number <= last {
            tokio::task::yield_now().await;
        }
        Ok(())
    })
    .await??;
    feed.send(&early).await?;
    bench.reported(last + 2).await?;
    some(bench, 2).await?;
    Ok(())
}

pub(super) async fn in_pieces(bench: &mut Bench) -> Outcome {
    let last = some(bench, 2).await?;
    let before = bench.position().await?;
    let frame = bench.frame(last + 1)?;
    // A connection that ends within a block: nothing of it counts.
    for cut in [1, frame.len() / 2, frame.len() - 1] {
        let mut feed = bench.feed().await?;
        feed.send(&frame[..cut]).await?;
        drop(feed);
        bench.unmoved(&before).await?;
    }
    // One that comes byte by byte is a block.
    let mut feed = bench.feed().await?;
    for byte in &frame {
        feed.send(std::slice::from_ref(byte)).await?;
    }
    bench.reported(last + 1).await
}

pub(super) async fn framing(bench: &mut Bench) -> Outcome {
    some(bench, 2).await?;
    let before = bench.position().await?;
    let next = bench.frame(before.block_number + 1)?;
    let frames: [(&[u8], &str); 3] = [
        (&[0xff; 12], "a length that is no varint"),
        (&[0xff, 0xff, 0xff, 0xff, 0x0f], "a block of 4 GiB was announced"),
        (&[0x04, 0xff, 0xff, 0xff, 0xff], "bytes that are no block"),
    ];
    for (bytes, why) in frames {
        let mut feed = bench.feed().await?;
        feed.send(bytes).await?;
        feed.send(&next).await?;
        tokio::select! {
            closed = feed.closed(why) => closed?,
            moved = moved(bench, before.block_number) => return moved,
        }
        bench.lives()?;
        bench.unmoved(&before).await?;
    }
    some(bench, 2).await?;
    Ok(())
}

/// Fails as soon as a number above this one is reported.
async fn moved(bench: &mut Bench, last: u64) -> Outcome {
    loop {
        let now = bench.position().await?.block_number;
        if now > last {
            let expected = format!("block {last}: nothing behind what cannot be read is executed");
            return Err(Failure::new(expected, format!("block {now}")));
        }
        tokio::task::yield_now().await;
    }
}

pub(super) async fn two(bench: &mut Bench) -> Outcome {
    let last = some(bench, 2).await?;
    let mut older = bench.feed().await?;
    bench.execute_framed(&mut older, last + 1).await?;
    let mut newer = bench.feed().await?;
    bench.execute_framed(&mut newer, last + 2).await?;
    // What the older one still sends is executed at most once, by whichever brings it.
    for index in [last + 2, last + 3] {
        let frame = bench.frame(index)?;
        older.send(&frame).await?;
    }
    bench.execute_framed(&mut newer, last + 3).await?;
    let last = some(bench, 2).await?;
    equal("last block number", &last, &bench.position().await?.block_number)
}

pub(super) async fn hang_up(bench: &mut Bench) -> Outcome {
    let mut last = some(bench, 2).await?;
    for _ in 0..4 {
        let mut feed = bench.feed().await?;
        let frame = bench.frame(last + 1)?;
        feed.send(&frame).await?;
        // The connection goes before anything is reported: the block is executed, or was never there.
        drop(feed);
        let now = bench.position().await?.block_number;
        if now > last + 1 {
            return Err(Failure::new(format!("block {last} or the next"), format!("block {now}")));
        }
        let mut feed = bench.feed().await?;
        feed.send(&frame).await?;
        bench.reported(last + 1).await?;
        last += 1;
    }
    Ok(())
}

pub(super) async fn freeze(bench: &mut Bench) -> Outcome {
    let last = some(bench, 2).await?;
    let mut feed = bench.feed().await?;
    let frame = bench.frame(last + 1)?;
    bench.signal(Signal::SIGSTOP);
    let sent = feed.send(&frame).await;
    drop(feed);
    bench.signal(Signal::SIGCONT);
    sent?;
    let mut feed = bench.feed().await?;
    feed.send(&frame).await?;
    bench.reported(last + 1).await?;
    some(bench, 2).await?;
    Ok(())
}

pub(super) async fn restart(bench: &mut Bench) -> Outcome {
    some(bench, 5).await?;
    // What it says after a kill is what counts, and it says it again: that is durable.
    let first = bench.restart().await?;
    bench.restart().await?;
    bench.unmoved(&first).await?;
    some(bench, 3).await?;
    Ok(())
}

pub(super) async fn kill(bench: &mut Bench) -> Outcome {
    let mut last = some(bench, 1).await?;
    for _ in 0..bench.settings.effort.kills {
        let mut feed = bench.feed().await?;
        for index in last + 1..=last + bench.dice.roll(&(0..=4)) {
            bench.execute_framed(&mut feed, index).await?;
            last = index;
        }
        // One more is under way.
        let frame = bench.frame(last + 1)?;
        feed.send(&frame).await?;
        for _ in 0..bench.dice.roll(&(0..=3)) {
            bench.position().await?;
        }
        // What was reported may be above what is durable (X05); what is reported after a restart may not, and is no guess.
        let after = bench.restart().await?.block_number;
        let again = bench.restart().await?.block_number;
        equal("last block number after a second kill", &after, &again)?;
        last = after;
    }
    let (to, mut feed) = (bench.chain.last() + 2, bench.feed().await?);
    for index in last + 1..=to {
        bench.execute_framed(&mut feed, index).await?;
    }
    Ok(())
}

pub(super) async fn idle(bench: &mut Bench) -> Outcome {
    let last = some(bench, 2).await?;
    let (mut feed, mut queries) = (bench.feed().await?, bench.queries().await?);
    let frame = bench.frame(last + 1)?;
    feed.send(&frame).await?;
    bench.reported(last + 1).await?;
    feed.closed("nothing came on it").await?;
    queries.closed("nothing came on it").await?;
    some(bench, 2).await?;
    Ok(())
}
