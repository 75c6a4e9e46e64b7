//! The committee of an epoch: who may propose, with which stake, under which keys.

use crate::{
    codec::Encoder,
    crypto::{self, ProtocolKey},
    types::{AuthorityIndex, CommitteeDigest, Epoch, Stake},
};

/// Most authorities in a committee.
pub const MAX_AUTHORITIES: usize = 1000;
/// Highest total stake: tallies and doubled medians stay far from overflow.
pub const MAX_TOTAL_STAKE: u64 = u64::MAX / 8;
/// Longest address, in bytes.
pub const MAX_ADDRESS_BYTES: usize = 255;

const CONTEXT: &str = "metanode 2026 committee v1";

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Voting stake; at least 1.
    pub stake: Stake,
    /// Key that signs its blocks.
    pub protocol_key: ProtocolKey,
    /// Ed25519 key of its TLS identity.
    pub network_key: [u8; 32],
    /// Where other authorities reach it, host:port; at most 255 bytes.
    pub address: String,
}

/// Why a list of authorities is not a committee.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    /// No member, or too many.
    #[error("a committee has 1 to {MAX_AUTHORITIES} authorities, this one has {count}")]
    Size {
        /// How many were given.
        count: usize,
    },
    /// A member without stake.
    #[error("authority {authority} has no stake, at least 1 is needed")]
    NoStake {
        /// The member.
        authority: AuthorityIndex,
    },
    /// The total is too high for tallies to be exact.
    #[error("total stake is over {MAX_TOTAL_STAKE}")]
    TotalStake,
    /// Members must rise strictly by protocol key bytes; a repeated key is refused by the same rule.
    #[error("authority {authority} is out of order: authorities rise strictly by protocol key bytes")]
    Order {
        /// The first member that does not rise.
        authority: AuthorityIndex,
    },
    /// Two members share a network key.
    #[error("authority {authority} repeats a network key")]
    NetworkKeyRepeated {
        /// The second of the two.
        authority: AuthorityIndex,
    },
    /// An address is too long or empty.
    #[error("address of authority {authority} has {length} bytes, 1 to {MAX_ADDRESS_BYTES} are allowed")]
    Address {
        /// The member.
        authority: AuthorityIndex,
        /// Its address's length.
        length: usize,
    },
}

/// A checked committee. The index of an authority is its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    epoch: Epoch,
    authorities: Vec<Authority>,
    total_stake: Stake,
    digest: CommitteeDigest,
}

impl Committee {
    /// Checks and takes the authorities of an epoch.
    ///
    /// # Errors
    /// Unless there are 1 to 1000, rising strictly by protocol key bytes, each with stake, a network key of its own and an
    /// address of 1 to 255 bytes.
    pub fn new(epoch: Epoch, authorities: Vec<Authority>) -> Result<Self, CommitteeError> {
        let count = authorities.len();
        if count == 0 || count > MAX_AUTHORITIES {
            return Err(CommitteeError::Size { count });
        }
        let mut total = 0u64;
        let mut network_keys = std::collections::BTreeSet::new();
        let mut previous: Option<[u8; 32]> = None;
        for (authority, member) in (0u16..).map(AuthorityIndex::new).zip(&authorities) {
            if member.stake == Stake::ZERO {
                return Err(CommitteeError::NoStake { authority });
            }
            total = total.saturating_add(member.stake.get());
            let key = member.protocol_key.to_bytes();
            if previous.is_some_and(|previous| previous >= key) {
                return Err(CommitteeError::Order { authority });
            }
            previous = Some(key);
            if !network_keys.insert(member.network_key) {
                return Err(CommitteeError::NetworkKeyRepeated { authority });
            }
            let length = member.address.len();
            if length == 0 || length > MAX_ADDRESS_BYTES {
                return Err(CommitteeError::Address { authority, length });
            }
        }
        if total > MAX_TOTAL_STAKE {
            return Err(CommitteeError::TotalStake);
        }
        let digest = CommitteeDigest::new(crypto::hash(CONTEXT, &canonical_bytes(epoch, &authorities)));
        Ok(Self { epoch, authorities, total_stake: Stake::new(total), digest })
    }

    /// The epoch that it serves.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How many authorities.
    pub const fn size(&self) -> usize {
        self.authorities.len()
    }

    /// All indexes, rising.
    pub fn indexes(&self) -> impl DoubleEndedIterator<Item = AuthorityIndex> + Clone + use<> {
        // A committee holds at most 1000 authorities, so no index is cut off.
        (0..u16::try_from(self.authorities.len()).unwrap_or(u16::MAX)).map(AuthorityIndex::new)
    }

    /// All authorities, in order of their indexes.
    pub fn authorities(&self) -> &[Authority] {
        &self.authorities
    }

    /// One authority; `None` outside the committee.
    pub fn authority(&self, index: AuthorityIndex) -> Option<&Authority> {
        self.authorities.get(index.as_usize())
    }

    /// The place of a protocol key.
    pub fn index_of(&self, key: &ProtocolKey) -> Option<AuthorityIndex> {
        self.indexes()
            .zip(&self.authorities)
            .find(|(_, member)| member.protocol_key == *key)
            .map(|(index, _)| index)
    }

    /// The place of a network key.
    pub fn index_of_network_key(&self, key: &[u8; 32]) -> Option<AuthorityIndex> {
        self.indexes()
            .zip(&self.authorities)
            .find(|(_, member)| member.network_key == *key)
            .map(|(index, _)| index)
    }

    /// Stake of an authority; zero outside the committee.
    pub fn stake(&self, index: AuthorityIndex) -> Stake {
        self.authority(index).map_or(Stake::ZERO, |authority| authority.stake)
    }

    /// Sum of all stake.
    pub const fn total_stake(&self) -> Stake {
        self.total_stake
    }

    /// Least stake over two thirds of the total: any two quorums share more than a third.
    pub const fn quorum_threshold(&self) -> Stake {
        Stake::new(self.total_stake.get().saturating_mul(2).saturating_div(3).saturating_add(1))
    }

    /// Least stake over one third of the total: holds at least one honest authority.
    pub const fn validity_threshold(&self) -> Stake {
        Stake::new(self.total_stake.get().saturating_div(3).saturating_add(1))
    }

    /// Whether `stake` is a quorum.
    pub fn is_quorum(&self, stake: Stake) -> bool {
        stake >= self.quorum_threshold()
    }

    /// Digest of the canonical bytes.
    pub const fn digest(&self) -> CommitteeDigest {
        self.digest
    }

    /// Canonical bytes: epoch, then the authorities in order.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        canonical_bytes(self.epoch, &self.authorities)
    }
}

fn canonical_bytes(epoch: Epoch, authorities: &[Authority]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.u16(1).u64(epoch.get()).count(authorities.len());
    for member in authorities {
        encoder
            .u64(member.stake.get())
            .raw(&member.protocol_key.to_bytes())
            .raw(&member.network_key)
            .bytes(member.address.as_bytes());
    }
    encoder.finish()
}

/// Adds up stake by authority, each authority once.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    counted: Vec<bool>,
    stake: Stake,
}

impl Tally {
    pub(crate) fn new(committee: &Committee) -> Self {
        Self { counted: vec![false; committee.size()], stake: Stake::ZERO }
    }

    /// Counts an authority; a second time changes nothing.
    pub(crate) fn add(&mut self, committee: &Committee, authority: AuthorityIndex) {
        if let Some(counted) = self.counted.get_mut(authority.as_usize())
            && !*counted
        {
            *counted = true;
            self.stake = self.stake.plus(committee.stake(authority));
        }
    }

    /// Whether an authority is counted.
    pub(crate) fn has(&self, authority: AuthorityIndex) -> bool {
        self.counted.get(authority.as_usize()).copied().unwrap_or(false)
    }

    pub(crate) fn stake(&self) -> Stake {
        self.stake
    }

    pub(crate) fn is_quorum(&self, committee: &Committee) -> bool {
        committee.is_quorum(self.stake)
    }
}
