//! Reading files whose size nobody has promised.

use crate::{Error, Result};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The bytes of a file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let failed = |source| Error::Read { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    if bytes > limit {
        return Err(Error::TooLarge { path: path.into(), bytes, limit });
    }
    let mut content = Vec::new();
    file.take(limit).read_to_end(&mut content).map_err(failed)?; // it may grow meanwhile
    Ok(content)
}

/// The same as text; bytes that are no UTF-8 are replaced.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String> {
    Ok(String::from_utf8_lossy(&read(path, limit)?).into_owned())
}

/// What is in a folder, sorted by name; nothing if there is no such folder.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The last part of a path, for people.
pub(crate) fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_their_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"caf\xe9").unwrap();
        assert_eq!(read_text(&path, 4).unwrap(), "caf\u{fffd}");
        let error = read(&path, 3).unwrap_err();
        assert!(matches!(error, Error::TooLarge { bytes: 4, limit: 3, .. }));
        assert!(matches!(read(&folder.path().join("none"), 3), Err(Error::Read { .. })));
    }
}
