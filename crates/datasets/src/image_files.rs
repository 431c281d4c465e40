//! PNG and JPEG files in a folder or zip archive.

use crate::container::Container;
use crate::{Error, Image, ImageSource, Info, Result, Split, class_folder, dataset_json};
use std::fmt;
use std::path::Path;

/// Which files of a container are images, and of which class.
pub(crate) struct Selection {
    /// Positions in the container.
    pub(crate) files: Vec<usize>,
    /// One label per image, or none at all.
    pub(crate) labels: Option<Vec<i64>>,
    /// Number of classes, 0 without labels.
    pub(crate) classes: usize,
}

/// The PNG and JPEG files of a folder or zip archive, sorted by name, decoded when they are asked for.
///
/// Labels come from `dataset.json` where there is one (the layout of EDM's data-set tool), else from folders: one
/// folder per class, numbered in sorted order. The two ways to store and the two ways to label combine freely. With
/// folders, `train` and `test` (or `val`) at the top are the parts of the data set rather than its classes.
pub struct ImageFiles {
    container: Container,
    selection: Selection,
    info: Info,
}

impl ImageFiles {
    /// Opens a folder or zip archive and decodes its first image, which tells the shape.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NoSplit`], [`Error::Archive`], [`Error::MixedLayout`] for images beside folders of
    /// images; for labels [`Error::BadLabels`], [`Error::LabelNotInteger`], [`Error::LabelOutOfRange`],
    /// [`Error::UnknownEntry`], [`Error::MissingLabel`]; those of [`Image::decode`].
    pub fn open(path: &Path, split: Split) -> Result<Self> {
        let container = Container::open(path)?;
        let selection = match dataset_json::position(container.names()) {
            Some(_) if split == Split::Test => {
                return Err(Error::NoSplit { path: path.into(), split });
            }
            Some(position) => dataset_json::select(&container, position)?,
            None => class_folder::select(&container, split)?,
        };
        let first = *selection.files.first().ok_or_else(|| Error::Empty(path.into()))?;
        let image = Image::decode(&container.read(first)?, &container.names()[first])?;
        let info = Info {
            name: crate::open::short_name(path),
            len: selection.files.len(),
            classes: selection.classes,
            shape: (image.channels, image.height, image.width),
        };
        Ok(Self { container, selection, info })
    }
}

/// Whether a file of this name is a picture that can be decoded.
pub(crate) fn is_image(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

impl ImageSource for ImageFiles {
    fn info(&self) -> &Info {
        &self.info
    }

    fn image(&self, index: usize) -> Result<Image> {
        Image::decode(&self.container.read(self.selection.files[index])?, &self.entry(index))
    }

    fn label(&self, index: usize) -> Option<i64> {
        self.selection.labels.as_ref().map(|labels| labels[index])
    }

    fn entry(&self, index: usize) -> String {
        self.container.names()[self.selection.files[index]].clone()
    }
}

impl fmt::Debug for ImageFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ImageFiles").field(&self.info).finish()
    }
}
