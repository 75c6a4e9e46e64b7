//! Signed blocks of other authorities.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| consensus_core::testkit::fuzzing::block(bytes));
