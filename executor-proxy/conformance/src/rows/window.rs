//! Clients that do not read, and clients that do not write.

use std::time::Duration;

use metanode_proto::executor::v1::{ExecuteCommitsRequest, execute_commits_request::Message};
use prost::Message as _;
use tokio::time::timeout;

use crate::{
    bench::Bench,
    row::{Failure, Outcome},
};

/// Counted size of each commit.
const COMMIT_BYTES: u64 = 512 << 10;

/// A stream that takes nothing for so long, while the position does not move either, is taken for full. It is no error: it
/// only ends the sending.
const STALLED: Duration = Duration::from_secs(1);

pub(super) async fn unread(bench: &mut Bench) -> Outcome {
    let mut session = bench.begin_stream(2).await?;
    let effort = bench.settings.effort;
    // Some of the same kind first, so that what a master takes up once and keeps is not counted.
    for _ in 0..4 {
        let index = bench.chain.grow_by_filler(COMMIT_BYTES).commit.index;
        bench.execute(&mut session, index).await?;
    }
    let (base, mut peak) = (bench.memory_bytes(), 0);
    let (sender, mut moved) = (session.stream.sender(), 0);
    let mut sent = session.acknowledged;
    'sending: for _ in 0..effort.unread_bytes / COMMIT_BYTES {
        let made = bench.chain.grow_by_filler(COMMIT_BYTES);
        let (index, message) = (made.commit.index, Some(Message::Commit(made.commit.clone())));
        let bytes = ExecuteCommitsRequest { message }.encode_to_vec().into();
        let Ok(permit) = (loop {
            match timeout(STALLED, sender.reserve()).await {
                Ok(permit) => break permit,
                Err(_) => {
                    let position = bench.position().await?.block_number;
                    if position == moved {
                        break 'sending;
                    }
                    moved = position;
                }
            }
        }) else {
            break;
        };
        permit.send(bytes);
        sent = index;
        peak = peak.max(bench.memory_bytes().unwrap_or(0));
    }
    drop(sender);
    bench.lives()?;
    if let Some(base) = base
        && peak > base + effort.growth_bytes
    {
        let mib = |bytes: u64| bytes >> 20;
        return Err(Failure::new(
            format!(
                "memory grows by at most {} MiB while {} MiB of commits are sent and no acknowledgement is read",
                mib(effort.growth_bytes),
                mib((sent - session.acknowledged) * COMMIT_BYTES)
            ),
            format!("from {} MiB to {} MiB", mib(base), mib(peak)),
        ));
    }
    // Nothing was lost by not reading.
    bench.settle(&mut session, sent).await
}

pub(super) async fn quiet(bench: &mut Bench) -> Outcome {
    let mut session = bench.begin_stream(2).await?;
    // A sender without commits is no reason to end its stream.
    let before = bench.position().await?;
    for _ in 0..20 {
        bench.unmoved(&before).await?;
    }
    let to = session.acknowledged + 2;
    bench.execute(&mut session, to).await
}
