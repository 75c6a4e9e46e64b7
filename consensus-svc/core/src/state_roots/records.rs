//! What is made durable of voted state roots.

use bytes::Bytes;

use crate::{
    block::ExecutedRoot,
    codec::{DecodeError, Decoder, Encoder},
    committee::MAX_AUTHORITIES,
    types::{BlockRef, CommitIndex, StateRoot},
};

/// Most agreed roots that are remembered: the newest.
pub const MAX_AGREED_ROOTS: usize = 64;

/// Format of the bytes of an agreement, and of a contradiction.
const RECORD_VERSION: u16 = 1;

/// A quorum's word for a state root: the blocks whose votes make the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootAgreement {
    /// Commit after which the root holds.
    pub index: CommitIndex,
    /// The root.
    pub root: StateRoot,
    /// Committed blocks of distinct authorities that vote for exactly these two, by authority.
    pub blocks: Vec<BlockRef>,
}

impl RootAgreement {
    /// What was agreed on.
    pub const fn executed(&self) -> ExecutedRoot {
        ExecutedRoot { index: self.index, root: self.root }
    }

    /// The bytes that are stored: version u16 | index u64 | root 32 | blocks, all little-endian.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        self.encode(encoder.u16(RECORD_VERSION));
        encoder.finish()
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// If the bytes are not canonical for this format.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        decoder.version("agreed root version", RECORD_VERSION)?;
        let agreement = Self::read(&mut decoder)?;
        decoder.finish()?;
        Ok(agreement)
    }

    fn encode(&self, encoder: &mut Encoder) {
        encoder.u64(self.index.get()).raw(self.root.as_bytes()).block_refs(&self.blocks);
    }

    fn read(decoder: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(Self {
            index: CommitIndex::new(decoder.u64("index")?),
            root: StateRoot::new(decoder.array("root")?),
            blocks: decoder.block_refs("blocks", MAX_AUTHORITIES as u64)?,
        })
    }
}

/// The own executor reached another root than a quorum's: the evidence of X07.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootContradiction {
    /// What the own executor said.
    pub own: StateRoot,
    /// What a quorum voted for at the same commit.
    pub agreed: RootAgreement,
}

impl RootContradiction {
    /// The commit after which the two differ. They may have parted up to `root_interval` commits before.
    pub const fn index(&self) -> CommitIndex {
        self.agreed.index
    }

    /// The bytes that are stored: version u16 | own root 32 | index u64 | agreed root 32 | blocks, all little-endian.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        self.agreed.encode(encoder.u16(RECORD_VERSION).raw(self.own.as_bytes()));
        encoder.finish()
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// If the bytes are not canonical for this format.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        decoder.version("root contradiction version", RECORD_VERSION)?;
        let own = StateRoot::new(decoder.array("own root")?);
        let contradiction = Self { own, agreed: RootAgreement::read(&mut decoder)? };
        decoder.finish()?;
        Ok(contradiction)
    }
}

/// What a store holds of voted roots; in a batch, what it adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootRecords {
    /// Roots that quorums agreed on, rising by index; of a store the newest [`MAX_AGREED_ROOTS`].
    pub agreed: Vec<RootAgreement>,
    /// The newest own root that was found equal to the agreed one; in a batch, if there is a newer one.
    pub verified: Option<ExecutedRoot>,
    /// The last contradiction, kept for good. It takes back what was verified before.
    pub contradiction: Option<RootContradiction>,
}

impl RootRecords {
    /// Whether there is nothing to write.
    pub const fn is_empty(&self) -> bool {
        self.agreed.is_empty() && self.verified.is_none() && self.contradiction.is_none()
    }

    /// Takes in what a batch adds.
    pub fn apply(&mut self, batch: &Self) {
        for agreement in &batch.agreed {
            match self.agreed.binary_search_by_key(&agreement.index, |held| held.index) {
                Ok(_) => {}
                Err(place) => self.agreed.insert(place, agreement.clone()),
            }
        }
        self.agreed.drain(..self.agreed.len().saturating_sub(MAX_AGREED_ROOTS));
        if let Some(contradiction) = &batch.contradiction {
            self.contradiction = Some(contradiction.clone());
            self.verified = None;
        }
        self.verified = batch.verified.or(self.verified);
    }

    /// The contradiction that forbids to go on with an executor which says that it stands at `index` with `root`. None does if
    /// it stands before the contradicted commit, since it will be compared there again; if its root is the agreed one at
    /// `index`; or if it was verified at or behind the contradicted commit since.
    pub fn forbids(&self, index: CommitIndex, root: Option<StateRoot>) -> Option<&RootContradiction> {
        let contradiction = self.open_contradiction()?;
        let mut agreed = self.agreed.iter().chain([&contradiction.agreed]);
        let is_agreed = agreed.any(|agreed| agreed.index == index && Some(agreed.root) == root);
        (index >= contradiction.index() && !is_agreed).then_some(contradiction)
    }

    /// The contradiction behind which the executor has not been verified.
    pub fn open_contradiction(&self) -> Option<&RootContradiction> {
        let is_verified = |index: CommitIndex| self.verified.is_some_and(|verified| verified.index >= index);
        self.contradiction.as_ref().filter(|found| !is_verified(found.index()))
    }
}
