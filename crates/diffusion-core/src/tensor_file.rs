//! safetensors files in and out, strictly and atomically.

use crate::{Error, Result};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// The longest header that is read, as in the reference implementation.
const MAX_HEADER: u64 = 100_000_000;

/// What a safetensors file holds.
#[derive(Debug)]
pub struct TensorFile {
    /// Tensors by name, on the CPU.
    pub tensors: Vec<(String, Tensor)>,
    /// The free-form metadata.
    pub metadata: BTreeMap<String, String>,
}

/// Writes named tensors and metadata to `path`.
///
/// The bytes go to a temporary file beside it, are flushed to disk and renamed: a full disk or a crash leaves an
/// existing file as it was.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
///
/// # Panics
/// If two tensors have the same name, or one has a kind that safetensors lacks (complex, quantized).
pub fn write<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    replace(path, |file| {
        let mut buffered = BufWriter::with_capacity(1 << 20, file);
        write_to(&mut buffered, tensors, metadata)?;
        buffered.flush()
    })
}

/// Writes the bytes of a safetensors file to `writer`, tensor by tensor: no more than one is copied at a time.
///
/// # Errors
/// Whatever `writer` fails with.
///
/// # Panics
/// As [`write()`].
pub fn write_to<'a>(
    writer: &mut impl Write,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let mut tensors: Vec<_> = tensors.into_iter().collect();
    tensors.sort_by_key(|(name, tensor)| (Reverse(dtype_of(tensor.kind())), *name)); // aligns every one
    writer.write_all(&header(&tensors, metadata)?)?;
    let mut bytes = Vec::new();
    for (_, tensor) in tensors {
        let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
        bytes.resize(n_bytes(&tensor), 0);
        tensor.copy_data_u8(&mut bytes, tensor.numel());
        writer.write_all(&bytes)?;
    }
    Ok(())
}

/// The length of the header, eight bytes, and the header, padded to a multiple of eight.
fn header(tensors: &[(&str, &Tensor)], metadata: &BTreeMap<String, String>) -> io::Result<Vec<u8>> {
    let mut end = 0;
    let info = |(name, tensor): &(&str, &Tensor)| {
        let start = end;
        end += n_bytes(tensor);
        let shape = tensor.size().iter().map(|&n| n as usize).collect();
        let (dtype, data_offsets) = (dtype_of(tensor.kind()), (start, end));
        (name.to_string(), TensorInfo { dtype, shape, data_offsets })
    };
    let infos = tensors.iter().map(info).collect();
    let metadata = (!metadata.is_empty()).then(|| metadata.clone().into_iter().collect());
    let header = Metadata::new(metadata, infos).expect("names are unique, offsets in order");
    let mut json = serde_json::to_vec(&header)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok([&(json.len() as u64).to_le_bytes()[..], &json].concat())
}

fn n_bytes(tensor: &Tensor) -> usize {
    tensor.numel() * tensor.kind().elt_size_in_bytes()
}

/// Writes `bytes` to `path` through a temporary file, so that `path` holds either the old or the new content.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |file| file.write_all(bytes))
}

fn replace(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let partial = path.with_extension("partial");
    let written = File::create(&partial).and_then(|mut file| {
        fill(&mut file)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| std::fs::rename(&partial, path));
    if renamed.is_err() {
        let _ = std::fs::remove_file(&partial); // what could not be finished is of no use
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    renamed.and_then(|()| sync_folder(parent)).map_err(|reason| Error::Io {
        action: "cannot write",
        path: path.into(),
        reason,
    })
}

/// Makes the entries of a folder outlive a power failure; flushing a file does that for its content alone.
///
/// # Errors
/// If the folder cannot be opened or flushed. Where folders cannot be flushed (not Unix) nothing happens.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Reads a whole safetensors file, tensor by tensor: no more than one is in memory twice.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, or as [`decode`].
pub fn read(path: &Path) -> Result<TensorFile> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (length, file) = opened.map_err(|reason| unreadable(path, reason))?;
    read_from(path, &mut BufReader::with_capacity(1 << 20, file), length)
}

/// The tensors in the bytes of a safetensors file; errors name `path`.
///
/// # Errors
/// [`Error::BadTensorFile`] if the file is truncated, inconsistent or holds a kind of tensor that libtorch lacks.
pub fn decode(path: &Path, bytes: &[u8]) -> Result<TensorFile> {
    read_from(path, &mut &*bytes, bytes.len() as u64)
}

/// Nothing is allocated that the file's `length` does not justify.
fn read_from(path: &Path, reader: &mut impl Read, length: u64) -> Result<TensorFile> {
    let bad = |reason: String| Error::BadTensorFile { path: path.into(), reason };
    let mut read =
        |bytes: &mut [u8]| reader.read_exact(bytes).map_err(|reason| unreadable(path, reason));
    let Some(room) = length.checked_sub(8) else {
        return Err(bad(format!("it has {length} bytes")));
    };
    let mut n = [0; 8];
    read(&mut n)?;
    let n = u64::from_le_bytes(n);
    if n > room.min(MAX_HEADER) {
        return Err(bad(format!(
            "its header of {n} bytes is longer than the file or {MAX_HEADER}"
        )));
    }
    let mut header = vec![0; n as usize];
    read(&mut header)?;
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|error| bad(error.to_string()))?;
    let names = header.offset_keys();
    let infos: Vec<&TensorInfo> = names.iter().filter_map(|name| header.info(name)).collect();
    let end = infos.last().map_or(0, |info| info.data_offsets.1) as u64;
    if end != room - n {
        return Err(bad(format!(
            "its tensors have {end} bytes, but {} follow the header",
            room - n
        )));
    }
    let mut tensors = Vec::new();
    let mut bytes = Vec::new();
    for (name, info) in names.iter().zip(&infos) {
        let kind = kind_of(info.dtype).ok_or_else(|| {
            bad(format!("tensor `{name}` has the unsupported type {:?}", info.dtype))
        })?;
        let shape: Vec<i64> = info.shape.iter().map(|&n| n as i64).collect();
        bytes.resize(info.data_offsets.1 - info.data_offsets.0, 0);
        read(&mut bytes)?;
        tensors.push((name.clone(), Tensor::f_from_data_size(&bytes, &shape, kind)?));
    }
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(TensorFile { tensors, metadata })
}

fn unreadable(path: &Path, reason: io::Error) -> Error {
    Error::Io { action: "cannot read", path: path.into(), reason }
}

fn dtype_of(kind: Kind) -> Dtype {
    match kind {
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        Kind::Half => Dtype::F16,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Int64 => Dtype::I64,
        Kind::Int => Dtype::I32,
        Kind::Int16 => Dtype::I16,
        Kind::Int8 => Dtype::I8,
        Kind::Uint8 => Dtype::U8,
        Kind::Bool => Dtype::BOOL,
        other => panic!("safetensors has no type for {other:?}"),
    }
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        write(&path, [("w", &Tensor::from_slice(&[1f32, 2.0]))], &BTreeMap::new()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let error = read(&path).unwrap_err();
        assert!(matches!(error, Error::BadTensorFile { .. }));
        assert!(error.to_string().contains("net.safetensors"));
        let mut hostile = bytes;
        hostile[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode(&path, &hostile).unwrap_err().to_string().contains("header of 1844"));
        assert!(matches!(decode(&path, &hostile[..5]).unwrap_err(), Error::BadTensorFile { .. }));
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        std::fs::write(&path, b"old").unwrap();
        std::fs::create_dir(path.with_extension("partial")).unwrap(); // the temporary name is taken
        assert!(write_bytes(&path, b"new").is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn kinds_and_metadata_survive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.safetensors");
        let bf16 = Tensor::from_slice(&[1.5f32, -2.0]).to_kind(Kind::BFloat16);
        let metadata = BTreeMap::from([("case".to_owned(), "{}".to_owned())]);
        write(&path, [("b", &bf16)], &metadata).unwrap();
        let file = read(&path).unwrap();
        assert_eq!(file.metadata, metadata);
        assert_eq!(file.tensors[0].1, bf16);
        assert_eq!(file.tensors[0].1.kind(), Kind::BFloat16);
    }

    #[test]
    fn tensors_are_aligned_and_made_contiguous() {
        let flag = Tensor::from_slice(&[true]);
        let transposed = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]).view([2, 2]).tr();
        let doubles = Tensor::from_slice(&[0.5f64]);
        let mut bytes = Vec::new();
        let tensors = [("a", &flag), ("b", &transposed), ("c", &doubles)];
        write_to(&mut bytes, tensors, &BTreeMap::new()).unwrap();
        let file = decode(Path::new("memory"), &bytes).unwrap();
        let (_, found) = file.tensors.iter().find(|(name, _)| name == "b").unwrap();
        assert_eq!(*found, Tensor::from_slice(&[1f32, 3.0, 2.0, 4.0]).view([2, 2]));
        let data = &bytes[bytes.len() - 25..];
        assert_eq!((&data[..8], data[24]), (&0.5f64.to_le_bytes()[..], 1), "wide types come first");
        assert_eq!((bytes.len() - 25) % 8, 0, "the data begin at a multiple of eight");
    }

    #[test]
    fn an_error_names_its_cause_once() {
        let error = read(Path::new("/nowhere/net.safetensors")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/net.safetensors: "), "{error}");
        assert!(std::error::Error::source(&error).is_none(), "a reporter would print it again");
    }
}
