//! Answers of an executor.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| consensus_svc::fuzzing::acknowledgements(bytes));
