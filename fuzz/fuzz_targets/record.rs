#![no_main]

#[path = "../claims.rs"]
#[allow(dead_code, reason = "each target tries one claim of several")]
mod claims;

libfuzzer_sys::fuzz_target!(|data: &[u8]| claims::record(data));
