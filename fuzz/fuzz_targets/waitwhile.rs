//! Any body from Waitwhile, as if it were signed.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| waitbridge_fuzz::normalized::check("waitwhile", body));
