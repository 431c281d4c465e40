//! safetensors files, written.

use crate::{Checkpoint, Dtype, Error, Problem, Result, TensorInfo};
use safetensors::tensor::{Metadata, TensorInfo as Stored};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes a safetensors file, tensor by tensor: no more than one is in memory.
///
/// `data` is called once for each of `tensors`, in the order of the file (wider elements first, then by name), and gives
/// its elements in row-major order, little-endian. The bytes go to a temporary file beside `path`, are flushed to disk
/// and renamed, so that `path` holds either the old content or the whole new one.
///
/// # Errors
/// [`Problem::DuplicateName`], [`Problem::WrongLength`] if `data` gives another number of bytes than `tensors` says,
/// [`Problem::Io`], and whatever `data` fails with.
///
/// # Example
/// ```
/// use std::collections::BTreeMap;
/// use weights::{Dtype, TensorInfo, write_safetensors};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("ones.safetensors");
/// let ones = TensorInfo { name: "w".into(), dtype: Dtype::F32, shape: vec![2] };
/// write_safetensors(&path, &[ones], &BTreeMap::new(), |_| Ok([1f32.to_le_bytes(); 2].concat()))?;
/// assert_eq!(weights::open(&path)?.read("w")?.to_f32(), [1.0, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_safetensors(
    path: &Path,
    tensors: &[TensorInfo],
    metadata: &BTreeMap<String, String>,
    mut data: impl FnMut(&TensorInfo) -> Result<Vec<u8>>,
) -> Result<()> {
    let mut tensors: Vec<_> = tensors.iter().collect();
    tensors.sort_by_key(|tensor| (Reverse(tensor.dtype.stored()), &tensor.name)); // aligns every one
    let header = header(&tensors, metadata).map_err(|problem| Error::new(path, problem))?;
    replace(path, |file| {
        let io = |reason: io::Error| Error::new(path, reason);
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&header).map_err(io)?;
        for tensor in &tensors {
            let bytes = data(tensor)?;
            let (expected, found) = (tensor.n_bytes() as u64, bytes.len() as u64);
            if expected != found {
                let tensor = tensor.name.clone();
                return Err(Error::new(path, Problem::WrongLength { tensor, expected, found }));
            }
            file.write_all(&bytes).map_err(io)?;
        }
        file.flush().map_err(io)
    })
}

impl Checkpoint {
    /// Writes the tensors of this checkpoint as a safetensors file, whatever format it was read from.
    ///
    /// With `floats`, every tensor of floating-point numbers is [cast](crate::TensorData::cast) to that type; integers and truth
    /// values stay what they are. Otherwise as [`write_safetensors`].
    ///
    /// # Errors
    /// [`Problem::NoCast`] if `floats` is not `F32`, `F16` or `BF16`, and as [`write_safetensors`] and
    /// [`read`](Self::read).
    pub fn save_safetensors(
        &self,
        path: &Path,
        floats: Option<Dtype>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<()> {
        let target = |dtype: Dtype| floats.filter(|_| dtype.is_float()).unwrap_or(dtype);
        let mut tensors = self.tensors().to_vec();
        tensors.iter_mut().for_each(|tensor| tensor.dtype = target(tensor.dtype));
        write_safetensors(path, &tensors, metadata, |tensor| {
            let data = self.read(&tensor.name)?;
            if data.dtype == tensor.dtype {
                return Ok(data.bytes);
            }
            let no_cast = || self.error(Problem::NoCast(tensor.dtype));
            Ok(data.cast(tensor.dtype).ok_or_else(no_cast)?.bytes)
        })
    }
}

/// The length of the header, eight bytes, and the header, padded to a multiple of eight.
fn header(
    tensors: &[&TensorInfo],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, Problem> {
    let mut names = HashSet::new();
    if let Some(twice) = tensors.iter().find(|tensor| !names.insert(&tensor.name)) {
        return Err(Problem::DuplicateName(twice.name.clone()));
    }
    let mut end = 0;
    let info = |tensor: &&TensorInfo| {
        let start = end;
        end += tensor.n_bytes();
        let (dtype, shape) = (tensor.dtype.stored(), tensor.shape.clone());
        (tensor.name.clone(), Stored { dtype, shape, data_offsets: (start, end) })
    };
    let infos = tensors.iter().map(info).collect();
    let metadata = (!metadata.is_empty()).then(|| metadata.clone().into_iter().collect());
    let mut json = serde_json::to_vec(&Metadata::new(metadata, infos)?)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok([&(json.len() as u64).to_le_bytes()[..], &json].concat())
}

/// Fills a temporary file beside `path` and renames it, or leaves `path` as it was.
fn replace(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let io = |reason: io::Error| Error::new(path, reason);
    let partial = path.with_extension("partial");
    let mut file = File::create(&partial).map_err(io)?;
    let written = fill(&mut file)
        .and_then(|()| file.sync_all().map_err(io))
        .and_then(|()| fs::rename(&partial, path).map_err(io));
    if written.is_err() {
        let _ = fs::remove_file(&partial); // what could not be finished is of no use
    }
    written.and_then(|()| sync_folder(path).map_err(io))
}

/// Makes the new name outlive a power failure, where folders can be flushed.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if cfg!(unix) { File::open(folder.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TensorData;

    fn info(name: &str, dtype: Dtype, shape: &[usize]) -> TensorInfo {
        TensorInfo { name: name.into(), dtype, shape: shape.into() }
    }

    #[test]
    fn what_fails_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        fs::write(&path, b"old").unwrap();
        let (one, two) = (info("a", Dtype::U8, &[1]), info("a", Dtype::U8, &[2]));
        let no_metadata = BTreeMap::new();
        let write = |tensors: &[TensorInfo], bytes: &[u8]| {
            let written = write_safetensors(&path, tensors, &no_metadata, |_| Ok(bytes.into()));
            written.unwrap_err().to_string()
        };
        assert!(write(&[one.clone(), two.clone()], &[0]).contains("two tensors have the name `a`"));
        assert!(write(&[two], &[0]).contains("`a` has 2 bytes, and 1 were given"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn elements_are_aligned_and_floats_cast() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) =
            (folder.path().join("1.safetensors"), folder.path().join("2.safetensors"));
        let tensors =
            [info("a", Dtype::U8, &[3]), info("b", Dtype::F64, &[1]), info("c", Dtype::F32, &[])];
        let metadata = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        write_safetensors(&first, &tensors, &metadata, |tensor| {
            let ones = TensorData { dtype: Dtype::U8, shape: vec![], bytes: vec![1] };
            let one = ones.cast(Dtype::F32).unwrap().bytes;
            Ok(match &*tensor.name {
                "a" => vec![1, 2, 3],
                "b" => 0.1f64.to_le_bytes().into(),
                _ => one,
            })
        })
        .unwrap();
        let read = crate::open(&first).unwrap();
        let names: Vec<_> = read.tensors().iter().map(|tensor| &*tensor.name).collect();
        assert_eq!(names, ["b", "c", "a"]);
        assert_eq!(read.metadata(), &metadata);
        read.save_safetensors(&second, Some(Dtype::BF16), &metadata).unwrap();
        let cast = crate::open(&second).unwrap();
        assert_eq!(cast.read("b").unwrap().to_f32(), [0.10009765625]);
        assert_eq!(cast.read("c").unwrap().bytes, [0x80, 0x3f]);
        assert_eq!(cast.read("a").unwrap().bytes, [1, 2, 3]);
        let error = read.save_safetensors(&second, Some(Dtype::I64), &metadata).unwrap_err();
        assert!(error.to_string().contains("not I64"), "{error}");
    }
}
