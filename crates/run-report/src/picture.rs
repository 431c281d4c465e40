//! Pictures that travel inside of the page.

use crate::{Result, files};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;

/// A larger picture stays out.
const MAX_BYTES: u64 = 8 << 20;
/// Of many sample grids so many are shown, evenly spread, the first and the last among them.
const MAX_SAMPLES: usize = 16;

/// A PNG file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    pub(crate) caption: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    base64: String,
}

impl Picture {
    /// The picture in a file; none if the file is no PNG.
    pub(crate) fn read(path: &Path, caption: String) -> Result<Option<Self>> {
        let bytes = files::read(path, MAX_BYTES)?;
        let size = size(&bytes);
        Ok(size.map(|[width, height]| Self {
            caption,
            width,
            height,
            base64: STANDARD.encode(bytes),
        }))
    }

    /// The address of the picture, which is the picture.
    pub(crate) fn address(&self) -> String {
        format!("data:image/png;base64,{}", self.base64)
    }
}

/// Width and height of a PNG: the first two numbers of its header.
fn size(bytes: &[u8]) -> Option<[u32; 2]> {
    let header = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")?;
    let number = |i: usize| Some(u32::from_be_bytes(header.get(i..i + 4)?.try_into().ok()?));
    Some([number(0)?, number(4)?])
}

/// The sample grids of a stage.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    pub(crate) shown: Vec<Picture>,
    /// How many there are in the folder.
    pub(crate) total: usize,
}

impl Samples {
    /// The files `fake_<kimg>.png` of a folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let kimg = |name: &str| -> Option<u64> {
            name.strip_prefix("fake_")?.strip_suffix(".png")?.parse().ok()
        };
        let paths = files::entries(folder).into_iter();
        let mut found: Vec<_> =
            paths.filter_map(|path| Some((kimg(&files::name(&path))?, path))).collect();
        found.sort();
        let mut shown = Vec::new();
        for index in spread(found.len(), MAX_SAMPLES) {
            let (kimg, path) = &found[index];
            shown.extend(Picture::read(path, format!("{kimg} kimg"))?);
        }
        Ok(Self { shown, total: found.len() })
    }
}

/// At most `n` of the indices below `length`, evenly spread from the first to the last.
fn spread(length: usize, n: usize) -> Vec<usize> {
    if length <= n {
        return (0..length).collect();
    }
    (0..n).map(|i| i * (length - 1) / (n - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_png_has_its_size() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend([0, 0, 2, 4, 0, 0, 1, 0]);
        assert_eq!(size(&png), Some([516, 256]));
        assert_eq!(size(&png[..20]), None);
        assert_eq!(size(b"<svg onload=alert(1)>"), None);
    }

    #[test]
    fn few_of_many_are_the_first_the_last_and_some_between() {
        assert_eq!(spread(3, 16), [0, 1, 2]);
        assert_eq!(spread(100, 4), [0, 33, 66, 99]);
        assert_eq!(spread(0, 4), [0usize; 0]);
    }

    #[test]
    fn samples_are_sorted_by_their_number() {
        let folder = tempfile::tempdir().unwrap();
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01";
        for name in ["fake_1000000.png", "fake_000002.png", "latest.png", "fake_x.png"] {
            std::fs::write(folder.path().join(name), png).unwrap();
        }
        std::fs::write(folder.path().join("fake_000003.png"), b"cut off").unwrap();
        let samples = Samples::read(folder.path()).unwrap();
        let captions: Vec<_> = samples.shown.iter().map(|picture| &picture.caption[..]).collect();
        assert_eq!((captions, samples.total), (vec!["2 kimg", "1000000 kimg"], 3));
        assert!(samples.shown[0].address().starts_with("data:image/png;base64,iVBORw0KGgo"));
    }
}
