//! A map by transaction digest, without an order and without iteration.
//!
//! At 20,000 transactions a second the window of duplicates holds half a million digests, and an ordered map pays some
//! twenty cache misses for each. Digests are uniform already, so their first bytes are the place: buckets of a few cells.
//!
//! Whoever submits can grind digests with the same first bytes. So what does not fit its bucket goes to one ordered map
//! that all buckets share: the worst that can be made of this is that ordered map. No key, no randomness; and as nothing here
//! can be iterated, no order can leak.

use std::collections::BTreeMap;

use crate::types::TransactionDigest;

/// Cells of a bucket.
const CELLS: usize = 4;
/// Buckets double when entries exceed this many for each; then some 4 in 100 entries do not fit theirs.
const ENTRIES_A_BUCKET: usize = 2;
/// Buckets of an empty map; a power of two.
const FIRST_BUCKETS: usize = 16;

#[derive(Clone, Debug)]
struct Bucket<V> {
    cells: [Option<(TransactionDigest, V)>; CELLS],
    /// How many entries of this bucket are in the common overflow.
    overflowed: usize,
}

impl<V> Bucket<V> {
    const fn empty() -> Self {
        Self { cells: [const { None }; CELLS], overflowed: 0 }
    }

    fn get(&self, digest: &TransactionDigest) -> Option<&V> {
        self.cells.iter().flatten().find(|(held, _)| held == digest).map(|(_, value)| value)
    }

    fn get_mut(&mut self, digest: &TransactionDigest) -> Option<&mut V> {
        self.cells.iter_mut().flatten().find(|(held, _)| held == digest).map(|(_, value)| value)
    }

    fn take(&mut self, digest: &TransactionDigest) -> Option<V> {
        let cell = self.cells.iter_mut().find(|cell| cell.as_ref().is_some_and(|(held, _)| held == digest));
        cell.and_then(Option::take).map(|(_, value)| value)
    }
}

/// Values by transaction digest. Grows by doubling and never shrinks: whoever owns it bounds its entries.
#[derive(Clone, Debug)]
pub struct DigestMap<V> {
    buckets: Vec<Bucket<V>>,
    overflow: BTreeMap<TransactionDigest, V>,
    length: usize,
}

/// A set of transaction digests.
pub type DigestSet = DigestMap<()>;

impl<V> Default for DigestMap<V> {
    fn default() -> Self {
        Self { buckets: buckets(FIRST_BUCKETS), overflow: BTreeMap::new(), length: 0 }
    }
}

impl<V> DigestMap<V> {
    /// How many entries.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether a digest has a value.
    pub fn contains(&self, digest: &TransactionDigest) -> bool {
        self.get(digest).is_some()
    }

    /// The value of a digest.
    pub fn get(&self, digest: &TransactionDigest) -> Option<&V> {
        let bucket = self.buckets.get(self.place(digest))?;
        let overflow = (bucket.overflowed > 0).then_some(&self.overflow);
        bucket.get(digest).or_else(|| overflow?.get(digest))
    }

    /// The value of a digest, to be changed.
    pub fn get_mut(&mut self, digest: &TransactionDigest) -> Option<&mut V> {
        let place = self.place(digest);
        let bucket = self.buckets.get_mut(place)?;
        if bucket.overflowed > 0 && self.overflow.contains_key(digest) {
            return self.overflow.get_mut(digest);
        }
        bucket.get_mut(digest)
    }

    /// Enters a value. False, and nothing changes, if the digest has one.
    pub fn insert(&mut self, digest: TransactionDigest, value: V) -> bool {
        if self.contains(&digest) {
            return false;
        }
        if self.length >= self.buckets.len().saturating_mul(ENTRIES_A_BUCKET) {
            self.grow();
        }
        self.enter(digest, value);
        self.length = self.length.saturating_add(1);
        true
    }

    /// Takes a value out.
    pub fn remove(&mut self, digest: &TransactionDigest) -> Option<V> {
        let place = self.place(digest);
        let bucket = self.buckets.get_mut(place)?;
        let mut taken = bucket.take(digest);
        if taken.is_none() && bucket.overflowed > 0 {
            taken = self.overflow.remove(digest);
            bucket.overflowed = bucket.overflowed.saturating_sub(usize::from(taken.is_some()));
        }
        self.length = self.length.saturating_sub(usize::from(taken.is_some()));
        taken
    }

    /// Buckets are a power of two, so the low bits of the digest's first bytes are the place.
    fn place(&self, digest: &TransactionDigest) -> usize {
        let [a, b, c, d, ..] = *digest.as_bytes();
        let prefix = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        prefix & self.buckets.len().saturating_sub(1)
    }

    fn enter(&mut self, digest: TransactionDigest, value: V) {
        let place = self.place(&digest);
        let Some(bucket) = self.buckets.get_mut(place) else { return };
        if let Some(cell) = bucket.cells.iter_mut().find(|cell| cell.is_none()) {
            *cell = Some((digest, value));
        } else {
            bucket.overflowed = bucket.overflowed.saturating_add(1);
            self.overflow.insert(digest, value);
        }
    }

    fn grow(&mut self) {
        let doubled = buckets(self.buckets.len().saturating_mul(2));
        let cells = std::mem::replace(&mut self.buckets, doubled);
        let overflow = std::mem::take(&mut self.overflow);
        let cells = cells.into_iter().flat_map(|bucket| bucket.cells).flatten();
        for (digest, value) in cells.chain(overflow) {
            self.enter(digest, value);
        }
    }
}

fn buckets<V>(count: usize) -> Vec<Bucket<V>> {
    std::iter::repeat_with(Bucket::empty).take(count).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A digest of few bits that differ, most of them in the place: buckets overflow, and some entries are equal.
    fn digest(number: u16) -> TransactionDigest {
        let mut bytes = [0; 32];
        bytes[0] = u8::try_from(number % 5).unwrap();
        bytes[31] = u8::try_from(number % 251).unwrap();
        TransactionDigest::new(bytes)
    }

    proptest! {
        #[test]
        fn is_an_ordered_map_to_whoever_asks(steps in proptest::collection::vec((0u8..4, any::<u16>()), 0..2000)) {
            let mut map = DigestMap::default();
            let mut model = BTreeMap::new();
            for (what, number) in steps {
                let digest = digest(number);
                match what {
                    0 | 1 => {
                        let is_new = !model.contains_key(&digest);
                        model.entry(digest).or_insert(number);
                        prop_assert_eq!(map.insert(digest, number), is_new);
                    }
                    2 => prop_assert_eq!(map.remove(&digest), model.remove(&digest)),
                    _ => {
                        if let Some(value) = model.get_mut(&digest) {
                            *value ^= 1;
                        }
                        if let Some(value) = map.get_mut(&digest) {
                            *value ^= 1;
                        }
                    }
                }
                prop_assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(map.contains(&digest), model.contains_key(&digest));
                prop_assert_eq!(map.get_mut(&digest).copied(), model.get(&digest).copied());
            }
        }
    }

    #[test]
    fn t07_ground_digests_cost_what_an_ordered_map_costs() {
        let mut map = DigestSet::default();
        let ground = |number: u32| {
            let mut bytes = [7; 32];
            bytes[28..].copy_from_slice(&number.to_le_bytes());
            TransactionDigest::new(bytes)
        };
        assert!((0..10_000).all(|number| map.insert(ground(number), ())));
        assert!(map.buckets.iter().all(|bucket| bucket.cells.len() == CELLS));
        assert_eq!(map.overflow.len(), 10_000 - CELLS);
        assert!((0..10_000).all(|number| map.remove(&ground(number)).is_some()));
        assert!(map.is_empty() && map.overflow.is_empty());
        assert!(map.buckets.iter().all(|bucket| bucket.overflowed == 0));
    }
}
