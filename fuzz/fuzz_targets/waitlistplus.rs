//! Any body from WaitlistPlus.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| waitbridge_fuzz::normalized::check("waitlistplus", body));
