//! Signed transfers of the reference ledger.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| executor_proxy::fuzzing::transfers(bytes));
