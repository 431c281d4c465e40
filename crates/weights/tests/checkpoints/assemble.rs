//! Files of weights, put together byte by byte.

use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A tensor and the storage it is a view of.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) name: String,
    /// `FloatStorage` and so on.
    pub(crate) class: &'static str,
    pub(crate) item: usize,
    pub(crate) size: Vec<i64>,
    pub(crate) stride: Vec<i64>,
    pub(crate) offset: i64,
    pub(crate) storage: Vec<u8>,
}

impl View {
    fn numel(&self) -> i64 {
        (self.storage.len() / self.item) as i64
    }
}

/// How a pickle refers to storages.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Style {
    Zip,
    Legacy,
    Embedded,
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

pub(crate) fn int(value: i64) -> Vec<u8> {
    [b"\x8a\x08", &value.to_le_bytes()[..]].concat()
}

pub(crate) fn tuple(values: &[i64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|&value| int(value)).collect();
    [b"(", &values[..], b"t"].concat()
}

/// `{key: value, …}`; the values are pickled already.
pub(crate) fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs = pairs.iter().flat_map(|(key, value)| [text(key), value.clone()].concat());
    [b"}(", &pairs.collect::<Vec<u8>>()[..], b"u"].concat()
}

/// A whole pickle of one value.
pub(crate) fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

fn persistent_id(view: &View, key: &str, style: Style) -> Vec<u8> {
    let class = format!("ctorch\n{}\n", view.class);
    let (key, numel) = (text(key), int(view.numel()));
    let view_metadata = if style == Style::Zip { &b""[..] } else { b"N" };
    let id = [b"(", &text("storage")[..], class.as_bytes(), &key, &text("cpu"), &numel];
    [&id.concat()[..], view_metadata, b"tQ"].concat()
}

/// A tensor whose storage has the number `key`.
pub(crate) fn tensor(view: &View, key: usize, style: Style) -> Vec<u8> {
    let storage = match style {
        Style::Embedded => {
            let inner = persistent_id(view, "k", Style::Legacy);
            let file = legacy(&inner, &[("k".into(), view.clone())]);
            let length = (file.len() as u32).to_le_bytes();
            [b"ctorch.storage\n_load_from_bytes\nB", &length[..], &file, b"\x85R"].concat()
        }
        _ => persistent_id(view, &key.to_string(), style),
    };
    let (offset, size, stride) = (int(view.offset), tuple(&view.size), tuple(&view.stride));
    let hooks = b"\x89ccollections\nOrderedDict\n)RtR";
    [b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage[..], &offset, &size, &stride, hooks].concat()
}

/// A dictionary of all views, each with its own storage.
pub(crate) fn state_dict(views: &[View], style: Style) -> Vec<u8> {
    let tensors = views.iter().enumerate();
    let pairs: Vec<_> =
        tensors.map(|(key, view)| (&*view.name, tensor(view, key, style))).collect();
    dict(&pairs)
}

/// A legacy file of a pickled value and storages by key.
pub(crate) fn legacy(value: &[u8], storages: &[(String, View)]) -> Vec<u8> {
    let magic = pickle(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
    let machine = pickle(&dict(&[("little_endian", b"\x88".into())]));
    let keys: Vec<u8> = storages.iter().flat_map(|(key, _)| text(key)).collect();
    let keys = pickle(&[b"](", &keys[..], b"e"].concat());
    let mut file = [magic, pickle(b"M\xe9\x03"), machine, pickle(value), keys].concat();
    for (_, view) in storages {
        file.extend(view.numel().to_le_bytes());
        file.extend(&view.storage);
    }
    file
}

/// An archive of stored records.
pub(crate) fn archive(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in records {
        zip.start_file(format!("archive/{name}"), stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The views as `torch.save` writes a state dict today.
pub(crate) fn zip_file(views: &[View]) -> Vec<u8> {
    let names: Vec<String> = (0..views.len()).map(|key| format!("data/{key}")).collect();
    let object = pickle(&state_dict(views, Style::Zip));
    let mut records = vec![("data.pkl", &object[..]), ("byteorder", b"little")];
    records.extend(names.iter().zip(views).map(|(name, view)| (&**name, &view.storage[..])));
    archive(&records)
}

/// The views as `torch.save` wrote a state dict before 1.6.
pub(crate) fn legacy_file(views: &[View]) -> Vec<u8> {
    let storages: Vec<_> =
        views.iter().enumerate().map(|(key, view)| (key.to_string(), view.clone())).collect();
    legacy(&state_dict(views, Style::Legacy), &storages)
}

/// The views as parameters of the network of an EDM pickle.
pub(crate) fn edm_file(views: &[View]) -> Vec<u8> {
    pickle(&dict(&[("ema", network(&state_dict(views, Style::Embedded)))]))
}

/// A persistent object with parameters, a buffer that is saved under no name, and constructor arguments.
pub(crate) fn network(parameters: &[u8]) -> Vec<u8> {
    let state = dict(&[
        ("_parameters", parameters.into()),
        ("_buffers", b"}".into()),
        ("_non_persistent_buffers_set", b"\x8f".into()),
        ("_modules", b"}".into()),
        ("sigma_data", [b"G", &0.5f64.to_be_bytes()[..]].concat()),
        ("_init_args", b")".into()),
        ("_init_kwargs", dict(&[("channel_mult", tuple(&[1, 2]))])),
    ]);
    let meta = dict(&[
        ("type", text("class")),
        ("version", int(6)),
        ("module_src", text("import os")),
        ("class_name", text("EDMPrecond")),
        ("state", state),
    ]);
    let call = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n";
    [&call[..], &meta, b"\x85R"].concat()
}
