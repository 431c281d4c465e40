//! The input is a zip file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weights_fuzz::exhaust("x.pt", bytes));
