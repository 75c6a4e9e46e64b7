use super::*;

fn pair(epoch: u64, round: u64) -> (Epoch, Round) {
    (Epoch::new(epoch), Round::new(round))
}

fn raise(guard: &mut Guard, (epoch, round): (Epoch, Round)) -> Result<(), GuardError> {
    guard.raise(epoch, round)
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(GUARD_FILE);
    (folder, path)
}

fn held(path: &Path) -> Option<(Epoch, Round)> {
    Guard::open(path, None).unwrap().1
}

/// Overwrites `length` bytes of a slot, as a write that was cut off would.
fn tear(path: &Path, slot: u64, length: usize) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xee; length], slot_offset(slot)).unwrap();
}

#[test]
fn a_new_guard_forbids_nothing_and_then_holds_what_it_was_raised_to() {
    let (_folder, path) = folder();
    assert_eq!(held(&path), None);
    assert_eq!(held(&path), None, "also when it is opened again");
    let (mut guard, _) = Guard::open(&path, None).unwrap();
    for round in 1..=5 {
        raise(&mut guard, pair(0, round)).unwrap();
        assert_eq!(held(&path), Some(pair(0, round)));
    }
    raise(&mut guard, pair(1, 1)).unwrap();
    assert_eq!(held(&path), Some(pair(1, 1)), "a later epoch is higher whatever the round");
}

#[test]
fn s06_a_guard_that_is_missing_beside_own_blocks_stops_every_start() {
    let (_folder, path) = folder();
    for _ in 0..2 {
        let error = Guard::open(&path, Some(pair(0, 7))).unwrap_err();
        assert!(matches!(&error, GuardError::Missing { own_last, .. } if *own_last == pair(0, 7)));
        assert!(error.to_string().contains("restore the guard file"), "{error}");
        assert!(!path.exists(), "a refused start must not leave a guard that the next one takes for good");
    }
}

#[test]
fn s06_a_crash_between_the_first_own_block_and_the_first_raise_leaves_a_guard_that_serves() {
    let (_folder, path) = folder();
    drop(Guard::open(&path, None).unwrap());
    let (mut guard, held) = Guard::open(&path, Some(pair(0, 1))).unwrap();
    assert_eq!(held, None);
    raise(&mut guard, pair(0, 1)).unwrap();
}

#[test]
fn it_never_goes_down() {
    let (_folder, path) = folder();
    let (mut guard, _) = Guard::open(&path, None).unwrap();
    raise(&mut guard, pair(1, 7)).unwrap();
    raise(&mut guard, pair(1, 7)).unwrap();
    for lower in [pair(1, 6), pair(0, 900)] {
        let error = raise(&mut guard, lower).unwrap_err();
        assert!(matches!(error, GuardError::Lower { held, asked } if held == pair(1, 7) && asked == lower));
    }
    assert_eq!(held(&path), Some(pair(1, 7)));
}

#[test]
fn s06_a_torn_write_leaves_the_pair_before() {
    for torn_bytes in [1, 8, 20, SLOT_BYTES] {
        let (_folder, path) = folder();
        let (mut guard, _) = Guard::open(&path, None).unwrap();
        raise(&mut guard, pair(0, 1)).unwrap();
        raise(&mut guard, pair(0, 2)).unwrap();
        let newest_slot = guard.newest.sequence % 2;
        drop(guard);
        tear(&path, newest_slot, torn_bytes);
        let (mut guard, found) = Guard::open(&path, None).unwrap();
        assert_eq!(found, Some(pair(0, 1)), "{torn_bytes}");
        raise(&mut guard, pair(0, 2)).unwrap();
        assert_eq!(held(&path), Some(pair(0, 2)));
    }
}

#[test]
fn s06_two_damaged_slots_stop_the_node() {
    let (_folder, path) = folder();
    raise(&mut Guard::open(&path, None).unwrap().0, pair(0, 3)).unwrap();
    tear(&path, 0, 9);
    tear(&path, 1, 9);
    let error = Guard::open(&path, None).unwrap_err();
    assert!(matches!(&error, GuardError::Damaged { path: named } if *named == path));
    assert!(error.to_string().contains("keep it down"), "{error}");
}

#[test]
fn an_emptied_or_zeroed_file_is_damaged_and_not_new() {
    let (_folder, path) = folder();
    for bytes in [vec![], vec![0; SLOT_DISTANCE + SLOT_BYTES]] {
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(Guard::open(&path, None), Err(GuardError::Damaged { .. })));
    }
}

#[test]
fn a_failed_raise_is_the_last_one() {
    let (_folder, path) = folder();
    let (mut guard, _) = Guard::open(&path, None).unwrap();
    raise(&mut guard, pair(0, 1)).unwrap();
    // A handle that may not write stands for a disk that fails.
    guard.file = File::open(&path).unwrap();
    assert!(matches!(raise(&mut guard, pair(0, 2)), Err(GuardError::Io { .. })));
    assert!(matches!(raise(&mut guard, pair(0, 3)), Err(GuardError::FailedBefore { .. })));
    assert_eq!(held(&path), Some(pair(0, 1)));
}

/// Stored bytes: a change here makes existing guards unreadable.
#[test]
fn a_slot_has_its_golden_bytes() {
    let record = Record { sequence: 3, epoch: Epoch::new(1), round: Round::new(0x0102) };
    let bytes = encode(&record);
    assert_eq!(
        hex::encode(&bytes[..BODY_BYTES]),
        "4d4e475541524431030000000000000001000000000000000201000000000000"
    );
    assert_eq!(decode(&bytes), Some(record));
}
