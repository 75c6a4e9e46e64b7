//! Stored bytes of [`Progress`], big-endian:
//!
//! ```text
//! format u8 = 1 | epoch u64 | last commit u64 | GC round u64 | own round u64
//! last committed rounds: u32 count, (round u64)*
//! ```

use consensus_core::{CommitIndex, Epoch, Progress, Round};

const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 1 + 4 * 8 + 4;

/// The stored bytes.
pub(super) fn encode(progress: &Progress) -> Vec<u8> {
    let rounds = &progress.last_committed_rounds;
    let count = u32::try_from(rounds.len()).expect("a committee has at most 1000 authorities");
    let mut bytes = Vec::with_capacity(HEAD_BYTES + rounds.len() * 8);
    bytes.push(FORMAT);
    for number in
        [progress.epoch.get(), progress.last_commit.get(), progress.gc_round.get(), progress.own_round.get()]
    {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&count.to_be_bytes());
    for round in rounds {
        bytes.extend_from_slice(&round.get().to_be_bytes());
    }
    bytes
}

/// Reads stored bytes; `None` unless they are exactly what [`encode`] writes.
pub(super) fn decode(bytes: &[u8]) -> Option<Progress> {
    let (&format, rest) = bytes.split_first()?;
    let (numbers, rest) = rest.split_at_checked(4 * 8)?;
    let (count, rounds) = rest.split_first_chunk::<4>()?;
    let rounds = numbers_of(rounds)?;
    if format != FORMAT || u32::try_from(rounds.len()) != Ok(u32::from_be_bytes(*count)) {
        return None;
    }
    let [epoch, last_commit, gc_round, own_round] = numbers_of(numbers)?.try_into().ok()?;
    Some(Progress {
        epoch: Epoch::new(epoch),
        last_commit: CommitIndex::new(last_commit),
        gc_round: Round::new(gc_round),
        own_round: Round::new(own_round),
        last_committed_rounds: rounds.into_iter().map(Round::new).collect(),
    })
}

fn numbers_of(bytes: &[u8]) -> Option<Vec<u64>> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    rest.is_empty().then(|| numbers.iter().map(|number| u64::from_be_bytes(*number)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Progress {
        Progress {
            epoch: Epoch::new(1),
            last_commit: CommitIndex::new(2),
            gc_round: Round::new(3),
            own_round: Round::new(4),
            last_committed_rounds: vec![Round::new(5), Round::new(6)],
        }
    }

    /// Stored bytes: a change here makes existing stores unreadable.
    #[test]
    fn progress_has_its_golden_bytes() {
        let golden = concat!(
            "01",
            "0000000000000001000000000000000200000000000000030000000000000004",
            "00000002",
            "00000000000000050000000000000006"
        );
        assert_eq!(hex::encode(encode(&sample())), golden);
        assert_eq!(decode(&encode(&sample())), Some(sample()));
        assert_eq!(decode(&encode(&Progress::default())), Some(Progress::default()));
    }

    #[test]
    fn every_other_length_or_format_is_refused() {
        let bytes = encode(&sample());
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(decode(&[bytes.as_slice(), &[0; 8]].concat()), None);
        let mut other = bytes;
        other[0] = 2;
        assert_eq!(decode(&other), None);
    }
}
