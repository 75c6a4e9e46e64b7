//! What the corpora start from: whole and valid inputs, for a fuzzer to spoil.

use super::{commit_range, subject::World};
use crate::{
    block::VerifiedBlock,
    commit::Commit,
    testkit::drawing,
    types::{CommitDigest, CommitIndex},
};

/// Makes the seeds of a target.
pub type Seeds = fn() -> Vec<Vec<u8>>;

/// Seeds of every target of this crate, by name.
pub const SEEDS: [(&str, Seeds); 5] = [
    ("block", blocks),
    ("commit", commits),
    ("commit_range", commit_ranges),
    ("machine", machines),
    ("submit", submits),
];

fn drawn(text: &str) -> Vec<VerifiedBlock> {
    let world = World::of(0);
    drawing::draw(&world.genesis, &world.signers, text).blocks().to_vec()
}

/// A block alone, a few rounds of three authorities, twins.
fn blocks() -> Vec<Vec<u8>> {
    ["B1:[*] tx=2", "BCD1:[*] tx; BCD2:[BCD1]; BCD3..6:[*]", "BCD1:[*]; B1b:[ABCD0] tx; CD2:[BCD1]"]
        .map(|text| drawn(text).iter().flat_map(|block| piece(block.signed_bytes())).collect())
        .to_vec()
}

/// A length in two bytes, then the bytes.
fn piece(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("drawn blocks are small");
    [&length.to_le_bytes()[..], bytes].concat()
}

fn commits() -> Vec<Vec<u8>> {
    let blocks: Vec<_> = drawn("ABCD1:[*]; ABCD2:[*]").iter().map(VerifiedBlock::reference).collect();
    let full = Commit {
        index: CommitIndex::new(1),
        epoch: World::of(0).genesis.committee().epoch(),
        previous_digest: CommitDigest::ZERO,
        timestamp: World::of(0).genesis.timestamp(),
        closing: true,
        leaders: blocks.iter().take(2).copied().collect(),
        blocks,
        duplicate_marks: vec![5].into(),
    };
    let empty = Commit {
        leaders: Vec::new(),
        blocks: Vec::new(),
        duplicate_marks: Vec::new().into(),
        ..full.clone()
    };
    [full, empty].map(|commit| commit.canonical_bytes()).to_vec()
}

/// One commit of two blocks, and a group in three pieces.
pub(super) fn commit_ranges() -> Vec<Vec<u8>> {
    let blocks = drawn("ABCD1:[*] tx; ABCD2:[*]");
    let (mut index, mut previous_digest) = (CommitIndex::NONE, CommitDigest::ZERO);
    let mut piece = |blocks: &[VerifiedBlock], closing: bool| {
        index = index.next();
        let references: Vec<_> = blocks.iter().map(VerifiedBlock::reference).collect();
        let commit = Commit {
            index,
            epoch: World::of(0).genesis.committee().epoch(),
            previous_digest,
            timestamp: World::of(0).genesis.timestamp(),
            closing,
            leaders: references.iter().take(1).copied().collect(),
            blocks: references,
            duplicate_marks: Vec::new().into(),
        };
        previous_digest = commit.digest();
        commit
    };
    let (first, rest) = blocks.split_at(2);
    let (second, third) = rest.split_at(2);
    let group = [piece(first, false), piece(second, false), piece(third, true)];
    (index, previous_digest) = (CommitIndex::NONE, CommitDigest::ZERO);
    let alone = Commit { index: index.next(), previous_digest, closing: true, ..group[0].clone() };
    vec![commit_range::encode(&[alone], first), commit_range::encode(&group, &blocks)]
}

/// Rounds, rounds with blocks kept back and fetched, crashes, twins, rounds that are kept back until only ranges help, and that
/// again after each crash.
fn machines() -> Vec<Vec<u8>> {
    let round = |kept: u8| [0, 0, kept, 0, 0, 5, 0, 5, 0, 5];
    let ranges = [17, 0, 2, 0, 17, 0, 2, 0, 9, 50];
    let seen = [[16, 0, 1], [16, 1, 1], [16, 2, 2]].concat();
    let away = [round(0).repeat(3), round(255).repeat(14), seen, ranges.repeat(4), vec![18, 1, 1, 18, 2, 1]]
        .concat();
    let killed = [&away[..], &[14, 2, 19, 0, 19, 1, 19, 2]].concat();
    let heard = [13, 0, 0, 0, 13, 0, 0, 1, 13, 0, 0, 2];
    let crashing = [&[0, 2, 0, 0, 0, 1, 0, 2, 0, 3, 9, 200, 11, 2, 30, 0, 31, 1, 14, 3][..], &heard].concat();
    vec![
        [vec![0, 0], [0, 0, 0, 0, 1, 40, 1, 9, 0, 7, 0, 5, 9, 60].repeat(24)].concat(),
        [vec![1, 0], [0, 0, 2, 0, 0, 9, 0, 9, 0, 9, 10, 200, 8, 0].repeat(16)].concat(),
        [vec![2, 0], crashing.repeat(14)].concat(),
        [
            vec![0, 0],
            [0, 0, 0, 200, 2, 1, 7, 2, 7, 0, 1, 0, 1, 0, 1, 5, 0, 2, 6, 0, 1, 2, 3, 4, 5, 0, 9, 1].repeat(16),
        ]
        .concat(),
        [vec![0, 0], away.repeat(3)].concat(),
        [vec![2, 0], killed.repeat(3)].concat(),
    ]
}

/// Batches that fit, that do not, that repeat.
fn submits() -> Vec<Vec<u8>> {
    vec![
        [50, 2, 10, 1, 20, 2, 50, 7].repeat(8),
        [0, 3, 200, 1, 200, 2, 200, 3].repeat(6),
        vec![0, 1, 0, 0, 0, 1, 253, 0, 0, 1, 252, 0, 10, 2, 5, 5, 5, 5],
    ]
}
