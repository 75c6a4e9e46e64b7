//! Answers of an existing master, over the framed protocol.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| executor_proxy::fuzzing::legacy_answers(bytes));
