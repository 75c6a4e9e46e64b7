//! Answers to `FetchCommits`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| consensus_core::testkit::fuzzing::commit_range(bytes));
