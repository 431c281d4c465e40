//! NumPy archives with the arrays `mu` and `sigma`.

use super::{ReferenceProblem as Problem, npy};
use crate::Result;
use diffusion_core::tensor_file;
use std::fs::File;
use std::io::{BufReader, Cursor, Write};
use std::path::Path;
use tch::Tensor;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Archives of statistics have two entries; ADM's have a few more.
const MAX_ENTRIES: usize = 64;

/// The mean and the covariance in an archive, stored or compressed.
pub(super) fn read(path: &Path) -> Result<(Tensor, Tensor), Problem> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?))?;
    let found = archive.len();
    if found > MAX_ENTRIES || archive.has_duplicate_names() {
        return Err(Problem::Entries { found });
    }
    let mut array = |name: &'static str, axes| {
        let Some(index) = archive.index_for_name(&format!("{name}.npy")) else {
            let names = archive.file_names().flatten().map(|name| name.into_owned());
            return Err(Problem::Missing { name, found: names.collect() });
        };
        let mut entry = archive.by_index(index)?;
        npy::read(name, axes, entry.size(), &mut entry)
    };
    Ok((array("mu", 1)?, array("sigma", 2)?))
}

/// Writes an archive that EDM, pytorch-fid and others read.
pub(super) fn write(path: &Path, mean: &Tensor, covariance: &Tensor) -> Result<()> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, array) in [("mu.npy", mean), ("sigma.npy", covariance)] {
        let bytes = npy::bytes(array)?;
        archive.start_file(name, options).expect("an archive in memory takes two entries");
        archive.write_all(&bytes).expect("memory takes any bytes");
    }
    let archive = archive.finish().expect("an archive in memory can be closed");
    Ok(tensor_file::write_bytes(path, archive.get_ref())?)
}
