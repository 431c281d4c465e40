//! A folder or a zip archive: named files with random access.

use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use zip::ZipArchive;
use zip::result::ZipError;

/// Largest file or archive entry that is read.
const MAX_ENTRY_BYTES: u64 = 256 << 20;
/// How deep folders may be nested.
const MAX_DEPTH: usize = 16;

type Archive = ZipArchive<BufReader<File>>;

/// The files of a folder (with its sub-folders) or of a zip archive, sorted by name.
pub(crate) struct Container {
    path: PathBuf,
    /// Names relative to the container, with `/` between folders, in byte order.
    names: Vec<String>,
    store: Store,
}

enum Store {
    /// Where each file is.
    Folder(Vec<PathBuf>),
    /// The archive, and the number of each entry. The lock is held while bytes are read and inflated, not while they
    /// are decoded.
    Zip(Mutex<Archive>, Vec<usize>),
}

impl Container {
    /// Opens a folder, or a file as a zip archive. Hidden files and the `__MACOSX` folder are left out.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if path.is_dir() { Self::open_folder(path) } else { Self::open_zip(path) }
    }

    fn open_folder(path: &Path) -> Result<Self> {
        let mut files = Vec::new();
        walk(path, "", 0, &mut files)?;
        files.sort_unstable();
        let (names, files) = files.into_iter().unzip();
        Ok(Self { path: path.into(), names, store: Store::Folder(files) })
    }

    fn open_zip(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
        let archive_error = |source| Error::Archive { path: path.into(), source };
        let archive = ZipArchive::new(BufReader::new(file)).map_err(archive_error)?;
        let mut entries = Vec::with_capacity(archive.len());
        for index in 0..archive.len() {
            let Some(name) = archive.name_for_index(index) else { continue };
            let name = name.map_err(archive_error)?.replace('\\', "/");
            if !name.ends_with('/') && !is_hidden(&name) {
                entries.push((name, index));
            }
        }
        entries.sort_unstable();
        let (names, indices) = entries.into_iter().unzip();
        Ok(Self { path: path.into(), names, store: Store::Zip(Mutex::new(archive), indices) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The bytes of file `index`.
    pub(crate) fn read(&self, index: usize) -> Result<Vec<u8>> {
        match &self.store {
            Store::Folder(files) => {
                let io = |source| Error::Io { path: files[index].clone(), source };
                let mut file = File::open(&files[index]).map_err(io)?;
                read_bounded(&mut file, &self.names[index]).map_err(io)?
            }
            Store::Zip(archive, indices) => {
                let path = || self.path.join(&self.names[index]);
                let mut archive = archive.lock().unwrap_or_else(PoisonError::into_inner);
                let mut entry =
                    archive.by_index(indices[index]).map_err(|source| match source {
                        ZipError::Io(source) => Error::Io { path: path(), source },
                        source => Error::Archive { path: path(), source },
                    })?;
                read_bounded(&mut entry, &self.names[index])
                    .map_err(|source| Error::Io { path: path(), source })?
            }
        }
    }
}

/// Reads a whole file; memory grows with what is there, not with what its header promises.
fn read_bounded(reader: &mut dyn Read, name: &str) -> std::io::Result<Result<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(MAX_ENTRY_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_ENTRY_BYTES {
        return Ok(Err(Error::TooLarge { entry: name.into(), limit: MAX_ENTRY_BYTES }));
    }
    Ok(Ok(bytes))
}

fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX")
}

/// Links to files are followed, links to folders are not: they may form a circle.
fn walk(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Vec<(String, PathBuf)>,
) -> Result<()> {
    let io = |source| Error::Io { path: folder.into(), source };
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let (kind, path) = (entry.file_type().map_err(io)?, entry.path());
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if is_hidden(&name) {
            continue;
        }
        if kind.is_dir() {
            if depth < MAX_DEPTH {
                walk(&path, &format!("{name}/"), depth + 1, files)?;
            }
        } else if path.is_file() {
            files.push((name, path));
        }
    }
    Ok(())
}
