//! Requests of clients.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| consensus_svc::fuzzing::submit_messages(bytes));
