//! CIFAR-10, binary version.
//!
//! A batch file is a row of records of 3073 bytes: the class (0..10), then 32×32 red, green and blue values
//! (A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009).

use crate::{Error, InMemory, Result, Split};
use std::fs;
use std::path::{Path, PathBuf};

const SHAPE: (u32, u32, u32) = (3, 32, 32);
const RECORD: usize = 1 + 3 * 32 * 32;
const CLASSES: usize = 10;

/// Whether a file of this name is a CIFAR-10 batch.
pub(crate) fn is_batch(name: &str) -> bool {
    name.ends_with(".bin") && (name.starts_with("data_batch") || name.starts_with("test_batch"))
}

/// Reads one batch file, or those of a folder: `data_batch_*.bin` for training, `test_batch.bin` for testing.
///
/// `split` matters for a folder only. Any number of records is accepted, whole ones only.
///
/// # Errors
/// [`Error::NoSplit`] if the folder lacks the files, [`Error::WrongRecordSize`] for a file of any other size than a
/// multiple of 3073 bytes, [`Error::Empty`], [`Error::LabelOutOfRange`], [`Error::Io`].
pub fn read(path: &Path, split: Split) -> Result<InMemory> {
    let files = if path.is_dir() { batches(path, split)? } else { vec![path.to_path_buf()] };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for file in &files {
        for record in read_records(file)?.chunks_exact(RECORD) {
            labels.push(i64::from(record[0]));
            pixels.extend_from_slice(&record[1..]);
        }
    }
    if labels.is_empty() {
        return Err(Error::Empty(path.into()));
    }
    InMemory::new(&crate::open::short_name(path), SHAPE, pixels, Some(labels), CLASSES)
}

fn batches(folder: &Path, split: Split) -> Result<Vec<PathBuf>> {
    let prefix = match split {
        Split::Train => "data_batch",
        Split::Test => "test_batch",
    };
    let wanted = |name: &String| is_batch(name) && name.starts_with(prefix);
    let names: Vec<_> = crate::open::file_names(folder)?.into_iter().filter(wanted).collect();
    if names.is_empty() {
        return Err(Error::NoSplit { path: folder.into(), split });
    }
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

fn read_records(file: &Path) -> Result<Vec<u8>> {
    let io = |source| Error::Io { path: file.into(), source };
    let wrong = |bytes| Error::WrongRecordSize { path: file.into(), bytes };
    let size = fs::metadata(file).map_err(io)?.len();
    if !size.is_multiple_of(RECORD as u64) {
        return Err(wrong(size)); // before it is read: any other file may be huge
    }
    let bytes = fs::read(file).map_err(io)?;
    if bytes.len().is_multiple_of(RECORD) { Ok(bytes) } else { Err(wrong(bytes.len() as u64)) }
}
