//! The store as its users see it, and its files as a fault leaves them.

use metanode_shell::durable::{
    OpenError, ReadError, SCHEMA_VERSION, Store, StoreError, StoreOptions, WriteBatch,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const PART: usize = 64 << 10;

fn options() -> StoreOptions {
    StoreOptions { cache_bytes: 8 << 20, ..StoreOptions::default() }
}

fn impatient() -> StoreOptions {
    StoreOptions { lock_deadline: Duration::ZERO, ..options() }
}

fn new_store() -> (tempfile::TempDir, PathBuf, Store) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a/db");
    let store = Store::open(&path, &options()).expect("a new store");
    (folder, path, store)
}

/// The files of a closed store, past our own layer.
fn raw(path: &Path) -> sled::Db {
    sled::Config::new().path(path).segment_size(16 << 20).open().expect("a raw database")
}

fn put(key: &str, value: Vec<u8>) -> WriteBatch {
    let mut batch = WriteBatch::default();
    batch.put(key, value);
    batch
}

/// Bytes that differ from part to part.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at + at / PART) % 251).unwrap_or_default()).collect()
}

#[test]
fn s03_a_batch_comes_back_whole_after_reopening() {
    let (_folder, path, store) = new_store();
    store.apply(&put("m|index", vec![1])).unwrap();
    let mut batch = put("m|index", vec![2]);
    batch.put("c|2", bytes(3 * PART + 1));
    batch.remove("absent");
    store.apply(&batch).unwrap();
    store.sync().unwrap();
    drop(store);
    let store = Store::open(&path, &options()).unwrap();
    assert_eq!(store.get(b"m|index").unwrap(), Some(vec![2]));
    assert_eq!(store.get(b"c|2").unwrap(), Some(bytes(3 * PART + 1)));
    assert_eq!(store.get(b"absent").unwrap(), None);
}

#[test]
fn the_last_operation_on_a_key_counts() {
    let (_folder, _path, store) = new_store();
    let mut batch = put("a", vec![1]);
    batch.remove("a");
    batch.put("b", vec![1]);
    batch.put("b", vec![2]);
    assert_eq!((batch.len(), batch.size_bytes()), (2, 3));
    store.apply(&batch).unwrap();
    assert_eq!(store.get(b"a").unwrap(), None);
    assert_eq!(store.get(b"b").unwrap(), Some(vec![2]));
}

#[test]
fn values_on_both_sides_of_the_part_limit_come_back() {
    let (_folder, path, store) = new_store();
    let lengths = [0, 1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 1, 1 << 20];
    for length in lengths {
        store.apply(&put(&format!("v|{length}"), bytes(length))).unwrap();
        assert_eq!(store.get(format!("v|{length}").as_bytes()).unwrap(), Some(bytes(length)), "{length}");
    }
    assert_eq!(store.scan_prefix(b"", &[]).count(), lengths.len(), "parts show as entries");
    drop(store);
    let longest = raw(&path).iter().map(|entry| entry.unwrap().1.len()).max().unwrap();
    assert_eq!(longest, PART + 17, "an entry is larger than a part with its head");
}

#[test]
fn no_part_is_left_behind_by_shorter_values_and_removals() {
    let (_folder, path, store) = new_store();
    let mut removal = WriteBatch::default();
    removal.remove("gone");
    for batch in [
        put("shrinks", bytes(4 * PART)),
        put("shrinks", bytes(PART + 1)),
        put("inlined", bytes(2 * PART + 1)),
        put("inlined", bytes(PART)),
        put("gone", bytes(3 * PART)),
        removal,
    ] {
        store.apply(&batch).unwrap();
    }
    assert_eq!(store.get(b"shrinks").unwrap(), Some(bytes(PART + 1)));
    assert_eq!(store.get(b"inlined").unwrap(), Some(bytes(PART)));
    assert_eq!(store.get(b"gone").unwrap(), None);
    drop(store);
    // Two entries, two parts of `shrinks`, and the version.
    assert_eq!(raw(&path).len(), 5);
}

#[test]
fn s04_a_changed_value_is_damaged_with_its_key() {
    let (_folder, path, store) = new_store();
    let mut batch = put("whole", b"value".to_vec());
    batch.put("parts", bytes(2 * PART));
    batch.put("lost", bytes(2 * PART));
    batch.put("moved", b"elsewhere".to_vec());
    batch.put("short", b"x".to_vec());
    batch.put("good", b"good".to_vec());
    store.apply(&batch).unwrap();
    drop(store);

    let db = raw(&path);
    let flip = |key: &[u8]| {
        let mut stored = db.get(key).unwrap().unwrap().to_vec();
        *stored.last_mut().unwrap() ^= 1;
        db.insert(key, stored).unwrap();
    };
    flip(b"ewhole");
    flip(b"pparts\0\0\0\x01");
    db.remove(b"plost\0\0\0\x01").unwrap();
    let foreign = db.get(b"egood").unwrap().unwrap();
    db.insert(b"emoved", foreign).unwrap();
    db.insert(b"eshort", vec![0; 5]).unwrap();
    drop(db);

    let store = Store::open(&path, &options()).unwrap();
    for key in ["whole", "parts", "lost", "moved", "short"] {
        let error = store.get(key.as_bytes()).unwrap_err();
        let hex: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(matches!(&error, ReadError::Damaged { key } if *key == hex), "{key}: {error:?}");
    }
    assert_eq!(store.get(b"good").unwrap(), Some(b"good".to_vec()));
    let found: Vec<_> = store.scan_prefix(b"", &[]).map(|entry| entry.is_ok()).collect();
    assert_eq!(found.iter().filter(|ok| !**ok).count(), 5);
    assert_eq!(found.len(), 6);
}

#[test]
fn scans_keep_to_their_prefix_and_order() {
    let (_folder, _path, store) = new_store();
    let mut batch = WriteBatch::default();
    for key in ["b|1", "c|1", "c|2", "c|3", "d"] {
        batch.put(key, key);
    }
    batch.put("c|2", bytes(PART + 5));
    batch.put([b'c', 0xff], "beside");
    batch.put([0xff, 0xff], "end");
    store.apply(&batch).unwrap();
    let keys = |prefix: &[u8], from: &[u8]| -> Vec<Vec<u8>> {
        store.scan_prefix(prefix, from).map(|entry| entry.unwrap().0).collect()
    };
    assert_eq!(keys(b"c|", b""), [b"c|1", b"c|2", b"c|3"]);
    assert_eq!(keys(b"c|", b"c|2"), [b"c|2", b"c|3"]);
    assert_eq!(keys(b"c|", b"b|1"), [b"c|1", b"c|2", b"c|3"]);
    assert!(keys(b"c|", b"c|4").is_empty());
    assert!(keys(b"c|", b"d").is_empty());
    assert!(keys(b"x", b"").is_empty());
    assert_eq!(keys(b"\xff", b""), [b"\xff\xff"]);
    assert_eq!(keys(b"", b"").len(), 7);
    assert_eq!(store.scan_prefix(b"c|", b"").next_back().unwrap().unwrap().0, b"c|3");
    assert_eq!(store.last_with_prefix(b"c|").unwrap().unwrap().0, b"c|3");
    assert_eq!(store.last_with_prefix(b"x").unwrap(), None);
    assert_eq!(store.scan_prefix(b"c|2", b"").next().unwrap().unwrap().1, bytes(PART + 5));
}

#[test]
fn s08_a_second_process_is_refused_and_told_who_has_it() {
    let (_folder, path, store) = new_store();
    let error = Store::open(&path, &impatient()).unwrap_err();
    let own = std::process::id();
    assert!(
        matches!(&error, OpenError::Locked { path: named, holder } if *named == path && *holder == Some(own))
    );
    assert!(error.to_string().contains(&format!("is in use by process {own}")), "{error}");
    drop(store);
    Store::open(&path, &options()).unwrap();
}

#[test]
fn opening_waits_for_a_predecessor_that_ends() {
    let (_folder, path, store) = new_store();
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    let successor = std::thread::spawn(move || {
        ready.send(()).unwrap();
        Store::open(&path, &options()).map(drop)
    });
    started.recv().unwrap();
    drop(store);
    successor.join().unwrap().unwrap();
}

#[test]
fn s10_another_version_is_refused() {
    let (_folder, path, store) = new_store();
    drop(store);
    let db = raw(&path);
    db.insert(b"m|version", &(SCHEMA_VERSION + 1).to_be_bytes()).unwrap();
    drop(db);
    let error = Store::open(&path, &options()).unwrap_err();
    assert!(
        matches!(error, OpenError::Version { found, expected, .. } if found == SCHEMA_VERSION + 1 && expected == SCHEMA_VERSION)
    );
    let db = raw(&path);
    db.remove(b"m|version").unwrap();
    db.insert(b"foreign", b"entry").unwrap();
    drop(db);
    assert!(matches!(Store::open(&path, &options()), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_blob_file_ends_all_promises() {
    let (_folder, path, store) = new_store();
    store.apply(&put("a", vec![1])).unwrap();
    store.sync().unwrap();
    let syncs = store.syncs();
    let blob = path.join("blobs/7");
    fs::write(&blob, b"page").unwrap();
    assert!(matches!(store.sync(), Err(StoreError::BlobFile { path }) if path == blob));
    assert_eq!(store.syncs(), syncs);
    drop(store);
    let error = Store::open(&path, &options()).unwrap_err();
    assert!(matches!(error, OpenError::Prepare { source: StoreError::BlobFile { .. }, .. }));
}

#[test]
fn s04_unreadable_files_are_an_error_and_not_a_panic() {
    let (_folder, path, store) = new_store();
    store.apply(&put("a", bytes(3 * PART))).unwrap();
    store.sync().unwrap();
    drop(store);
    fs::write(path.join("conf"), b"segment_size: what\nnot a configuration").unwrap();
    let error = Store::open(&path, &options()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(Store::open(Path::new("/dev/null/db"), &options()).is_err());
}

/// sled ends its log in silence at a record that it cannot read: 40 of 40 flipped bits in the newest segment opened
/// without an error and without what came after. So a database may come back shorter, never different; that it is
/// shorter is noticed by those who know its position.
#[test]
fn s04_a_flipped_bit_never_changes_what_is_read() {
    let (folder, path, store) = new_store();
    for number in 0_u8..100 {
        store.apply(&put(&format!("v|{number:03}"), vec![number; 3_000])).unwrap();
    }
    store.sync().unwrap();
    drop(store);
    let log = fs::read(path.join("db")).unwrap();
    for at in [7, log.len() / 4, log.len() / 2, log.len() * 3 / 4] {
        let copy = folder.path().join(format!("flipped-{at}"));
        fs::create_dir_all(copy.join("blobs")).unwrap();
        fs::copy(path.join("conf"), copy.join("conf")).unwrap();
        let mut flipped = log.clone();
        flipped[at] ^= 0x10;
        fs::write(copy.join("db"), flipped).unwrap();
        let Ok(store) = Store::open(&copy, &options()) else { continue };
        for (found, entry) in (0_u8..).zip(store.scan_prefix(b"v|", b"")) {
            let Ok((key, value)) = entry else { break };
            assert_eq!(key, format!("v|{found:03}").as_bytes(), "flipped at {at}");
            assert_eq!(value, vec![found; 3_000], "flipped at {at}");
        }
    }
    assert_eq!(Store::open(&path, &options()).unwrap().scan_prefix(b"", b"").count(), 100);
}

#[test]
fn s01_an_end_that_was_never_confirmed_is_not_missed() {
    let (folder, path, store) = new_store();
    store.apply(&put("a", vec![1])).unwrap();
    store.sync().unwrap();
    let log = fs::read(path.join("db")).unwrap();
    store.apply(&put("b", vec![2])).unwrap();
    let copy = folder.path().join("torn");
    fs::create_dir_all(copy.join("blobs")).unwrap();
    fs::copy(path.join("conf"), copy.join("conf")).unwrap();
    fs::write(copy.join("db"), log).unwrap();
    let store = Store::open(&copy, &options()).unwrap();
    assert_eq!((store.get(b"a").unwrap(), store.get(b"b").unwrap()), (Some(vec![1]), None));
}

/// The child of the next test: writes batches of an index and a record of it, and prints each index that is durable.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os("METANODE_TEST_KILLED_STORE") else { return };
    let store = Store::open(Path::new(&path), &options()).unwrap();
    for index in 1_u64.. {
        let mut batch = put("m|index", index.to_be_bytes().to_vec());
        batch.put([b"c|", index.to_be_bytes().as_slice()].concat(), bytes(PART + 3));
        store.apply(&batch).unwrap();
        store.sync().unwrap();
        println!("durable {index}");
    }
}

#[test]
fn s01_what_was_durable_at_a_kill_is_there_and_batches_are_whole() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_writes_until_it_is_killed", "--nocapture"])
        .env("METANODE_TEST_KILLED_STORE", &path)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let durable = lines.filter_map(|line| line.unwrap().rsplit_once("durable ")?.1.parse::<u64>().ok());
    let acknowledged = durable.take(30).last().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    let store = Store::open(&path, &options()).unwrap();
    let index = store.get(b"m|index").unwrap().unwrap();
    let index = u64::from_be_bytes(index.try_into().unwrap());
    assert!(acknowledged >= 30 && index >= acknowledged, "{acknowledged} was durable, {index} is there");
    let records: Vec<_> = store.scan_prefix(b"c|", b"").map(Result::unwrap).collect();
    assert_eq!(u64::try_from(records.len()).unwrap(), index);
    assert!(records.iter().all(|(_, value)| *value == bytes(PART + 3)));
}
