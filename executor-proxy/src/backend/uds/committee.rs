//! The master's validators beside the committee of genesis. Pure.
//!
//! Compared are the number of members, their protocol and network keys, and their stakes, in any order. Not compared, since this protocol
//! does not carry it or consensus does not know it: the chain id, the parameters, the order, addresses, names, the other key, and
//! the digest of any committee after that of genesis.

use base64::{Engine, prelude::BASE64_STANDARD};
use metanode_proto::{executor::v1::CommitteeMember, legacy::v1::ValidatorInfo};
use thiserror::Error;

/// The first thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Difference {
    /// Another number of members.
    #[error("the master has {theirs} validators, the genesis file {ours}")]
    Count {
        /// Of genesis.
        ours: usize,
        /// Of the master.
        theirs: usize,
    },
    /// A member that the master does not have.
    #[error("no validator of the master has protocol_key {protocol_key}")]
    Missing {
        /// Its key, in hex.
        protocol_key: String,
    },
    /// Another network key.
    #[error("the master has another network_key of {protocol_key}")]
    NetworkKey {
        /// The member's protocol key, in hex.
        protocol_key: String,
    },
    /// Another stake.
    #[error("the master has stake `{theirs}` of {protocol_key}, the genesis file {ours}")]
    Stake {
        /// The member's protocol key, in hex.
        protocol_key: String,
        /// Of genesis.
        ours: u64,
        /// As the master writes it; at most 64 characters of it.
        theirs: String,
    },
}

/// Compares all that both sides know.
///
/// # Errors
/// The first [`Difference`].
pub(super) fn compare(ours: &[CommitteeMember], theirs: &[ValidatorInfo]) -> Result<(), Difference> {
    if ours.len() != theirs.len() {
        return Err(Difference::Count { ours: ours.len(), theirs: theirs.len() });
    }
    // The keys of genesis differ from each other, so equal counts leave nobody over.
    for member in ours {
        let protocol_key = || hex::encode(&member.protocol_key);
        let same = |validator: &&ValidatorInfo| key(&validator.protocol_key)[..] == member.protocol_key[..];
        let Some(validator) = theirs.iter().find(same) else {
            return Err(Difference::Missing { protocol_key: protocol_key() });
        };
        if key(&validator.network_key)[..] != member.network_key[..] {
            return Err(Difference::NetworkKey { protocol_key: protocol_key() });
        }
        if validator.stake.parse() != Ok(member.stake) {
            let theirs = validator.stake.chars().take(64).collect();
            return Err(Difference::Stake { protocol_key: protocol_key(), ours: member.stake, theirs });
        }
    }
    Ok(())
}

/// A key in either form: 32 bare bytes, or base64 text of them.
fn key(field: &[u8]) -> Vec<u8> {
    if field.len() == 32 {
        return field.to_vec();
    }
    BASE64_STANDARD.decode(field).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u8) -> CommitteeMember {
        CommitteeMember {
            stake: u64::from(number),
            protocol_key: vec![number; 32].into(),
            network_key: vec![number + 100; 32].into(),
            address: String::new(),
        }
    }

    fn validator(number: u8) -> ValidatorInfo {
        ValidatorInfo {
            stake: number.to_string(),
            protocol_key: BASE64_STANDARD.encode([number; 32]).into(),
            network_key: BASE64_STANDARD.encode([number + 100; 32]).into(),
            ..ValidatorInfo::default()
        }
    }

    #[test]
    fn f06_validators_are_the_committee_in_any_order_and_either_form_of_key() {
        let ours = [member(1), member(2)];
        assert_eq!(compare(&ours, &[validator(2), validator(1)]), Ok(()));
        let bare = ValidatorInfo {
            protocol_key: vec![2; 32].into(),
            network_key: vec![102; 32].into(),
            ..validator(2)
        };
        assert_eq!(compare(&ours, &[validator(1), bare]), Ok(()));
    }

    #[test]
    fn f06_whatever_differs_is_told_by_name() {
        let (ours, protocol_key) = ([member(1), member(2)], hex::encode([2; 32]));
        assert_eq!(compare(&ours, &[validator(1)]), Err(Difference::Count { ours: 2, theirs: 1 }));
        let missing = Err(Difference::Missing { protocol_key: protocol_key.clone() });
        assert_eq!(compare(&ours, &[validator(1), validator(3)]), missing);
        assert_eq!(compare(&ours, &[validator(1), validator(1)]), missing);
        let network = ValidatorInfo { network_key: "no".into(), ..validator(2) };
        let told = Err(Difference::NetworkKey { protocol_key: protocol_key.clone() });
        assert_eq!(compare(&ours, &[validator(1), network]), told);
        let theirs = "2.0".to_owned();
        let stake = ValidatorInfo { stake: theirs.clone(), ..validator(2) };
        let told = Err(Difference::Stake { protocol_key, ours: 2, theirs });
        assert_eq!(compare(&ours, &[validator(1), stake]), told);
    }
}
