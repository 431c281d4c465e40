//! safetensors files in and out, strictly and atomically.

use crate::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use tch::{Device, Kind, Tensor};

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
/// If a tensor has a kind that safetensors lacks (complex, quantized).
pub fn write<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let bytes = encode(tensors, metadata);
    write_bytes(path, &bytes)
}

/// Writes `bytes` to `path` through a temporary file, so that `path` holds either the old or the new content.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    let io = |source| Error::Io { action: "cannot write", path: path.into(), source };
    let partial = path.with_extension("partial");
    let written = std::fs::File::create(&partial).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| std::fs::rename(&partial, path));
    if renamed.is_err() {
        let _ = std::fs::remove_file(&partial); // what could not be finished is of no use
    }
    renamed.map_err(io)
}

/// Reads a whole safetensors file.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::BadTensorFile`] if it is truncated, inconsistent or holds a kind
/// of tensor that libtorch lacks.
pub fn read(path: &Path) -> Result<TensorFile> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io {
        action: "cannot read",
        path: path.into(),
        source,
    })?;
    let bad = |reason: String| Error::BadTensorFile { path: path.into(), reason };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| bad(error.to_string()))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| bad(error.to_string()))?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        let kind = kind_of(view.dtype()).ok_or_else(|| {
            bad(format!("tensor `{name}` has the unsupported type {:?}", view.dtype()))
        })?;
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        tensors.push((name.to_owned(), Tensor::f_from_data_size(view.data(), &shape, kind)?));
    }
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(TensorFile { tensors, metadata })
}

fn encode<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    metadata: &BTreeMap<String, String>,
) -> Vec<u8> {
    let raw: Vec<_> = tensors.into_iter().map(|(name, tensor)| (name, raw(tensor))).collect();
    let views = raw.iter().map(|(name, (dtype, shape, data))| {
        (*name, TensorView::new(*dtype, shape.clone(), data).expect("bytes match the shape"))
    });
    let metadata = (!metadata.is_empty()).then(|| metadata.clone().into_iter().collect());
    safetensors::serialize(views, metadata).expect("names are unique")
}

fn raw(tensor: &Tensor) -> (Dtype, Vec<usize>, Vec<u8>) {
    let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
    let dtype = dtype_of(tensor.kind());
    let mut data = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut data, tensor.numel());
    (dtype, tensor.size().iter().map(|&n| n as usize).collect(), data)
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
}
