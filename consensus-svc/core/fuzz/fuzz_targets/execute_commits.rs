//! Streams of commits to an executor.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| executor_proxy::fuzzing::execute_commits(bytes));
