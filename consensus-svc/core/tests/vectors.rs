//! Every recorded case of the commit rule passes, and a changed record fails.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

#[path = "support/vectors.rs"]
mod vectors;

use std::{fs, path::Path};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

#[test]
fn every_recorded_case_passes() {
    let mut cases = 0;
    for entry in fs::read_dir(folder()).expect("vectors are beside this test") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        for case in vectors::load(&path).expect("vectors are readable") {
            case.replay().unwrap_or_else(|error| panic!("{}: {error}", case.name));
            cases += 1;
        }
    }
    assert_eq!(cases, 412);
}

#[test]
fn a_changed_record_fails() {
    let text = fs::read_to_string(folder().join("scenarios.json")).expect("vectors are readable");
    let changed = text.replacen(r#""status":"commit""#, r#""status":"skip""#, 1);
    assert_ne!(text, changed);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), changed).expect("a writable temporary file");
    let failures = vectors::load(file.path())
        .expect("still readable")
        .iter()
        .filter(|case| case.replay().is_err())
        .count();
    assert_eq!(failures, 1);
}
