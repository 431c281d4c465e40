//! Published networks from their tensors to a network: what the lists of official state dicts are recognized as is
//! built, and has exactly the list's names and shapes.

use fewstep::tch::Device;
use fewstep::unet::{Architecture, AutoencoderKl, Get, ModelConfig, Module, SemanticEncoder};
use fewstep::weights::{Detected, Family, StateDictList};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// What no tensor tells and no table of published networks knows.
const GIVEN: &[(&str, &str, i64)] = &[("sferd_shift_unet_cifar_example", "num_heads", 1)];

/// Name and shape, a line each, without the table of noise levels that belongs to a preconditioning.
fn lines(list: &StateDictList) -> Vec<(String, Vec<i64>)> {
    let shape = |shape: &[usize]| shape.iter().map(|&n| n as i64).collect();
    let rows = list.tensors().iter().filter(|tensor| tensor.name != "u");
    rows.map(|tensor| (tensor.name.clone(), shape(&tensor.shape))).collect()
}

fn detect(stem: &str, list: &StateDictList) -> (Family, Detected) {
    let family = Family::of(list.tensors()).unwrap_or_else(|error| panic!("{stem}: {error}"));
    let given = GIVEN.iter().filter(|(name, ..)| *name == stem);
    let given: Map<String, Value> =
        given.map(|(_, field, value)| ((*field).to_owned(), json!(value))).collect();
    let detected = family.read(list.tensors(), &given);
    (family, detected.unwrap_or_else(|error| panic!("{stem}: {error}")))
}

fn module<M: Module>(stem: &str, config: Map<String, Value>) -> Vec<(String, Vec<i64>)> {
    let config: M::Config =
        serde_json::from_value(config.into()).unwrap_or_else(|error| panic!("{stem}: {error}"));
    let network = M::zeroed(&config, Device::Cpu).unwrap();
    network.parameters().iter().map(|entry| (entry.name.clone(), entry.tensor.size())).collect()
}

#[test]
fn what_is_recognized_can_be_built() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/unet/tests/state_dicts");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let list = StateDictList::open(&path).unwrap();
        let (family, Detected { mut config, preconditioning, .. }) = detect(&stem, &list);
        let built = match family.kind() {
            AutoencoderKl::KIND => module::<AutoencoderKl>(&stem, config),
            SemanticEncoder::KIND => module::<SemanticEncoder>(&stem, config),
            Get::KIND => module::<Get>(&stem, config),
            kind => {
                config.insert("kind".into(), kind.into());
                let preconditioning = preconditioning.unwrap_or_else(|| json!({ "kind": "edm" }));
                let model = json!({ "architecture": config, "preconditioning": preconditioning });
                let model: ModelConfig =
                    serde_json::from_value(model).unwrap_or_else(|e| panic!("{stem}: {e}"));
                model.preconditioning.validate().unwrap();
                let architecture: Architecture = model.architecture;
                architecture.state_dict().unwrap_or_else(|error| panic!("{stem}: {error}"))
            }
        };
        let expected = lines(&list);
        for (found, expected) in built.iter().zip(&expected) {
            assert_eq!(found, expected, "{stem}");
        }
        assert_eq!(built.len(), expected.len(), "{stem}");
        count += 1;
    }
    assert_eq!(count, 22);
}
