//! Files that the official code wrote or whose structure it has, bit for bit.
//!
//! Without the folder of these files the tests say so and pass: every instruction and type is tested without them, too.

use crate::folder::folder;
use safetensors::SafeTensors;
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};
use weights::Checkpoint;

/// Every file with a twin, and the twin.
fn pairs(folder: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut pairs = Vec::new();
    for part in ["pytorch", "torchscript", "edm", "hostile"] {
        for entry in fs::read_dir(folder.join(part)).unwrap() {
            let path = entry.unwrap().path();
            let (stem, extension) =
                (path.file_stem().unwrap(), path.extension().unwrap_or_default());
            let (stem, extension) = (stem.to_str().unwrap(), extension.to_str().unwrap());
            let twins = [format!("{stem}.expected"), format!("{stem}_{extension}.expected")];
            let twin = twins.map(|name| path.with_file_name(name + ".safetensors"));
            pairs.extend(twin.into_iter().find(|twin| twin.exists()).map(|twin| (path, twin)));
        }
    }
    pairs
}

/// The tensors that the twin is about: of an EDM pickle those of its network.
fn open(path: &Path) -> Checkpoint {
    let file = weights::open(path).unwrap();
    if path.extension().unwrap() == "pkl" { file.within("ema").unwrap() } else { file }
}

/// What the twin says besides tensors.
fn case(twin: &[u8]) -> Map<String, Value> {
    let (_, header) = SafeTensors::read_metadata(twin).unwrap();
    serde_json::from_str(&header.metadata().as_ref().unwrap()["case"]).unwrap()
}

#[test]
fn every_file_reads_as_its_twin() {
    let folder = folder();
    let pairs = pairs(&folder);
    assert!(pairs.len() >= 12, "{pairs:?}");
    for (path, twin) in pairs {
        let twin = fs::read(&twin).unwrap();
        let expected = SafeTensors::deserialize(&twin).unwrap();
        let file = open(&path);
        assert_eq!(file.tensors().len(), expected.len(), "{path:?}");
        for (name, tensor) in expected.iter() {
            let found = file.read(name).unwrap();
            assert_eq!(found.dtype.to_string(), tensor.dtype().to_string(), "{path:?} {name}");
            assert_eq!(found.shape, tensor.shape(), "{path:?} {name}");
            assert!(found.bytes == tensor.data(), "{path:?} {name}: bytes differ");
        }
    }
}

#[test]
fn every_value_is_the_one_in_the_twin() {
    let folder = folder();
    let mut compared = 0;
    for (path, twin) in pairs(&folder) {
        let case = case(&fs::read(&twin).unwrap());
        if let Some(Value::Object(scalars)) = case.get("scalars") {
            let values: Map<_, _> = open(&path).values().unwrap().into_iter().collect();
            assert_eq!(&values, scalars, "{path:?}");
            compared += scalars.len();
        }
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn a_network_of_edm_says_how_it_was_built() {
    let folder = folder();
    for name in ["ddpmpp", "ncsnpp_old_torch"] {
        let case =
            case(&fs::read(folder.join(format!("edm/{name}.expected.safetensors"))).unwrap());
        let network = open(&folder.join(format!("edm/{name}.pkl"))).object("").unwrap();
        assert_eq!(network.class, case["class_name"].as_str().unwrap());
        assert_eq!(Value::Object(network.init_kwargs), case["init_kwargs"]);
        for attribute in ["sigma_data", "sigma_min", "sigma_max"] {
            assert_eq!(network.attributes[attribute], case[attribute], "{attribute}");
        }
    }
}
