//! MNIST and its like: IDX files, plain or gzipped.
//!
//! An IDX file is `00 00 08 n`, `n` dimensions as big-endian 32-bit numbers, then one byte per value. Images have three
//! dimensions (count, rows, columns), labels one.

use crate::{Error, InMemory, Result, Split};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// MNIST, Fashion-MNIST and KMNIST have ten classes.
const CLASSES: usize = 10;
/// Largest file, unpacked.
const MAX_BYTES: u64 = 1 << 30;

/// Whether a file of this name holds IDX images.
pub(crate) fn is_images(name: &str) -> bool {
    name.contains("idx3") && !name.starts_with('.')
}

/// Reads an IDX image file with its labels, or the one of a folder that belongs to `split`.
///
/// The labels are found by name, beside the images: `…images-idx3…` has its labels in `…labels-idx1…`, gzipped or not;
/// without such a file the data set has no labels. In a folder, files named `t10k…` or `test…` are for testing, others
/// for training. A gzipped file is unpacked no further than its header promises.
///
/// # Errors
/// [`Error::NoSplit`], [`Error::Ambiguous`], [`Error::BadMagic`], [`Error::Truncated`], [`Error::TrailingBytes`],
/// [`Error::TooLarge`] over 1 GiB, [`Error::Empty`], [`Error::LabelCount`], [`Error::LabelOutOfRange`] for a label
/// above 9, [`Error::Io`].
pub fn read(path: &Path, split: Split) -> Result<InMemory> {
    let images = if path.is_dir() { images_of(path, split)? } else { path.to_path_buf() };
    let ([count, rows, columns], pixels) = read_idx(&images)?;
    if count == 0 || rows == 0 || columns == 0 {
        return Err(Error::Empty(images));
    }
    let labels = match labels_of(&images) {
        Some(file) => {
            let ([labels], values) = read_idx(&file)?;
            if labels != count {
                return Err(Error::LabelCount {
                    path: file,
                    images: count as usize,
                    labels: labels as usize,
                });
            }
            Some(values.into_iter().map(i64::from).collect())
        }
        None => None,
    };
    InMemory::new(&crate::open::short_name(path), (1, rows, columns), pixels, labels, CLASSES)
}

fn images_of(folder: &Path, split: Split) -> Result<PathBuf> {
    let for_testing = |name: &str| name.starts_with("t10k") || name.starts_with("test");
    let wanted = |name: &String| is_images(name) && for_testing(name) == (split == Split::Test);
    let names: Vec<_> = crate::open::file_names(folder)?.into_iter().filter(wanted).collect();
    let unpacked = |name: &str| name.strip_suffix(".gz").unwrap_or(name).to_owned();
    let first = names.first().ok_or_else(|| Error::NoSplit { path: folder.into(), split })?;
    match names.iter().find(|name| unpacked(name) != unpacked(first)) {
        None => Ok(folder.join(first)), // the plain one comes before its gzipped copy
        Some(second) => Err(Error::Ambiguous {
            path: folder.into(),
            first: first.clone(),
            second: second.clone(),
        }),
    }
}

fn labels_of(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?.replace("images", "labels").replace("idx3", "idx1");
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    let candidates = [name.clone(), plain.to_owned(), format!("{plain}.gz")];
    candidates
        .iter()
        .map(|name| images.with_file_name(name))
        .find(|file| file.exists() && file != images)
}

/// The dimensions and values of an IDX file with `N` dimensions.
fn read_idx<const N: usize>(path: &Path) -> Result<([u32; N], Vec<u8>)> {
    let io = |source| Error::Io { path: path.into(), source };
    let file = BufReader::new(File::open(path).map_err(io)?);
    let gzipped = path.extension().is_some_and(|extension| extension == "gz");
    let mut reader: Box<dyn Read> =
        if gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };

    let header = read_up_to(&mut reader, 4 + 4 * N as u64).map_err(io)?;
    if header.len() >= 4 && header[..4] != [0, 0, 8, N as u8] {
        let found = [header[0], header[1], header[2], header[3]];
        return Err(Error::BadMagic { path: path.into(), dimensions: N as u8, found });
    }
    if header.len() < 4 + 4 * N {
        let (expected, found) = (4 + 4 * N as u64, header.len() as u64);
        return Err(Error::Truncated { path: path.into(), expected, found });
    }
    let word = |i: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| header[4 + 4 * i + byte]));
    let dimensions = std::array::from_fn(word);
    let product = dimensions.iter().try_fold(1u64, |product, &n| product.checked_mul(u64::from(n)));
    let Some(expected) = product.filter(|&bytes| bytes <= MAX_BYTES) else {
        return Err(Error::TooLarge { entry: path.display().to_string(), limit: MAX_BYTES });
    };
    let values = read_up_to(&mut reader, expected + 1).map_err(io)?;
    match values.len() as u64 {
        found if found < expected => Err(Error::Truncated { path: path.into(), expected, found }),
        found if found > expected => Err(Error::TrailingBytes { path: path.into(), expected }),
        _ => Ok((dimensions, values)),
    }
}

/// Reads at most `limit` bytes; memory grows with what is there, not with what is promised.
fn read_up_to(reader: &mut dyn Read, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
