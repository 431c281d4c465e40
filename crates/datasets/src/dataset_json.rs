//! Labels in the layout of EDM's data-set tool: `dataset.json` beside the images.
//!
//! `{"labels": [["00000/img00000000.png", 6], …]}`: a name relative to the folder of `dataset.json`, and its class.
//! `"labels": null`, or no `"labels"`, is a data set without classes.

use crate::container::Container;
use crate::image_files::{Selection, is_image};
use crate::{Error, Result};
use serde::Deserialize;
use std::collections::HashMap;

/// More classes than any data set has; a larger label is a mistake that would cost gigabytes as a one-hot vector.
pub(crate) const MAX_CLASSES: usize = 100_000;

#[derive(Deserialize)]
struct DatasetJson {
    labels: Option<Vec<(String, serde_json::Value)>>,
}

/// Where `dataset.json` is among the files, the outermost if there are several.
pub(crate) fn position(names: &[String]) -> Option<usize> {
    let is_it = |name: &str| name == "dataset.json" || name.ends_with("/dataset.json");
    (0..names.len()).filter(|&i| is_it(&names[i])).min_by_key(|&i| names[i].matches('/').count())
}

/// The images beside and below `dataset.json`, with its labels.
pub(crate) fn select(container: &Container, position: usize) -> Result<Selection> {
    let folder = container.names()[position].strip_suffix("dataset.json").unwrap_or_default();
    let relative =
        |&i: &usize| container.names()[i].strip_prefix(folder).filter(|name| is_image(name));
    let files: Vec<usize> =
        (0..container.names().len()).filter(|i| relative(i).is_some()).collect();

    let bad = |source| Error::BadLabels { path: container.path().into(), source };
    let parsed: DatasetJson = serde_json::from_slice(&container.read(position)?).map_err(bad)?;
    let Some(entries) = parsed.labels else {
        return Ok(Selection { files, labels: None, classes: 0 });
    };
    let mut by_name = HashMap::with_capacity(entries.len());
    for (entry, label) in entries {
        let label = check(&entry, &label)?;
        by_name.insert(entry.replace('\\', "/"), label);
    }
    let mut labels = Vec::with_capacity(files.len());
    for name in files.iter().filter_map(relative) {
        let missing = || Error::MissingLabel { path: container.path().into(), entry: name.into() };
        labels.push(by_name.remove(name).ok_or_else(missing)?);
    }
    if let Some(entry) = by_name.into_keys().min() {
        return Err(Error::UnknownEntry { path: container.path().into(), entry });
    }
    let classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
    Ok(Selection { files, labels: Some(labels), classes })
}

fn check(entry: &str, label: &serde_json::Value) -> Result<i64> {
    let not_integer = || Error::LabelNotInteger { entry: entry.into(), label: label.to_string() };
    let label = label.as_i64().ok_or_else(not_integer)?;
    if (0..MAX_CLASSES as i64).contains(&label) {
        Ok(label)
    } else {
        Err(Error::LabelOutOfRange { entry: entry.into(), label, classes: MAX_CLASSES })
    }
}
