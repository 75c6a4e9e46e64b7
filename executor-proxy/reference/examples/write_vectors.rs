//! Writes `vectors/*.json` anew: `cargo run -p reference-ledger --example write_vectors`. A change of their content is a
//! change of the ledger's rules.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

#[path = "../tests/vectors/format.rs"]
mod format;

use std::{fs, path::Path};

use format::{CommitVector, Holding, TransactionVector, Vector};
use reference_ledger::{AccountKey, ChainId, SigningKey, TransferBody, account_key, transaction_digest};

const CHAIN: ChainId = ChainId([0xc1; 32]);

fn main() {
    write("outcomes.json", outcomes());
    write("zip215.json", zip215());
    write("small_order.json", small_order());
    write("many.json", many());
}

fn write(name: &str, vector: Vector) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    fs::write(&path, serde_json::to_string_pretty(&vector.computed()).unwrap() + "\n").unwrap();
    println!("wrote {}", path.display());
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from([seed; 32])
}

fn transfer(from: u8, to: AccountKey, amount: u64, nonce: u64, memo: &[u8]) -> Vec<u8> {
    TransferBody { chain_id: CHAIN, recipient: to, amount, nonce, memo }.sign(&key(from)).unwrap()
}

fn account(seed: u8) -> AccountKey {
    account_key(&key(seed))
}

fn chain(description: &str, accounts: &[(AccountKey, u64)], commits: Vec<Vec<(Vec<u8>, bool)>>) -> Vector {
    let mut previous = [0; 32];
    let commits = (1_u64..)
        .zip(commits)
        .map(|(index, transactions)| {
            // Real digests come from consensus; any distinct ones do here.
            let digest = transaction_digest(&index.to_le_bytes()).0;
            let commit = CommitVector {
                index,
                epoch: index / 4,
                previous_digest: hex::encode(previous),
                digest: hex::encode(digest),
                timestamp_ms: 1_700_000_000_000 + index,
                transactions: transactions
                    .into_iter()
                    .map(|(bytes, duplicate)| TransactionVector { bytes: hex::encode(bytes), duplicate })
                    .collect(),
                results: Vec::new(),
                changes: Vec::new(),
                state_root: String::new(),
            };
            previous = digest;
            commit
        })
        .collect();
    Vector {
        description: description.to_owned(),
        chain_id: CHAIN.to_string(),
        accounts: accounts
            .iter()
            .map(|(key, balance)| Holding { public_key: key.to_string(), balance: *balance })
            .collect(),
        genesis_state_root: String::new(),
        commits,
    }
}

fn outcomes() -> Vector {
    let fresh = |bytes: Vec<u8>| (bytes, false);
    let other_chain =
        TransferBody { chain_id: ChainId([0xc2; 32]), recipient: account(2), amount: 1, nonce: 1, memo: b"" };
    let mut forged = transfer(1, account(2), 1, 1, b"");
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let mut trailing = transfer(1, account(2), 1, 1, b"");
    trailing.push(0);
    let mut version = transfer(1, account(2), 1, 1, b"");
    version[0] = 2;
    let first = transfer(1, account(2), 10, 0, b"first");
    let commits = vec![
        vec![
            fresh(first.clone()),
            fresh(Vec::new()),
            fresh(b"no transfer".to_vec()),
            fresh(trailing),
            fresh(version),
            fresh(other_chain.sign(&key(1)).unwrap()),
            fresh(forged),
            fresh(transfer(9, account(2), 0, 0, b"")),
        ],
        vec![
            (first.clone(), true),
            fresh(first),
            fresh(transfer(1, account(2), 1, 3, b"")),
            fresh(transfer(1, account(2), 91, 1, b"")),
            fresh(transfer(1, account(2), 90, 1, b"all of it")),
            fresh(transfer(1, account(2), 0, 2, b"a zero amount uses the nonce")),
            fresh(transfer(1, account(8), 0, 3, b"and makes no account")),
        ],
        Vec::new(),
        vec![
            fresh(transfer(2, account(2), 40, 0, b"to itself")),
            fresh(transfer(2, account(2), 101, 1, b"more than it has, to itself")),
            fresh(transfer(2, account(3), 1, 1, b"the recipient is full")),
            fresh(transfer(2, account(4), 100, 1, b"to a new account")),
            fresh(transfer(4, account(1), 100, 0, b"which sends on within the commit")),
        ],
    ];
    let accounts = [(account(1), 100), (account(3), u64::MAX), (account(7), 0)];
    chain("Every outcome and every code, in the order of the checks.", &accounts, commits)
}

/// The sender's key is the neutral element, R the point of order two, s zero. The equation with the cofactor holds, the
/// one without does not.
fn zip215() -> Vector {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut order_two = [0xff; 32];
    order_two[0] = 0xec;
    order_two[31] = 0x7f;
    let sender = AccountKey(neutral);
    let mut bytes = transfer(1, account(2), 5, 0, b"zip 215");
    bytes[33..65].copy_from_slice(sender.as_bytes());
    let at = bytes.len() - 64;
    bytes[at..at + 32].copy_from_slice(&order_two);
    bytes[at + 32..].fill(0);
    chain(
        "A signature that ZIP 215 accepts and the strict rules of other libraries refuse.",
        &[(sender, 5)],
        vec![vec![(bytes, false)]],
    )
}

/// All encodings of the eight points of small order; the last six are not canonical.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

/// The order of the group, little-endian: a canonical s is below it.
const GROUP_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Every point of small order, in every encoding, as key and as R, s zero: ZIP 215 accepts all of them, whatever is signed.
/// Then what it refuses: an s that is not canonical, and an R and a key that are no points.
fn small_order() -> Vector {
    let points: Vec<[u8; 32]> =
        SMALL_ORDER.iter().map(|point| hex::decode(point).unwrap().try_into().unwrap()).collect();
    let mut accounts: Vec<_> = points.iter().map(|point| (AccountKey(*point), 14)).collect();
    accounts.push((account(1), 10));
    let commits = points.iter().map(|sender| {
        let patched = (0_u64..).zip(&points).map(|(nonce, r)| {
            let mut bytes = transfer(1, account(2), 1, nonce, b"small order");
            bytes[33..65].copy_from_slice(sender);
            let at = bytes.len() - 64;
            bytes[at..at + 32].copy_from_slice(r);
            bytes[at + 32..].fill(0);
            (bytes, false)
        });
        patched.collect()
    });
    let mut commits: Vec<Vec<_>> = commits.collect();
    let mut high_s = transfer(1, account(2), 1, 0, b"s is not canonical");
    let at = high_s.len() - 32;
    let mut carry = 0;
    for (byte, add) in high_s[at..].iter_mut().zip(GROUP_ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    // 2 is the y of no point.
    let mut no_r = transfer(1, account(2), 1, 0, b"R is no point");
    let at = no_r.len() - 64;
    no_r[at..at + 32].fill(0);
    no_r[at] = 2;
    let mut no_key = transfer(1, account(2), 1, 0, b"the key is no point");
    no_key[33..65].fill(0);
    no_key[33] = 2;
    let good = transfer(1, account(2), 1, 0, b"among them a good one");
    commits.push([high_s, no_r, no_key, good].into_iter().map(|bytes| (bytes, false)).collect());
    chain("Signatures of small order, all encodings, and signatures that are none.", &accounts, commits)
}

fn many() -> Vector {
    let accounts: Vec<_> = (1..=20).map(|seed| (account(seed), 1_000)).collect();
    let mut nonces = [0_u64; 41];
    let mut state = 1_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let commits = (0..12)
        .map(|_| {
            (0..draw(30))
                .map(|_| {
                    let from = usize::try_from(1 + draw(20)).unwrap();
                    let to = u8::try_from(1 + draw(40)).unwrap();
                    let nonce = nonces[from];
                    nonces[from] += 1;
                    let memo = vec![0x6d; usize::try_from(draw(20)).unwrap()];
                    (transfer(u8::try_from(from).unwrap(), account(to), draw(120), nonce, &memo), false)
                })
                .collect()
        })
        .collect();
    chain("Pseudo-random transfers between forty accounts.", &accounts, commits)
}
