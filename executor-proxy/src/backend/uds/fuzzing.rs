//! What a fuzzer runs over answers of an existing master.

use futures::FutureExt;
use metanode_proto::{
    executor::v1::CommitteeMember,
    legacy::v1::{LastBlockNumber, Response, ValidatorInfo, ValidatorInfoList, response::Payload},
};
use prost::Message;

use super::{
    committee::compare,
    cursor::{Numbers, start},
    frame,
};

/// Takes bytes for what a master sends on its connection of queries: one answer after the other, each read as a position
/// or as validators.
///
/// # Panics
/// If an answer takes more bytes than came, or a position goes past what the checks let through: a bug.
pub fn legacy_answers(mut bytes: &[u8]) {
    let mut numbers = Numbers::new(bytes.first().is_some_and(|byte| byte % 2 == 1));
    loop {
        let before = bytes.len();
        let answer = frame::answer(&mut bytes).now_or_never().expect("all that comes is there");
        let Ok(answer) = answer else { return };
        assert!(bytes.len() + 4 < before, "an answer without bytes");
        match answer {
            Payload::LastBlockNumber(said) => {
                let Ok(index) = numbers.read(&said) else { continue };
                assert!(index >= said.last_block_number, "the cursor is below a block that is there");
                if let Ok(start) = start(index, 5, false) {
                    assert!(start.index > 0 && start.rewound_from.is_some() == (index < 5));
                }
            }
            Payload::ValidatorInfoList(list) => {
                let ours = [member()];
                if compare(&ours, &list.validators).is_ok() {
                    assert_eq!((list.validators.len(), list.validators[0].stake.parse()), (1, Ok(3_u64)));
                }
            }
            _ => {}
        }
    }
}

fn member() -> CommitteeMember {
    CommitteeMember {
        stake: 3,
        protocol_key: vec![1; 32].into(),
        network_key: vec![2; 32].into(),
        address: String::new(),
    }
}

/// Answers as they should be.
pub(crate) fn answers() -> Vec<Vec<u8>> {
    let frame = |payload| {
        let body = Response { payload: Some(payload) }.encode_to_vec();
        [&u32::try_from(body.len()).expect("a small answer").to_be_bytes()[..], &body].concat()
    };
    let said = |last_block_number, last_global_exec_index| {
        frame(Payload::LastBlockNumber(LastBlockNumber {
            last_block_number,
            last_global_exec_index,
            is_ready: true,
            ..LastBlockNumber::default()
        }))
    };
    let validator = ValidatorInfo {
        stake: "3".to_owned(),
        protocol_key: vec![1; 32].into(),
        network_key: vec![2; 32].into(),
        ..ValidatorInfo::default()
    };
    let list = ValidatorInfoList { validators: vec![validator], ..ValidatorInfoList::default() };
    vec![
        [said(0, 0), said(4, 0), said(4, 6), said(7, 7)].concat(),
        [frame(Payload::ValidatorInfoList(list)), frame(Payload::Error("unknown".to_owned()))].concat(),
    ]
}
