//! The values of an array in an archive, image by image.

use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use zip::CompressionMethod;
use zip::read::ZipFile;

/// Where the images of an array are.
#[derive(Debug)]
pub(super) enum Pixels {
    /// One after the other in the file.
    Stored { file: Mutex<File>, start: u64, image_bytes: u64 },
    /// In a compressed stream.
    Deflated(Box<Mutex<Tape>>),
}

impl Pixels {
    /// The `[images, bytes of one]` behind a header in an entry of the archive at `path`; `None` for a compression that is
    /// not read.
    pub(super) fn open(
        path: &Path,
        entry: &ZipFile<'_, impl Read>,
        header: u64,
        [images, image_bytes]: [u64; 2],
    ) -> io::Result<Option<Self>> {
        let Some(data) = entry.data_start().filter(|_| !entry.encrypted()) else { return Ok(None) };
        let mut file = File::open(path)?;
        let end = file.seek(SeekFrom::End(0))?;
        if data.checked_add(entry.compressed_size()).is_none_or(|last| last > end) {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the archive is truncated"));
        }
        Ok(match entry.compression() {
            CompressionMethod::Stored => {
                Some(Self::Stored { file: file.into(), start: data + header, image_bytes })
            }
            CompressionMethod::Deflated => {
                let (compressed, checksum) = (entry.compressed_size(), entry.crc32());
                let place = Place { data, compressed, header, images, image_bytes, checksum };
                let tape = Tape { file, place, running: None };
                Some(Self::Deflated(Box::new(Mutex::new(tape))))
            }
            _ => None,
        })
    }

    pub(super) fn are_compressed(&self) -> bool {
        matches!(self, Self::Deflated(_))
    }

    /// The bytes of image `index`, which must be there.
    pub(super) fn read(&self, index: u64) -> io::Result<Vec<u8>> {
        match self {
            Self::Stored { file, start, image_bytes } => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(start + index * image_bytes))?;
                let mut pixels = vec![0; *image_bytes as usize];
                file.read_exact(&mut pixels)?;
                Ok(pixels)
            }
            Self::Deflated(tape) => tape.lock().unwrap_or_else(PoisonError::into_inner).read(index),
        }
    }
}

/// A compressed array that is read from its start to its end.
#[derive(Debug)]
pub(super) struct Tape {
    file: File,
    place: Place,
    running: Option<Running>,
}

/// Where the stream is, and what it holds.
#[derive(Debug, Clone, Copy)]
struct Place {
    data: u64,
    compressed: u64,
    header: u64,
    images: u64,
    image_bytes: u64,
    checksum: u32,
}

/// The stream before image `next`.
#[derive(Debug)]
struct Running {
    stream: CrcReader<DeflateDecoder<io::Take<BufReader<File>>>>,
    next: u64,
}

impl Tape {
    fn read(&mut self, index: u64) -> io::Result<Vec<u8>> {
        let mut running = match self.running.take().filter(|running| running.next <= index) {
            Some(running) => running,
            None => self.rewind()?,
        };
        let image_bytes = self.place.image_bytes;
        skip(&mut running.stream, (index - running.next) * image_bytes)?;
        let mut pixels = vec![0; image_bytes as usize];
        running.stream.read_exact(&mut pixels)?;
        running.next = index + 1;
        if running.next == self.place.images && running.stream.crc().sum() != self.place.checksum {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "the checksum of the images is wrong",
            ));
        }
        self.running = Some(running); // after an error the next image is looked for from the start
        Ok(pixels)
    }

    fn rewind(&self) -> io::Result<Running> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(self.place.data))?;
        let compressed = BufReader::with_capacity(1 << 18, file).take(self.place.compressed);
        let mut stream = CrcReader::new(DeflateDecoder::new(compressed));
        skip(&mut stream, self.place.header)?;
        Ok(Running { stream, next: 0 })
    }
}

fn skip(stream: &mut impl Read, bytes: u64) -> io::Result<()> {
    match io::copy(&mut stream.take(bytes), &mut io::sink())? {
        skipped if skipped == bytes => Ok(()),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}
