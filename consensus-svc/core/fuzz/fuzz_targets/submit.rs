//! Transactions of clients through a machine.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| consensus_core::testkit::fuzzing::submit(bytes));
