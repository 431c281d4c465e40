//! The input is five pickles and storages.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weights_fuzz::exhaust("x.pth", bytes));
