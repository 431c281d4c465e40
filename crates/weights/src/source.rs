//! Where the bytes come from.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// A range of bytes of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl Span {
    /// The first byte behind the range.
    pub(crate) fn end(self) -> u64 {
        self.start.saturating_add(self.len)
    }
}

/// A file, or bytes in memory, readable at any place by any number of readers.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    path: Arc<Path>,
    len: u64,
    bytes: Bytes,
}

#[derive(Debug, Clone)]
enum Bytes {
    File(Arc<File>),
    Memory(Arc<[u8]>),
}

impl Source {
    /// Opens a regular file; folders, pipes and devices are errors.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { path: path.into(), len, bytes: Bytes::File(Arc::new(file)) })
    }

    /// Bytes in memory that errors call `name`.
    pub(crate) fn memory(name: &Path, bytes: Arc<[u8]>) -> Self {
        Self { path: name.into(), len: bytes.len() as u64, bytes: Bytes::Memory(bytes) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole range.
    pub(crate) fn span(&self) -> Span {
        Span { start: 0, len: self.len }
    }

    /// Fills `buffer` with the bytes at `at`.
    pub(crate) fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        match &self.bytes {
            Bytes::File(file) => read_exact_at(file, at, buffer),
            Bytes::Memory(bytes) => {
                let range = usize::try_from(at).ok().and_then(|at| bytes.get(at..));
                let found = range.and_then(|bytes| bytes.get(..buffer.len()));
                buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    /// The first bytes, at most `N`; the rest is zero.
    pub(crate) fn start<const N: usize>(&self) -> io::Result<[u8; N]> {
        let mut start = [0; N];
        let len = self.len.min(N as u64) as usize;
        self.read_at(0, &mut start[..len])?;
        Ok(start)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, at: u64, buffer: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut at: u64, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        let n = std::os::windows::fs::FileExt::seek_read(file, buffer, at)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (at, buffer) = (at + n as u64, &mut buffer[n..]);
    }
    Ok(())
}

/// A source as a seekable stream of which only so much is read: what a library that reads it makes of it in memory is
/// then bounded, too.
#[derive(Debug)]
pub(crate) struct Stream {
    source: Source,
    position: u64,
    limit: u64,
    left: u64,
}

impl Stream {
    pub(crate) fn new(source: Source, limit: u64) -> Self {
        Self { source, position: 0, limit, left: limit }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.source.len.saturating_sub(self.position);
        let n = left.min(buffer.len() as u64) as usize;
        let Some(left) = self.left.checked_sub(n as u64) else {
            let limit = self.limit;
            return Err(io::Error::other(format!(
                "its directory has more than {limit} bytes (Limits)"
            )));
        };
        self.left = left;
        self.source.read_at(self.position, &mut buffer[..n])?;
        self.position += n as u64;
        Ok(n)
    }
}

impl Seek for Stream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.source.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_beyond_the_end() {
        let source = Source::memory(Path::new("x"), Arc::from(*b"abcdef"));
        let mut buffer = [0; 3];
        source.read_at(3, &mut buffer).unwrap();
        assert_eq!(&buffer, b"def");
        for at in [4, 7, u64::MAX] {
            assert!(source.read_at(at, &mut buffer).is_err(), "{at}");
        }
        assert_eq!(source.start::<8>().unwrap(), *b"abcdef\0\0");
    }

    #[test]
    fn a_stream_seeks_from_either_end() {
        let mut stream = Stream::new(Source::memory(Path::new("x"), Arc::from(*b"abcdef")), 5);
        assert_eq!(stream.seek(SeekFrom::End(-2)).unwrap(), 4);
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "ef");
        assert!(stream.seek(SeekFrom::Current(-7)).is_err());
        stream.seek(SeekFrom::Start(0)).unwrap();
        stream.read_exact(&mut [0; 3]).unwrap();
        assert!(stream.read_exact(&mut [0; 1]).unwrap_err().to_string().contains("more than 5"));
    }

    #[test]
    fn a_folder_is_no_file() {
        assert!(Source::open(Path::new(env!("CARGO_MANIFEST_DIR"))).is_err());
    }
}
