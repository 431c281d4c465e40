//! The input is one pickle.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weights_fuzz::exhaust("x.pkl", bytes));
