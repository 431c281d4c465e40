//! Labels from folders: one folder per class.

use crate::container::Container;
use crate::image_files::{Selection, is_image};
use crate::{Error, Result, Split};
use std::collections::BTreeSet;

/// The images of one part of the data set, labeled by the folder they are in.
///
/// Folders around everything say nothing and are skipped, so a zip of `cats/…` is like a zip of what is in it; a data
/// set with a single folder, or none, has no labels.
pub(crate) fn select(container: &Container, split: Split) -> Result<Selection> {
    let names = container.names();
    let files: Vec<usize> = (0..names.len()).filter(|&i| is_image(&names[i])).collect();
    let names_of = |files: &[usize]| files.iter().map(|&i| names[i].as_str()).collect::<Vec<_>>();
    let files = part(files, &names_of, split)
        .ok_or_else(|| Error::NoSplit { path: container.path().into(), split })?;

    let inside = inside_common_folder(names_of(&files));
    let folders: Vec<Option<&str>> = inside.iter().map(|name| first_folder(name)).collect();
    let classes: BTreeSet<&str> = folders.iter().flatten().copied().collect();
    if classes.is_empty() {
        return Ok(Selection { files, labels: None, classes: 0 });
    }
    let number = |folder: &str| classes.range(..folder).count() as i64;
    let numbers: std::collections::HashMap<&str, i64> =
        classes.iter().map(|&c| (c, number(c))).collect();
    let labels: Option<Vec<i64>> =
        folders.iter().map(|folder| folder.map(|folder| numbers[folder])).collect();
    match labels {
        Some(labels) => Ok(Selection { files, labels: Some(labels), classes: classes.len() }),
        None => Err(Error::MixedLayout(container.path().into())),
    }
}

/// The files of the wanted part; all of them for training, if the data set is not divided.
fn part<'a>(
    files: Vec<usize>,
    names_of: &impl Fn(&[usize]) -> Vec<&'a str>,
    split: Split,
) -> Option<Vec<usize>> {
    const TRAIN: [&str; 2] = ["train", "training"];
    const TEST: [&str; 4] = ["test", "val", "valid", "validation"];
    let inside = inside_common_folder(names_of(&files));
    let folders: BTreeSet<Option<&str>> = inside.iter().map(|name| first_folder(name)).collect();
    let has = |folder: &&&str| folders.contains(&Some(**folder));
    let divided = !folders.is_empty()
        && folders
            .iter()
            .all(|folder| folder.is_some_and(|name| TRAIN.contains(&name) || TEST.contains(&name)));
    let wanted = match split {
        _ if !divided => return (split == Split::Train).then_some(files),
        Split::Train => TRAIN.iter().find(has)?,
        Split::Test => TEST.iter().find(has)?,
    };
    let keep: Vec<bool> = inside.iter().map(|name| first_folder(name) == Some(*wanted)).collect();
    Some(files.into_iter().zip(keep).filter_map(|(file, keep)| keep.then_some(file)).collect())
}

/// The names without the folders that all of them are in.
fn inside_common_folder(mut names: Vec<&str>) -> Vec<&str> {
    while let Some(folder) = names.first().and_then(|name| first_folder(name)) {
        if names.iter().any(|name| first_folder(name) != Some(folder)) {
            break;
        }
        let skip = folder.len() + 1;
        names.iter_mut().for_each(|name| *name = &name[skip..]);
    }
    names
}

fn first_folder(name: &str) -> Option<&str> {
    name.split_once('/').map(|(folder, _)| folder)
}
