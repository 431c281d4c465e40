//! PyTorch archives: a zip file of stored records in one top folder.
//!
//! `data.pkl` is the object, `data/<key>` the elements of a storage. Record names are looked up, never used as paths. The
//! archives of TorchScript also hold code, its constants and notes for debuggers, which are left alone.

use crate::Problem;
use crate::pickle::{Heap, Input, Keys, Machine, Value};
use crate::source::{Source, Span, Stream};
use std::collections::HashMap;
use zip::CompressionMethod;
use zip::read::{ArchiveOffset, Config, ZipArchive};

const PICKLE: &str = "data.pkl";
const BYTE_ORDER: &str = "byteorder";
const CONSTANTS: &str = "constants/";
const OLD_SCRIPT: &str = "model.json";

/// The object in a PyTorch archive, and how many constants its code has.
pub(super) fn read(source: &Source, heap: &mut Heap) -> Result<(Value, usize), Problem> {
    let records = Records::read(source, heap.limits.directory())?;
    check_byte_order(source, &records)?;
    let mut keys = Keys::new();
    let pickle = records.get(PICKLE)?.ok_or_else(|| records.no_pickle())?;
    let mut input = Input::new(source, pickle);
    let root = Machine::new(&mut input, heap, &mut keys).run()?;
    for (key, index) in keys {
        let storage = &mut heap.storages[index];
        let span = records
            .get(&format!("data/{key}"))?
            .ok_or_else(|| Problem::MissingStorage(key.to_string()))?;
        if span.len != storage.n_bytes() {
            let (declared, found) = (storage.n_bytes(), span.len);
            return Err(Problem::StorageSize { key: key.into(), declared, found });
        }
        storage.span = Some(span);
    }
    Ok((root, records.0.keys().filter(|name| name.starts_with(CONSTANTS)).count()))
}

/// Where records are, by name without the top folder; nowhere if they are compressed or encrypted.
struct Records(HashMap<Box<str>, Option<Span>>);

impl Records {
    /// The record, if the archive has it.
    fn get(&self, name: &str) -> Result<Option<Span>, Problem> {
        match self.0.get(name) {
            Some(None) => Err(Problem::NotStored(name.into())),
            record => Ok(record.copied().flatten()),
        }
    }

    fn no_pickle(&self) -> Problem {
        if self.0.contains_key(OLD_SCRIPT) { Problem::OldScript } else { Problem::NoPickle }
    }

    /// Finds the records. Nothing is unpacked.
    fn read(source: &Source, limit: u64) -> Result<Self, Problem> {
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let stream = Stream::new(source.clone(), limit);
        let mut archive = ZipArchive::with_config(config, stream)?;
        if archive.has_duplicate_names() {
            return Err(Problem::DuplicateRecord);
        }
        let mut top = None;
        let mut records = HashMap::new();
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index)?;
            let name = entry.name()?;
            let (folder, record) = split(&name)?;
            if *top.get_or_insert_with(|| folder.to_owned()) != folder {
                return Err(Problem::RecordName(name.into()));
            }
            let is_stored = entry.compression() == CompressionMethod::Stored && !entry.encrypted();
            let size = if is_stored { entry.size() } else { entry.compressed_size() };
            let span = Span { start: entry.data_start().unwrap_or(u64::MAX), len: size };
            if span.end() > source.span().len {
                let (end, len) = (span.end(), source.span().len);
                return Err(Problem::RecordPastEnd { name: name.into(), end, len });
            }
            records.insert(record.into(), is_stored.then_some(span));
        }
        Ok(Self(records))
    }
}

/// The top folder and the rest of a record's name, which must stay below it.
fn split(name: &str) -> Result<(&str, &str), Problem> {
    let is_plain = |part: &str| !matches!(part, "." | "..") && !part.contains(['\\', '\0']);
    let (folder, record) = name.split_once('/').unwrap_or_default();
    let is_inside = !folder.is_empty() && name.split('/').all(is_plain);
    if is_inside { Ok((folder, record)) } else { Err(Problem::RecordName(name.into())) }
}

fn check_byte_order(source: &Source, records: &Records) -> Result<(), Problem> {
    const LITTLE: &[u8] = b"little";
    let Some(span) = records.get(BYTE_ORDER)? else {
        return Ok(()); // archives before PyTorch 2.1 do not say, and are little-endian
    };
    let mut order = vec![0; span.len.min(LITTLE.len() as u64) as usize];
    source.read_at(span.start, &mut order)?;
    if order == LITTLE { Ok(()) } else { Err(Problem::BigEndian) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_their_folder() {
        assert_eq!(split("archive/data/0").unwrap(), ("archive", "data/0"));
        assert_eq!(split("a/.data/id").unwrap(), ("a", ".data/id"));
        for name in ["../pwned", "a/../../pwned", "/etc/passwd", "data.pkl", "", "a/..\\b", "./a"] {
            assert!(split(name).is_err(), "{name}");
        }
    }
}
