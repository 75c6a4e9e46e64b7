//! Answers of the master, compared with what was sent.

use std::collections::BTreeMap;

use bytes::Bytes;
use metanode_proto::executor::v1::{Acknowledgement, GetLastBlockNumberResponse};

use super::Bench;
use crate::{
    row::{Failure, Outcome, equal, hex},
    settings::{LedgerKind, Protocol},
};

/// The roots that a master gave, by the digest of the commit: one history, one root.
#[derive(Clone, Debug, Default)]
pub struct Roots(BTreeMap<Bytes, Bytes>);

impl Bench {
    /// An acknowledgement of commits that were sent for the first time; the index that it covers.
    ///
    /// # Errors
    /// [`Failure`] unless it is above the last acknowledged and at most what was sent, with digest, root and rejections of the
    /// commits that it covers.
    pub(crate) fn judge_acknowledgement(
        &mut self,
        one: &Acknowledgement,
        acknowledged: u64,
        sent: u64,
    ) -> Outcome<u64> {
        if one.index <= acknowledged || one.index > sent || one.duplicate {
            return Err(Failure::new(
                format!(
                    "an acknowledgement of a commit from {} to {sent}, not a duplicate",
                    acknowledged + 1
                ),
                format!("one of commit {}, duplicate = {}", one.index, one.duplicate),
            ));
        }
        self.judge_digest(&one.digest, one.index, "the acknowledgement")?;
        self.judge_root(&one.state_root, one.index, "the acknowledgement")?;
        if !one.results_unknown {
            self.judge_rejected(one, acknowledged)?;
        }
        Ok(one.index)
    }

    /// An acknowledgement of commits that were sent again; the index that it covers.
    ///
    /// # Errors
    /// [`Failure`] unless it is marked as a duplicate, of a commit of the range, with the digest, the root and the
    /// rejections of the first time (rejections may be left out).
    pub(crate) fn judge_duplicate(&mut self, one: &Acknowledgement, from: u64, to: u64) -> Outcome<u64> {
        if !(from..=to).contains(&one.index) || !one.duplicate {
            return Err(Failure::new(
                format!("an acknowledgement of a commit from {from} to {to} as a duplicate"),
                format!("one of commit {}, duplicate = {}", one.index, one.duplicate),
            ));
        }
        self.judge_digest(&one.digest, one.index, "the second acknowledgement")?;
        self.judge_root(&one.state_root, one.index, "the second acknowledgement")?;
        if one.results_unknown || one.rejected.is_empty() {
            return Ok(one.index);
        }
        self.judge_rejected(one, from - 1)?;
        Ok(one.index)
    }

    /// A position of a master that is ready.
    ///
    /// # Errors
    /// [`Failure`] unless it is one of this chain, as a whole.
    pub(crate) fn judge_position(&mut self, position: &GetLastBlockNumberResponse) -> Outcome {
        if !position.ready {
            return Err(Failure::new("ready = true once it was said", "ready = false"));
        }
        equal("chain_id", &hex(&self.network.chain_id.0), &hex(&position.chain_id))?;
        let (number, last) = (position.block_number, self.chain.last());
        if number > last {
            return Err(Failure::new(
                format!("block_number of at most {last}, which was sent"),
                format!("block_number = {number}"),
            ));
        }
        self.judge_digest(&position.commit_digest, number, "the position")?;
        self.judge_root(&position.state_root, number, "the position")
    }

    fn judge_digest(&self, digest: &[u8], index: u64, of: &str) -> Outcome {
        equal(&format!("digest of commit {index} in {of}"), &hex(&self.chain.digest(index)), &hex(digest))
    }

    /// The root after a commit, by the reference ledger or by what was said before.
    pub(crate) fn judge_root(&mut self, root: &Bytes, index: u64, of: &str) -> Outcome {
        let what = format!("state root after commit {index} in {of}");
        if root.is_empty() && matches!(self.settings.protocol, Protocol::Uds(_)) {
            // The framed protocol has a place for a root, and masters that leave it empty.
            return Ok(());
        }
        if self.settings.roots_are_known() {
            return equal(&what, &hex(&self.chain.root(index).0), &hex(root));
        }
        if !matches!(root.len(), 0 | 32) {
            return Err(Failure::new(
                format!("{what} of 32 bytes, or none"),
                format!("{} bytes", root.len()),
            ));
        }
        let first = self.roots.0.entry(self.chain.digest(index)).or_insert_with(|| root.clone());
        equal(&what, &hex(first), &hex(root))
    }

    /// The transactions without effect of the commits above `acknowledged`, by the reference ledger.
    fn judge_rejected(&mut self, one: &Acknowledgement, acknowledged: u64) -> Outcome {
        if self.settings.ledger == LedgerKind::Any {
            let strange = one.rejected.iter().find(|rejected| {
                rejected.code == 0
                    || rejected.reason.len() > 256
                    || !(acknowledged + 1..=one.index).contains(&rejected.index)
            });
            return match strange {
                None => Ok(()),
                Some(rejected) => Err(Failure::new(
                    "rejections of the commits that are covered, each with a code above 0 and a reason of at most 256 bytes",
                    format!("{rejected:?}"),
                )),
            };
        }
        let of = |index| self.chain.root_and_rejected(index).1;
        // As a duplicate, the master may tell those of the one commit, or of all that are covered again.
        let from = if one.duplicate { one.index } else { acknowledged + 1 };
        let expected: Vec<_> = (from..=one.index).flat_map(of).collect();
        let mut came: Vec<_> =
            one.rejected.iter().map(|rejected| (rejected.index, rejected.position, rejected.code)).collect();
        came.sort_unstable();
        if one.duplicate {
            came.retain(|(index, ..)| *index == one.index);
        }
        let show = |all: &[(u64, u32, u32)]| {
            let all: Vec<_> =
                all.iter().map(|(index, position, code)| format!("{index}/{position} code {code}")).collect();
            if all.is_empty() { "none".to_owned() } else { all.join(", ") }
        };
        equal(&format!("rejected transactions up to commit {}", one.index), &show(&expected), &show(&came))
    }
}

/// A position in one line.
pub(crate) fn show(position: &GetLastBlockNumberResponse) -> String {
    let short = |bytes: &[u8]| hex(bytes).chars().take(16).collect::<String>();
    format!(
        "block {} with digest {}, root {}, epoch {}",
        position.block_number,
        short(&position.commit_digest),
        short(&position.state_root),
        position.epoch
    )
}
