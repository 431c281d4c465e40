//! A copy of everything a checkpoint holds.

use super::{MANIFEST, Manifest, TENSORS};
use crate::{Error, Result};
use diffusion_core::{State, tensor_file};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use tch::{Device, Tensor};

/// The state of a run between two steps, in tensors of its own on the CPU.
#[derive(Debug)]
pub(crate) struct Snapshot {
    manifest: Manifest,
    tensors: Vec<(String, Tensor)>,
}

impl Snapshot {
    /// No parts yet; values and checksum of the manifest are filled in later.
    pub(crate) fn new(manifest: Manifest) -> Self {
        Self { manifest, tensors: Vec::new() }
    }

    /// Copies a part. Its tensors may share memory with those that are trained.
    pub(crate) fn add(&mut self, part: &str, state: State) {
        for (name, tensor) in state.tensors {
            self.tensors.push((format!("{part}:{name}"), copied(&tensor)));
        }
        self.manifest.values.insert(part.to_owned(), state.values);
    }

    /// Steps done.
    pub(crate) fn step(&self) -> u64 {
        self.manifest.progress.step
    }

    /// Writes both files into `folder` and flushes them, and the folder, to disk.
    pub(crate) fn write(mut self, folder: &Path) -> Result<()> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Folder { path, source }
        };
        std::fs::create_dir_all(folder).map_err(io(folder))?;
        let path = folder.join(TENSORS);
        self.manifest.crc32 = self.write_tensors(&path).map_err(io(&path))?;
        let json = serde_json::to_vec_pretty(&self.manifest).map_err(|error| {
            Error::Checkpoint { path: folder.join(MANIFEST), reason: error.to_string() }
        })?;
        Ok(tensor_file::write_bytes(&folder.join(MANIFEST), &json)?)
    }

    /// Writes the tensors; returns the checksum of what was written.
    fn write_tensors(&self, path: &Path) -> io::Result<u32> {
        let mut file = Checked { inner: File::create(path)?, crc32: crc32fast::Hasher::new() };
        let mut buffered = BufWriter::with_capacity(1 << 20, &mut file);
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        tensor_file::write_to(&mut buffered, tensors, &BTreeMap::new())?;
        buffered.flush()?;
        drop(buffered);
        file.inner.sync_all()?;
        Ok(file.crc32.finalize())
    }
}

/// A tensor of the same values on the CPU that shares no memory with `tensor`.
fn copied(tensor: &Tensor) -> Tensor {
    let tensor = tensor.detach();
    if tensor.device() != Device::Cpu {
        return tensor.to_device(Device::Cpu);
    }
    let mut copy = tensor.empty_like();
    copy.copy_(&tensor);
    copy
}

/// Computes the checksum of what passes through.
struct Checked<W> {
    inner: W,
    crc32: crc32fast::Hasher,
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.crc32.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_does_not_follow_its_original() {
        let original = Tensor::from_slice(&[1f32, 2.0]).set_requires_grad(true);
        let copy = copied(&original);
        let _ = tch::no_grad(|| original.shallow_clone().fill_(9.0));
        assert_eq!(copy, Tensor::from_slice(&[1f32, 2.0]));
        assert!(!copy.requires_grad());
    }

    #[test]
    fn the_checksum_is_that_of_the_bytes_written() {
        /// Takes three bytes at a time.
        struct Short(Vec<u8>);
        impl Write for Short {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.extend(&bytes[..bytes.len().min(3)]);
                Ok(bytes.len().min(3))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut checked = Checked { inner: Short(Vec::new()), crc32: crc32fast::Hasher::new() };
        checked.write_all(b"123456789").unwrap();
        assert_eq!(checked.inner.0, b"123456789");
        assert_eq!(checked.crc32.finalize(), 0xCBF4_3926); // the check value of CRC-32
    }
}
