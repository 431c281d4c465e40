//! Any data set, by its path.

use crate::{
    Color, Error, ImageFiles, ImageSource, InMemory, NpzImages, Resized, Result, Shapes, cifar10,
    mnist,
};
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The name of the built-in pictures.
const SHAPES: &str = "shapes";
/// Their number: as many as MNIST has.
const SHAPES_LEN: usize = 60_000;
/// Their size in pixels if none is given.
const SHAPES_SIZE: u32 = 16;
const MAX_SIZE: u32 = 4096;

/// Which part of a data set that comes in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Split {
    /// The images to train on; all of them if the data set is not divided.
    #[default]
    Train,
    /// The images to test on.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Test => "test",
        })
    }
}

/// How to read a data set.
///
/// # Example
/// ```
/// let options = datasets::OpenOptions { size: Some(32), ..Default::default() };
/// let shapes = datasets::open("shapes", &options)?;
/// assert_eq!(shapes.shape(), (3, 32, 32));
/// # Ok::<(), datasets::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// Make every image square with this many pixels a side, 1 to 4096.
    pub size: Option<u32>,
    /// What to do with colors.
    pub color: Color,
    /// Which part of the data set.
    pub split: Split,
    /// Keep the decoded images in memory if they take no more bytes than this.
    pub cache_bytes: u64,
}

impl Default for OpenOptions {
    /// The train part as it is stored, cached up to 512 MiB.
    fn default() -> Self {
        Self { size: None, color: Color::AsStored, split: Split::Train, cache_bytes: 512 << 20 }
    }
}

/// Opens the data set at a path, whatever its format.
///
/// | path | data set |
/// |---|---|
/// | `shapes`, where there is no such file | the built-in [`Shapes`], drawn at the size asked for (16 by default), seed 0 for training, 1 for testing |
/// | a folder with `data_batch_*.bin`, or one `.bin` file | CIFAR-10 ([`cifar10`]) |
/// | a folder with `*idx3*` files, or one such file, also `.gz` | MNIST and its like ([`mnist`]) |
/// | a `.npz` file | bytes `arr_0` and labels `arr_1` ([`NpzImages`]) |
/// | any other folder, or a `.zip` | PNG and JPEG files ([`ImageFiles`]): with `dataset.json`, by class, or just images |
///
/// A data set that fits in [`OpenOptions::cache_bytes`] is decoded once, here, on all cores: training then never decodes
/// again, and a damaged or odd image is an error now. A larger one is decoded on demand, and its odd image is an error
/// when it is met.
///
/// # Errors
/// [`Error::Missing`], [`Error::UnknownFormat`], [`Error::BadSize`], and those of the format.
pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Arc<dyn ImageSource>> {
    let path = path.as_ref();
    if let Some(size) = options.size.filter(|size| !(1..=MAX_SIZE).contains(size)) {
        return Err(Error::BadSize(size));
    }
    let (source, decoded) = open_as_stored(path, options)?;
    let (_, height, width) = source.shape();
    let as_wanted = options.size.is_none_or(|size| (height, width) == (size, size))
        && options.color == Color::AsStored;
    if decoded && as_wanted {
        return Ok(source);
    }
    let source: Arc<dyn ImageSource> = Arc::new(Resized::new(source, options.size, options.color));
    if source.info().bytes() > options.cache_bytes {
        return Ok(source);
    }
    Ok(Arc::new(InMemory::decode(&*source)?))
}

/// The data set as it is stored, and whether its images need no decoding.
fn open_as_stored(path: &Path, options: &OpenOptions) -> Result<(Arc<dyn ImageSource>, bool)> {
    let split = options.split;
    if !path.exists() {
        return match path.to_str() {
            Some(SHAPES) => {
                let size = options.size.unwrap_or(SHAPES_SIZE);
                Ok((Arc::new(Shapes::new(size, SHAPES_LEN, split as u64)), true))
            }
            _ => Err(Error::Missing(path.into())),
        };
    }
    Ok(match Format::of(path)? {
        Format::Cifar10 => (Arc::new(cifar10::read(path, split)?), true),
        Format::Mnist => (Arc::new(mnist::read(path, split)?), true),
        Format::Npz if split == Split::Test => {
            return Err(Error::NoSplit { path: path.into(), split });
        }
        Format::Npz => (Arc::new(NpzImages::open(path)?), false),
        Format::ImageFiles => (Arc::new(ImageFiles::open(path, split)?), false),
    })
}

enum Format {
    Cifar10,
    Mnist,
    Npz,
    ImageFiles,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let names = file_names(path)?;
            let any = |is: fn(&str) -> bool| names.iter().any(|name| is(name));
            return Ok(match () {
                () if any(cifar10::is_batch) => Self::Cifar10,
                () if any(mnist::is_images) => Self::Mnist,
                () => Self::ImageFiles,
            });
        }
        let name = short_name(path).to_ascii_lowercase();
        match name.rsplit('.').next() {
            Some("zip") => Ok(Self::ImageFiles),
            Some("npz") => Ok(Self::Npz),
            Some("bin") => Ok(Self::Cifar10),
            _ if mnist::is_images(&name) => Ok(Self::Mnist),
            _ => Err(Error::UnknownFormat(path.into())),
        }
    }
}

/// The last part of a path, to name a data set by.
pub(crate) fn short_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The names of what is in a folder, sorted.
pub(crate) fn file_names(folder: &Path) -> Result<Vec<String>> {
    let io = |source| Error::Io { path: folder.into(), source };
    let entries = fs::read_dir(folder).map_err(io)?;
    let name = |entry: std::io::Result<fs::DirEntry>| {
        Ok(entry?.file_name().to_string_lossy().into_owned())
    };
    let mut names = entries.map(name).collect::<std::io::Result<Vec<_>>>().map_err(io)?;
    names.sort_unstable();
    Ok(names)
}
