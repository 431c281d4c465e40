//! The input is a header and data.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weights_fuzz::exhaust("x.safetensors", bytes));
