//! Messages between authorities.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| consensus_svc::fuzzing::peer_messages(bytes));
