//! Stored bytes of [`Progress`], big-endian:
//!
//! ```text
//! format u8 = 2 | epoch u64 | last commit u64 | GC round u64 | own round u64
//! last committed rounds: u32 count, (round u64)*
//! leader schedule: since u64 | table | previous table | points: u32 count, (u128)*
//! table: unseated: u32 count, (author u16)* | substitutes: u32 count, (author u16)*
//! ```
//!
//! Format 1 had no leader schedule; it belongs to chains of genesis format 1, which are refused by their chain id.

use consensus_core::{AuthorityIndex, CommitIndex, Epoch, Progress, Round, ScheduleState, SwapTable};

const FORMAT: u8 = 2;

/// The stored bytes.
pub(super) fn encode(progress: &Progress) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    for number in
        [progress.epoch.get(), progress.last_commit.get(), progress.gc_round.get(), progress.own_round.get()]
    {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    put_list(&mut bytes, &progress.last_committed_rounds, |round| round.get().to_be_bytes());
    let schedule = &progress.schedule;
    bytes.extend_from_slice(&schedule.since.get().to_be_bytes());
    for table in [&schedule.table, &schedule.previous] {
        put_list(&mut bytes, table.unseated(), |authority| authority.get().to_be_bytes());
        put_list(&mut bytes, table.substitutes(), |authority| authority.get().to_be_bytes());
    }
    put_list(&mut bytes, &schedule.scores, |score| score.to_be_bytes());
    bytes
}

fn put_list<T, const N: usize>(bytes: &mut Vec<u8>, list: &[T], encode: impl Fn(&T) -> [u8; N]) {
    let count = u32::try_from(list.len()).expect("a committee has at most 1000 authorities");
    bytes.extend_from_slice(&count.to_be_bytes());
    list.iter().for_each(|entry| bytes.extend_from_slice(&encode(entry)));
}

/// Reads stored bytes; `None` unless they are exactly what [`encode`] writes.
pub(super) fn decode(bytes: &[u8]) -> Option<Progress> {
    let mut rest = Reader(bytes);
    if rest.take::<1>()? != [FORMAT] {
        return None;
    }
    let progress = Progress {
        epoch: Epoch::new(rest.number()?),
        last_commit: CommitIndex::new(rest.number()?),
        gc_round: Round::new(rest.number()?),
        own_round: Round::new(rest.number()?),
        last_committed_rounds: rest.list(|round| Round::new(u64::from_be_bytes(round)))?,
        schedule: ScheduleState {
            since: Round::new(rest.number()?),
            table: rest.table()?,
            previous: rest.table()?,
            scores: rest.list(u128::from_be_bytes)?,
        },
    };
    rest.0.is_empty().then_some(progress)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    /// A count is compared with the bytes that are left before anything is allocated.
    fn list<T, const N: usize>(&mut self, decode: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
        let count = usize::try_from(u32::from_be_bytes(self.take()?)).ok()?;
        let (entries, rest) = self.0.split_at_checked(count.checked_mul(N)?)?;
        self.0 = rest;
        Some(entries.as_chunks::<N>().0.iter().map(|entry| decode(*entry)).collect())
    }

    fn table(&mut self) -> Option<SwapTable> {
        let mut authorities = || self.list(|index| AuthorityIndex::new(u16::from_be_bytes(index)));
        Some(SwapTable::from_parts(authorities()?, authorities()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(authorities: &[u16]) -> Vec<AuthorityIndex> {
        authorities.iter().copied().map(AuthorityIndex::new).collect()
    }

    fn sample() -> Progress {
        Progress {
            epoch: Epoch::new(1),
            last_commit: CommitIndex::new(2),
            gc_round: Round::new(3),
            own_round: Round::new(4),
            last_committed_rounds: vec![Round::new(5), Round::new(6)],
            schedule: ScheduleState {
                since: Round::new(7),
                table: SwapTable::from_parts(list(&[8]), list(&[9, 10])),
                previous: SwapTable::from_parts(list(&[11]), list(&[12])),
                scores: vec![13, 1 << 64],
            },
        }
    }

    /// Stored bytes: a change here makes existing stores unreadable.
    #[test]
    fn progress_has_its_golden_bytes() {
        let golden = concat!(
            "02",
            "0000000000000001000000000000000200000000000000030000000000000004",
            "00000002",
            "00000000000000050000000000000006",
            "0000000000000007",
            "000000010008000000020009000a",
            "00000001000b00000001000c",
            "00000002",
            "0000000000000000000000000000000d00000000000000010000000000000000"
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
        other[0] = 1;
        assert_eq!(decode(&other), None);
    }
}
