//! Where digests stand in a table that their owner keeps: an index without an order and without iteration.
//!
//! At 20,000 transactions a second the window of duplicates holds half a million digests, and an ordered map pays some
//! twenty cache misses for each. Digests are uniform already, so their first bytes are the bucket. A bucket is one line of
//! the cache: a few cells of these bytes and a place in the owner's table. So to find that a digest is not there
//! costs one cache miss, and the table is looked at only where the first 32 bits agree.
//!
//! The index never takes 32 bits for a digest: whether the one at a place is the one that was asked for, the owner says, who
//! compares all of it.
//!
//! Whoever submits can grind digests with the same first bytes. So what does not fit its bucket goes to one ordered map
//! that all buckets share: the worst that can be made of this is that ordered map. No key, no randomness; and as nothing here
//! can be iterated, no order can leak.

use std::collections::BTreeMap;

use crate::types::TransactionDigest;

/// Cells of a bucket: with the two fields behind them they fill 64 bytes.
const CELLS: usize = 7;
/// Buckets double when entries exceed this many for each; then some 2 in 100 entries do not fit theirs.
const ENTRIES_A_BUCKET: usize = 4;
/// Buckets of an empty index; a power of two.
const FIRST_BUCKETS: usize = 8;

/// An entry, if its bucket says that it is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell {
    prefix: u32,
    place: u32,
}

#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Bucket {
    cells: [Cell; CELLS],
    /// How many entries of this bucket are in the common overflow.
    overflowed: u32,
    /// The cells that are entries, lowest bit first.
    taken: u8,
}

impl Bucket {
    /// The bits of the cells that are entries, with their cells.
    fn entries(&self) -> impl Iterator<Item = (u8, Cell)> {
        bits().zip(self.cells.iter().copied()).filter(|(bit, _)| self.taken & bit != 0)
    }

    /// False if there is no room.
    fn enter(&mut self, entry: Cell) -> bool {
        let taken = self.taken;
        let free = bits().zip(&mut self.cells).find(|(bit, _)| taken & bit == 0);
        if let Some((bit, cell)) = free {
            *cell = entry;
            self.taken |= bit;
            return true;
        }
        false
    }
}

/// One bit for each cell.
fn bits() -> impl Iterator<Item = u8> {
    (0..CELLS).map(|cell| 1 << cell)
}

/// Places by transaction digest, each digest at one place. Grows by doubling and never shrinks: whoever owns it bounds its
/// entries, below 2^32.
#[derive(Clone, Debug)]
pub(crate) struct DigestIndex {
    buckets: Vec<Bucket>,
    overflow: BTreeMap<TransactionDigest, u32>,
    length: usize,
}

impl Default for DigestIndex {
    fn default() -> Self {
        Self { buckets: vec![Bucket::default(); FIRST_BUCKETS], overflow: BTreeMap::new(), length: 0 }
    }
}

impl DigestIndex {
    /// The place of a digest. `is_there` says whether this digest, the whole of it, stands at a place.
    pub(crate) fn find(
        &self,
        digest: &TransactionDigest,
        mut is_there: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let prefix = prefix(digest);
        let bucket = self.buckets.get(self.bucket_of(prefix))?;
        let alike = |(bit, cell): &(u8, &Cell)| cell.prefix == prefix && bucket.taken & bit != 0;
        match bits().zip(&bucket.cells).find(|found| alike(found) && is_there(found.1.place)) {
            Some((_, cell)) => Some(cell.place),
            None if bucket.overflowed > 0 => self.overflow.get(digest).copied(),
            None => None,
        }
    }

    /// Looks at the buckets of digests that are about to be asked for, and tells nothing: asked for one by one each would
    /// wait for its own cache miss, in a loop as short as this one they are all on their way at once.
    pub(crate) fn approach<'a>(&self, digests: impl Iterator<Item = &'a TransactionDigest>) {
        let buckets = digests.filter_map(|digest| self.buckets.get(self.bucket_of(prefix(digest))));
        std::hint::black_box(buckets.fold(0, |seen, bucket| seen ^ bucket.taken));
    }

    /// Enters a digest that is not in yet.
    pub(crate) fn enter(&mut self, digest: &TransactionDigest, place: u32) {
        if self.length >= self.buckets.len().saturating_mul(ENTRIES_A_BUCKET) {
            self.grow();
        }
        self.length = self.length.saturating_add(1);
        let entry = Cell { prefix: prefix(digest), place };
        if !self.fits(entry) {
            self.overflow.insert(*digest, place);
        }
    }

    /// Takes a digest out that stands at `place`.
    pub(crate) fn remove(&mut self, digest: &TransactionDigest, place: u32) {
        let wanted = Cell { prefix: prefix(digest), place };
        let bucket = self.bucket_of(wanted.prefix);
        let Some(bucket) = self.buckets.get_mut(bucket) else { return };
        let held = bucket.entries().find(|(_, entry)| *entry == wanted);
        if let Some((bit, _)) = held {
            bucket.taken &= !bit;
        } else if bucket.overflowed > 0 && self.overflow.remove(digest).is_some() {
            bucket.overflowed = bucket.overflowed.saturating_sub(1);
        } else {
            return;
        }
        self.length = self.length.saturating_sub(1);
    }

    /// Enters into the bucket; false, counted there, if that is full.
    fn fits(&mut self, entry: Cell) -> bool {
        let bucket = self.bucket_of(entry.prefix);
        let Some(bucket) = self.buckets.get_mut(bucket) else { return false };
        let fits = bucket.enter(entry);
        bucket.overflowed = bucket.overflowed.saturating_add(u32::from(!fits));
        fits
    }

    /// Buckets are a power of two, so the low bits are the bucket.
    fn bucket_of(&self, prefix: u32) -> usize {
        usize::try_from(prefix).unwrap_or(usize::MAX) & self.buckets.len().saturating_sub(1)
    }

    /// A bucket's entries go to two, so what was in cells fits; of the overflow, what now does comes back.
    fn grow(&mut self) {
        let doubled = vec![Bucket::default(); self.buckets.len().saturating_mul(2)];
        let buckets = std::mem::replace(&mut self.buckets, doubled);
        for (_, entry) in buckets.iter().flat_map(Bucket::entries) {
            self.fits(entry);
        }
        for (digest, place) in std::mem::take(&mut self.overflow) {
            if !self.fits(Cell { prefix: prefix(&digest), place }) {
                self.overflow.insert(digest, place);
            }
        }
    }
}

/// The first bytes of a digest.
const fn prefix(digest: &TransactionDigest) -> u32 {
    let [a, b, c, d, ..] = *digest.as_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use std::collections::btree_map::Entry;

    use proptest::prelude::*;

    use super::*;

    /// A digest of few bits that differ: buckets overflow, some digests share all that a cell shows, and some are equal.
    fn digest(number: u16) -> TransactionDigest {
        let mut bytes = [0; 32];
        bytes[0] = u8::try_from(number % 5).unwrap();
        bytes[31] = u8::try_from(number % 251).unwrap();
        TransactionDigest::new(bytes)
    }

    /// The owner's table: a digest at each place, for ever.
    #[derive(Default)]
    struct Owner {
        index: DigestIndex,
        table: Vec<TransactionDigest>,
    }

    impl Owner {
        fn find(&self, digest: &TransactionDigest) -> Option<u32> {
            self.index.find(digest, |place| self.table[place as usize] == *digest)
        }

        fn enter(&mut self, digest: TransactionDigest) -> u32 {
            let place = u32::try_from(self.table.len()).unwrap();
            self.table.push(digest);
            self.index.enter(&digest, place);
            place
        }

        fn remove(&mut self, digest: &TransactionDigest) -> Option<u32> {
            let place = self.find(digest)?;
            self.index.remove(digest, place);
            Some(place)
        }
    }

    proptest! {
        #[test]
        fn is_an_ordered_map_to_whoever_asks(steps in proptest::collection::vec((any::<bool>(), any::<u16>()), 0..2000)) {
            let mut owner = Owner::default();
            let mut model = BTreeMap::new();
            for (enters, number) in steps {
                let digest = digest(number);
                prop_assert_eq!(owner.find(&digest), model.get(&digest).copied());
                if !enters {
                    prop_assert_eq!(owner.remove(&digest), model.remove(&digest));
                } else if let Entry::Vacant(vacant) = model.entry(digest) {
                    vacant.insert(owner.enter(digest));
                }
                prop_assert_eq!(owner.find(&digest), model.get(&digest).copied());
                prop_assert_eq!(owner.index.length, model.len());
            }
            for digest in &owner.table {
                prop_assert_eq!(owner.find(digest), model.get(digest).copied());
            }
        }
    }

    #[test]
    fn t07_ground_digests_cost_what_an_ordered_map_costs() {
        let mut owner = Owner::default();
        let ground = |number: u32| {
            let mut bytes = [7; 32];
            bytes[28..].copy_from_slice(&number.to_le_bytes());
            TransactionDigest::new(bytes)
        };
        for number in 0..10_000 {
            assert_eq!(owner.find(&ground(number)), None);
            owner.enter(ground(number));
        }
        assert_eq!(owner.index.overflow.len(), 10_000 - CELLS);
        assert!((0..10_000).all(|number| owner.remove(&ground(number)) == Some(number)));
        assert!(owner.index.length == 0 && owner.index.overflow.is_empty());
        assert!(owner.index.buckets.iter().all(|bucket| (bucket.overflowed, bucket.taken) == (0, 0)));
    }

    #[test]
    fn a_bucket_is_one_line_of_the_cache() {
        assert_eq!((size_of::<Bucket>(), align_of::<Bucket>()), (64, 64));
    }
}
