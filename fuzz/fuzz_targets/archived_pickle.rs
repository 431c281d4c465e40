//! The input is the object of a good archive, whose check sums a fuzzer would hardly find.
#![no_main]

use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weights_fuzz::exhaust("x.pt", &archive(bytes)));

fn archive(object: &[u8]) -> Vec<u8> {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let records = [("x/data.pkl", object), ("x/data/0", &[1; 16]), ("x/data/1", &[2; 64])];
    for (name, bytes) in records {
        zip.start_file(name, stored).expect("memory can be written");
        zip.write_all(bytes).expect("memory can be written");
    }
    zip.finish().expect("memory can be written").into_inner()
}
