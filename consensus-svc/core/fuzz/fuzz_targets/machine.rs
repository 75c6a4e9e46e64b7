//! A machine among peers who do anything.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| consensus_core::testkit::fuzzing::machine(bytes));
