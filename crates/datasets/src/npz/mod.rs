//! Images in a NumPy archive.

mod pixels;
mod problem;

pub use problem::ArrayProblem;

use crate::dataset_json::MAX_CLASSES;
use crate::{Error, Image, ImageSource, Info, Result};
use diffusion_core::npy::Header;
use pixels::Pixels;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

const IMAGES: &str = "arr_0";
const LABELS: &str = "arr_1";
/// Archives of samples have one or two arrays, those of references a few more.
const MAX_ENTRIES: usize = 64;
/// More images than any data set has.
const MAX_IMAGES: u64 = 1 << 27;
/// Largest side of an image.
const MAX_SIDE: u64 = 16_384;
/// Largest image, in bytes.
const MAX_IMAGE_BYTES: u64 = 256 << 20;

type Archive = ZipArchive<BufReader<File>>;

/// The images of a `.npz` file as guided-diffusion and its evaluator exchange them: bytes `arr_0`, `[N, H, W, C]` with one or
/// three channels or `[N, H, W]`; labels `arr_1`, integers `[N]`, if there are any. Other arrays are ignored.
///
/// The array is never in memory as a whole. If it is stored as it is (`numpy.savez`), images are read from where they are. If
/// it is compressed (`numpy.savez_compressed`), it is read like a tape: an image before the last one means reading from the
/// start again, so that shuffled batches need the data set in memory ([`InMemory`](crate::InMemory), which
/// [`open`](crate::open) does for those that fit) or uncompressed.
pub struct NpzImages {
    path: PathBuf,
    info: Info,
    pixels: Pixels,
    labels: Option<Vec<i64>>,
}

impl NpzImages {
    /// Opens an archive and reads its labels.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Archive`] for what is no archive; [`Error::Array`] for arrays that are no images or no labels;
    /// [`Error::LabelOutOfRange`].
    pub fn open(path: &Path) -> Result<Self> {
        let mut archive = archive(path)?;
        let (shape, pixels) = images(path, &mut archive)?;
        let [len, channels, height, width] = shape;
        let labels = labels(path, &mut archive, len)?;
        let classes = labels.iter().flatten().max().map_or(0, |&label| label as usize + 1);
        let shape = (channels as u32, height as u32, width as u32);
        let info = Info { name: crate::open::short_name(path), len: len as usize, classes, shape };
        Ok(Self { path: path.into(), info, pixels, labels })
    }

    /// Whether a `.npz` file has an array that can be one of images: statistics have none.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Archive`] for what is no archive.
    pub fn has_images(path: &Path) -> Result<bool> {
        Ok(archive(path)?.index_for_name(&format!("{IMAGES}.npy")).is_some())
    }
}

fn archive(path: &Path) -> Result<Archive> {
    let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let archive = ZipArchive::new(BufReader::new(file))
        .map_err(|source| Error::Archive { path: path.into(), source })?;
    let found = archive.len();
    if found > MAX_ENTRIES || archive.has_duplicate_names() {
        return Err(bad(path, IMAGES, ArrayProblem::Entries { found }));
    }
    Ok(archive)
}

/// Number, channels, height and width, and where the pixels are.
fn images(path: &Path, archive: &mut Archive) -> Result<([u64; 4], Pixels)> {
    let bad = |problem| bad(path, IMAGES, problem);
    let Some(index) = archive.index_for_name(&format!("{IMAGES}.npy")) else {
        let names = archive.file_names().flatten().map(|name| name.into_owned());
        return Err(bad(ArrayProblem::Missing { found: names.collect() }));
    };
    let mut entry =
        archive.by_index(index).map_err(|source| Error::Archive { path: path.into(), source })?;
    let header = Header::read(&mut entry).map_err(|_| bad(ArrayProblem::NotArray))?;
    if header.descr != "|u1" || header.fortran_order {
        let Header { descr: found, fortran_order, .. } = header;
        return Err(bad(ArrayProblem::NotBytes { found, fortran_order }));
    }
    let shape = shape(&header.shape)
        .ok_or_else(|| bad(ArrayProblem::NotImages { found: header.shape.clone() }))?;
    let needed = header.values().and_then(|values| values.checked_add(header.length));
    if needed != Some(entry.size()) {
        let (found, needed) = (entry.size(), needed.unwrap_or(u64::MAX));
        return Err(bad(ArrayProblem::Length { found, needed }));
    }
    let image_bytes = shape[1] * shape[2] * shape[3];
    let pixels = Pixels::open(path, &entry, header.length, [shape[0], image_bytes])
        .map_err(|source| Error::Io { path: path.into(), source })?;
    Ok((shape, pixels.ok_or_else(|| bad(ArrayProblem::Method))?))
}

/// Number, channels, height and width of images of a shape, if it is one that is read.
fn shape(found: &[u64]) -> Option<[u64; 4]> {
    let (len, channels, height, width) = match *found {
        [len, height, width] => (len, 1, height, width),
        [len, height, width, channels @ (1 | 3)] => (len, channels, height, width),
        _ => return None,
    };
    let sides = [height, width].iter().all(|side| (1..=MAX_SIDE).contains(side));
    let usable = sides && channels * height * width <= MAX_IMAGE_BYTES;
    ((1..=MAX_IMAGES).contains(&len) && usable).then_some([len, channels, height, width])
}

fn labels(path: &Path, archive: &mut Archive, len: u64) -> Result<Option<Vec<i64>>> {
    let bad = |problem| bad(path, LABELS, problem);
    let Some(index) = archive.index_for_name(&format!("{LABELS}.npy")) else { return Ok(None) };
    let mut entry =
        archive.by_index(index).map_err(|source| Error::Archive { path: path.into(), source })?;
    let header = Header::read(&mut entry).map_err(|_| bad(ArrayProblem::NotArray))?;
    let (read, size): (fn(&[u8]) -> i64, u64) = match header.descr.as_str() {
        "|u1" => (|bytes| bytes[0].into(), 1),
        "<i4" => (|bytes| i32::from_le_bytes(bytes.try_into().expect("four bytes")).into(), 4),
        "<i8" => (|bytes| i64::from_le_bytes(bytes.try_into().expect("eight bytes")), 8),
        _ => return Err(bad(ArrayProblem::NotIntegers { found: header.descr })),
    };
    if header.shape != [len] {
        return Err(bad(ArrayProblem::NotLabels { found: header.shape, images: len }));
    }
    let mut bytes = Vec::new();
    let read_bytes = entry.by_ref().take(len * size + 1).read_to_end(&mut bytes);
    read_bytes.map_err(|source| Error::Io { path: path.into(), source })?;
    if bytes.len() as u64 != len * size {
        let (found, needed) = (bytes.len() as u64, len * size);
        return Err(bad(ArrayProblem::Length { found, needed }));
    }
    let labels: Vec<i64> = bytes.chunks_exact(size as usize).map(read).collect();
    match labels.iter().position(|label| !(0..MAX_CLASSES as i64).contains(label)) {
        Some(index) => Err(Error::LabelOutOfRange {
            entry: format!("{} #{index}", crate::open::short_name(path)),
            label: labels[index],
            classes: MAX_CLASSES,
        }),
        None => Ok(Some(labels)),
    }
}

fn bad(path: &Path, array: &'static str, problem: ArrayProblem) -> Error {
    Error::Array { path: path.into(), array, problem }
}

impl ImageSource for NpzImages {
    fn info(&self) -> &Info {
        &self.info
    }

    fn image(&self, index: usize) -> Result<Image> {
        assert!(index < self.info.len, "image {index} of {} was asked for", self.info.len);
        let (channels, height, width) = self.info.shape;
        let pixels = self.pixels.read(index as u64);
        let pixels = pixels.map_err(|source| Error::Io { path: self.path.clone(), source })?;
        Ok(Image::from_interleaved(channels, height, width, &pixels))
    }

    fn label(&self, index: usize) -> Option<i64> {
        self.labels.as_ref().map(|labels| labels[index])
    }

    fn reads_in_order(&self) -> bool {
        self.pixels.are_compressed()
    }
}

impl fmt::Debug for NpzImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NpzImages").field(&self.info).finish()
    }
}
