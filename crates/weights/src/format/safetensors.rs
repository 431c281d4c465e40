//! safetensors: a header of JSON, then raw data.
//!
//! The header is checked by the `safetensors` crate: every tensor has the bytes that its shape and type need, and the
//! tensors lie side by side without gap or overlap. Only the header is read; the data stays in the file.

use crate::layout::Layout;
use crate::source::{Source, Span};
use crate::{Dtype, Limits, Problem, TensorInfo};
use safetensors::tensor::{Metadata, TensorInfo as Stored};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// A tensor of a file, and where its elements are.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) info: TensorInfo,
    pub(crate) layout: Layout,
    pub(crate) storage: Span,
}

/// What a header says.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) tensors: Vec<Entry>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// Bytes before the header, which hold its length.
const LENGTH: u64 = 8;

/// Whether the first bytes are a plausible length and the beginning of a JSON object.
pub(crate) fn is_safetensors(start: &[u8; 16]) -> bool {
    start[4..8] == [0; 4] && start[8] == b'{'
}

/// Reads and checks the header.
pub(crate) fn read(source: &Source, limits: &Limits) -> Result<Header, Problem> {
    let file = source.span().len;
    let len = u64::from_le_bytes(source.start()?);
    let (available, limit) = (file.saturating_sub(LENGTH), limits.header());
    if file < LENGTH || len > available || len > limit {
        return Err(Problem::HeaderLength { len, available, limit });
    }
    let mut json = vec![0; len as usize];
    source.read_at(LENGTH, &mut json)?;
    let Fields { metadata, mut tensors } = serde_json::from_slice(&json)?;
    tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
    let header = Metadata::new(None, tensors.clone())?;
    let (expected, found) = (header.data_len() as u64, available - len);
    if expected != found {
        return Err(Problem::DataLength { expected, found });
    }
    let entry = |(name, tensor)| entry(name, tensor, LENGTH + len);
    let tensors = tensors.into_iter().map(entry).collect::<Result<_, _>>()?;
    Ok(Header { tensors, metadata })
}

fn entry(name: String, tensor: Stored, data: u64) -> Result<Entry, Problem> {
    let Some(dtype) = Dtype::of_stored(tensor.dtype) else {
        return Err(Problem::UnsupportedDtype { tensor: name, dtype: tensor.dtype.to_string() });
    };
    let (start, end) = tensor.data_offsets;
    let storage = Span { start: data + start as u64, len: (end - start) as u64 };
    let layout = Layout::contiguous(tensor.shape.clone());
    Ok(Entry { info: TensorInfo { name, dtype, shape: tensor.shape }, layout, storage })
}

/// The entries of a header. A name that occurs twice is an error: readers could disagree about which one counts.
struct Fields {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, Stored)>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let (mut names, mut tensors) = (HashSet::new(), Vec::new());
                let mut metadata = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("`{name}` occurs twice")));
                    }
                    if name == "__metadata__" {
                        metadata = map.next_value::<HashMap<_, _>>()?.into_iter().collect();
                    } else {
                        tensors.push((name, map.next_value()?));
                    }
                }
                Ok(Fields { metadata, tensors })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn open(json: &str, data: &[u8]) -> Result<Header, Problem> {
        let bytes = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), data].concat();
        read(&Source::memory(Path::new("x"), bytes.into()), &Limits::default())
    }

    #[test]
    fn a_header_says_where_the_tensors_are() {
        let json =
            r#"{"__metadata__":{"a":"b"},"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#;
        let header = open(json, &[0; 4]).unwrap();
        assert_eq!(header.metadata["a"], "b");
        let Entry { info, storage, .. } = &header.tensors[0];
        assert_eq!((&*info.name, info.dtype, &*info.shape), ("w", Dtype::F16, &[2][..]));
        assert_eq!(*storage, Span { start: 8 + json.len() as u64, len: 4 });
        assert!(open("{}", &[]).unwrap().tensors.is_empty());
    }

    #[test]
    fn a_header_that_is_wrong_is_refused() {
        let tensor = |dtype: &str, shape: &str, end: usize| {
            format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}"#)
        };
        let one = |tensor: String| format!(r#"{{"w":{tensor}}}"#);
        let twice = format!(r#"{{"w":{0},"w":{0}}}"#, tensor("U8", "[4]", 4));
        for (json, message) in [
            (one(tensor("U8", "[4]", 5)), "contradicts itself"),
            (one(tensor("U8", "[5]", 5)), "need 5 bytes behind the header, and there are 4"),
            (one(tensor("U8", "[3]", 3)), "need 3 bytes behind the header, and there are 4"),
            (one(tensor("U9", "[4]", 4)), "unknown variant `U9`"),
            (one(tensor("F8_E4M3", "[4]", 4)), "type F8_E4M3, which is not supported"),
            (one(tensor("U8", "[-4]", 4)), "is no safetensors header"),
            (twice, "`w` occurs twice"),
            ("[]".into(), "expected an object of tensors"),
        ] {
            let error = open(&json, &[0; 4]).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
