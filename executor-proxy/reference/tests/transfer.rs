//! The wire format: golden bytes, refusals, signatures.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use reference_ledger::{
    AccountKey, ChainId, DecodeError, MAX_MEMO_BYTES, MIN_TRANSFER_BYTES, MemoTooLong, SigningKey,
    TransferBody, UnverifiedTransfer, account_key, verify_batch,
};

const CHAIN: ChainId = ChainId([0xaa; 32]);

fn key(seed: u8) -> SigningKey {
    SigningKey::from([seed; 32])
}

fn transfer(memo: &[u8]) -> Vec<u8> {
    TransferBody { chain_id: CHAIN, recipient: AccountKey([0xbb; 32]), amount: 0x0102, nonce: 0x0304, memo }
        .sign(&key(7))
        .unwrap()
}

#[test]
fn golden_bytes_of_a_transfer() {
    let golden = concat!(
        "01",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c",
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        "0201000000000000",
        "0403000000000000",
        "04000000",
        "6d656d6f",
    );
    let bytes = transfer(b"memo");
    assert_eq!(bytes.len(), MIN_TRANSFER_BYTES + 4);
    assert_eq!(hex::encode(&bytes[..bytes.len() - 64]), golden);
    let signature = concat!(
        "57cc10ccd1575619109efa6c7bd28553c5f8b6de928a64b6e0185bb73318aae1",
        "31babf77f739254d80873d4d52c49379ac657c84901cb07f3055ae799e449b0c",
    );
    assert_eq!(hex::encode(&bytes[bytes.len() - 64..]), signature);
}

#[test]
fn a_transfer_decodes_to_what_was_signed() {
    let bytes = transfer(b"memo");
    let verified = UnverifiedTransfer::decode(&bytes).unwrap().verify().unwrap();
    assert_eq!(verified.sender, account_key(&key(7)));
    assert_eq!(
        (verified.body.amount, verified.body.nonce, verified.body.memo),
        (0x0102, 0x0304, &b"memo"[..])
    );
}

#[test]
fn every_cut_is_refused() {
    let bytes = transfer(b"memo");
    for end in 0..bytes.len() {
        assert!(UnverifiedTransfer::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_byte_after_the_signature_is_refused() {
    let mut bytes = transfer(b"");
    bytes.push(0);
    assert_eq!(UnverifiedTransfer::decode(&bytes), Err(DecodeError::TrailingBytes { count: 1 }));
}

#[test]
fn another_version_is_refused() {
    let mut bytes = transfer(b"");
    bytes[0] = 2;
    assert_eq!(UnverifiedTransfer::decode(&bytes), Err(DecodeError::UnknownVersion { version: 2 }));
}

#[test]
fn the_longest_memo_passes_and_one_byte_more_does_not() {
    let longest = vec![1; MAX_MEMO_BYTES];
    let bytes = transfer(&longest);
    assert_eq!(UnverifiedTransfer::decode(&bytes).unwrap().claimed().body.memo, longest);

    let size_bytes = MAX_MEMO_BYTES + 1;
    let body = TransferBody {
        chain_id: CHAIN,
        recipient: AccountKey([0; 32]),
        amount: 0,
        nonce: 0,
        memo: &vec![1; size_bytes],
    };
    assert_eq!(body.sign(&key(7)), Err(MemoTooLong { size_bytes }));
    let mut forged = transfer(b"");
    forged[113..117].copy_from_slice(&u32::try_from(size_bytes).unwrap().to_le_bytes());
    assert_eq!(UnverifiedTransfer::decode(&forged), Err(DecodeError::MemoTooLong { size_bytes }));
}

#[test]
fn a_flip_of_any_byte_is_noticed() {
    let bytes = transfer(b"memo");
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let verified = UnverifiedTransfer::decode(&flipped).map(|transfer| transfer.verify().is_ok());
        assert!(!matches!(verified, Ok(true)), "byte {at}");
    }
}

#[test]
fn one_bad_signature_in_a_batch_is_found_and_the_others_stand() {
    let good: Vec<_> = (0..5).map(|n| transfer(&[n])).collect();
    let mut bad = good.clone();
    let last = bad[3].len() - 1;
    bad[3][last] ^= 1;
    let decode = |all: &[Vec<u8>]| {
        let decoded: Vec<_> = all.iter().map(|bytes| UnverifiedTransfer::decode(bytes).unwrap()).collect();
        verify_batch(&decoded)
    };
    assert_eq!(decode(&good), [true; 5]);
    assert_eq!(decode(&bad), [true, true, true, false, true]);
    assert_eq!(decode(&bad[3..4]), [false]);
    assert_eq!(decode(&[]), []);
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(transfer) = UnverifiedTransfer::decode(&bytes) {
            let _ = transfer.verify();
        }
    }
}
