//! Pages of proofs of equivocation. A token names the last proof of the page before: epoch, authority and round in hex.

use consensus_core::{AuthorityIndex, Epoch, Round, Slot};
use metanode_proto::consensus::v1::{Equivocation, ListEquivocationsRequest, ListEquivocationsResponse};
use metanode_shell::status;
use tonic::{Code, Status};

use crate::commit_log::{CommitLog, LogError, StoredEquivocation};

/// Most proofs in an answer.
const MAX_PAGE: u32 = 100;
/// Most signed bytes in one, but for a single proof.
const MAX_PAGE_BYTES: u64 = 4 << 20;

/// Where a page begins, and how long it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    after: Option<(Epoch, Slot)>,
    limit: usize,
}

impl Page {
    /// Reads a request.
    pub(super) fn of(request: &ListEquivocationsRequest) -> Result<Self, Status> {
        let size = if request.page_size == 0 { MAX_PAGE } else { request.page_size.min(MAX_PAGE) };
        let limit = usize::try_from(size).unwrap_or(1);
        if request.page_token.is_empty() {
            return Ok(Self { after: None, limit });
        }
        let after = parse_token(&request.page_token)
            .ok_or_else(|| status::invalid_field("page_token", "is none that this call has given"))?;
        Ok(Self { after: Some(after), limit })
    }

    /// Reads the page. Blocks on the disk.
    pub(super) fn read(self, log: &CommitLog) -> Result<ListEquivocationsResponse, Status> {
        let (found, more) = log.equivocations(self.after, self.limit, MAX_PAGE_BYTES).map_err(unreadable)?;
        let next = found.last().filter(|_| more).map(|last| token(last.epoch, last.slot));
        Ok(ListEquivocationsResponse {
            equivocations: found.into_iter().map(to_proto).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }
}

fn to_proto(stored: StoredEquivocation) -> Equivocation {
    Equivocation {
        epoch: stored.epoch.get(),
        round: stored.slot.round.get(),
        authority: u32::from(stored.slot.authority.get()),
        first_block: stored.proof.first,
        second_block: stored.proof.second,
    }
}

fn token(epoch: Epoch, slot: Slot) -> String {
    format!("{:016x}{:04x}{:016x}", epoch.get(), slot.authority.get(), slot.round.get())
}

fn parse_token(token: &str) -> Option<(Epoch, Slot)> {
    let bytes: [u8; 18] = hex::decode(token).ok()?.try_into().ok()?;
    let (epoch, rest) = bytes.split_first_chunk::<8>()?;
    let (authority, round) = rest.split_first_chunk::<2>()?;
    let round = u64::from_be_bytes(round.try_into().ok()?);
    let slot =
        Slot { round: Round::new(round), authority: AuthorityIndex::new(u16::from_be_bytes(*authority)) };
    Some((Epoch::new(u64::from_be_bytes(*epoch)), slot))
}

fn unreadable(error: LogError) -> Status {
    tracing::error!(error = &error as &dyn std::error::Error, "proofs of equivocation cannot be read");
    Status::new(Code::Internal, "the proofs cannot be read from the store")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_a_place_and_nothing_else_is_one() {
        let slot = Slot { round: Round::new(0x0102), authority: AuthorityIndex::new(0x0304) };
        let text = token(Epoch::new(5), slot);
        assert_eq!(text, "000000000000000503040000000000000102");
        assert_eq!(parse_token(&text), Some((Epoch::new(5), slot)));
        for other in ["0", "zz", &text[2..], &format!("{text}00")] {
            let request = ListEquivocationsRequest { page_size: 1, page_token: other.to_owned() };
            assert_eq!(Page::of(&request).unwrap_err().code(), Code::InvalidArgument, "{other}");
        }
    }

    #[test]
    fn a_page_has_a_hundred_proofs_at_most() {
        let limit = |page_size| {
            Page::of(&ListEquivocationsRequest { page_size, page_token: String::new() }).unwrap().limit
        };
        assert_eq!([0, 1, 100, 101].map(limit), [100, 1, 100, 100]);
    }
}
