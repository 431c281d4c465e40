//! A file's structure, read whole.

use crate::contents::names;
use crate::format::Root;
use crate::format::safetensors::{self, Entry};
use crate::pickle::Id;
use crate::source::Source;
use crate::{Format, Limits, Problem};
use std::collections::BTreeMap;

/// What a file holds: names of tensors and where they are, and what is in it besides.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) source: Source,
    pub(crate) format: Format,
    pub(crate) tensors: Vec<Entry>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) root: Option<Root>,
    pub(crate) objects: Vec<(String, Id)>,
    pub(crate) sections: Vec<String>,
}

impl File {
    /// Reads the structure of a file in whatever format it is.
    pub(crate) fn read(source: Source, limits: Limits) -> Result<Self, Problem> {
        let format = Format::detect(&source)?;
        let (root, objects, sections) = Default::default();
        if format == Format::Safetensors {
            let safetensors::Header { tensors, metadata } = safetensors::read(&source, &limits)?;
            return Ok(Self { source, format, tensors, metadata, root, objects, sections });
        }
        let root = format.read_object(&source, limits)?;
        let found = names(&root, limits)?;
        let (tensors, metadata) = (found.tensors, BTreeMap::new());
        let (objects, sections, format) = (found.objects, found.sections, root.format);
        let root = Some(root);
        Ok(Self { source, format, tensors, metadata, root, objects, sections })
    }
}
