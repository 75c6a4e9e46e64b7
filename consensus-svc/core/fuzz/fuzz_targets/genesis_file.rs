//! The text of genesis files.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| consensus_svc::fuzzing::genesis_file(bytes));
