//! Saved models, whole and damaged.

use diffusion_core::{Cond, Denoiser, Noise, tensor_file};
use diffusion_schedule::{Edm, IDdpm, Preconditioning, SamplerConfig};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};
use unet::{Architecture, Error, ModelConfig, SongUnetConfig, load, save};

fn config() -> ModelConfig {
    let network = SongUnetConfig {
        img_resolution: 8,
        label_dim: 2,
        model_channels: 8,
        channel_mult: vec![1],
        num_blocks: 1,
        ..SongUnetConfig::default()
    };
    ModelConfig {
        architecture: Architecture::SongUnet(network),
        preconditioning: Preconditioning::Edm(Edm { sigma_data: 0.25 }),
        sampler: Some(SamplerConfig::default()),
    }
}

/// A folder with a saved model in it.
fn saved() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("teacher.safetensors");
    let network = config().build(&mut Noise::new(1), Device::Cpu).unwrap();
    save(&path, network.parameters(), &config()).unwrap();
    (folder, path)
}

fn load_error(path: &Path) -> Error {
    load(path, Device::Cpu).err().expect("loading must fail")
}

/// Writes the model again with other tensors or metadata.
fn rewrite(path: &Path, change: impl FnOnce(&mut tensor_file::TensorFile)) {
    let mut file = tensor_file::read(path).unwrap();
    change(&mut file);
    let tensors = file.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    tensor_file::write(path, tensors, &file.metadata).unwrap();
}

#[test]
fn a_model_round_trips() {
    let (_folder, path) = saved();
    let (network, loaded) = load(&path, Device::Cpu).unwrap();
    assert_eq!(loaded, config());
    let original = config().build(&mut Noise::new(1), Device::Cpu).unwrap();
    let x = Noise::new(2).normal(&[2, 3, 8, 8]);
    let sigma = Tensor::from_slice(&[0.5f32, 2.0]);
    let cond = Cond::classes(&[0, 1], 2, Device::Cpu).unwrap();
    assert_eq!(network.denoise(&x, &sigma, &cond), original.denoise(&x, &sigma, &cond));
}

#[test]
fn the_sidecar_holds_the_same_configuration() {
    let (_folder, path) = saved();
    let sidecar = std::fs::read_to_string(path.with_extension("json")).unwrap();
    let metadata = tensor_file::read(&path).unwrap().metadata;
    assert_eq!(sidecar.trim_end(), metadata["config"]);
    assert!(sidecar.contains("\"kind\": \"song-unet\""), "{sidecar}");
}

#[test]
fn a_missing_or_truncated_file_is_named() {
    let (_folder, path) = saved();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = load_error(&path);
    assert!(matches!(error, Error::Core(diffusion_core::Error::BadTensorFile { .. })), "{error}");
    let error = load_error(&path.with_file_name("absent.safetensors"));
    assert!(error.to_string().contains("absent.safetensors"), "{error}");
}

#[test]
fn a_file_without_configuration_says_what_to_do() {
    let (_folder, path) = saved();
    rewrite(&path, |file| file.metadata = BTreeMap::new());
    let error = load_error(&path);
    assert!(matches!(error, Error::NoConfig { .. }), "{error}");
    assert!(error.to_string().contains("Parameters::load_file"));
}

#[test]
fn an_unknown_or_impossible_configuration_is_refused() {
    let (_folder, path) = saved();
    let edit = |from: &str, to: &str| {
        rewrite(&path, |file| {
            let json = file.metadata.get_mut("config").unwrap();
            assert!(json.contains(from));
            *json = json.replace(from, to);
        });
        load_error(&path)
    };
    let error = edit("\"num_blocks\": 1", "\"num_blocks\": 0");
    assert!(matches!(&error, Error::BadModel { .. }) && error.to_string().contains("num_blocks"));
    let error = edit("\"num_blocks\": 0", "\"n_blocks\": 1");
    assert!(matches!(error, Error::BadConfig { .. }), "{error}");
    assert!(error.to_string().contains("unknown field `n_blocks`"), "{error}");
    let error = edit("\"song-unet\"", "\"perceptron\"");
    assert!(error.to_string().contains("unknown variant `perceptron`"), "{error}");
}

#[test]
fn a_configuration_of_a_huge_network_takes_no_memory() {
    let (_folder, path) = saved();
    rewrite(&path, |file| {
        let json = file.metadata.get_mut("config").unwrap();
        *json = json.replace("\"model_channels\": 8", "\"model_channels\": 16384"); // 50 GB
    });
    let error = load_error(&path);
    let Error::BadModel { reason, .. } = &error else { panic!("{error}") };
    let &Error::TooFewValues { needs, holds } = &**reason else { panic!("{error}") };
    assert!(needs > 10_000_000_000 && holds < 100_000, "{error}");
}

#[test]
fn tensors_of_another_network_are_refused() {
    let (_folder, path) = saved();
    rewrite(&path, |file| file.tensors[0].0 = "other".into());
    let error = load_error(&path);
    assert!(error.to_string().contains("unexpected [\"other\"]"), "{error}");
    assert!(std::error::Error::source(&error).is_none(), "a reporter would print it again");

    let (_folder, path) = saved();
    let name = "model.map_layer0.bias";
    rewrite(&path, |file| {
        let entry = file.tensors.iter_mut().find(|(found, _)| found == name).unwrap();
        entry.1 = Tensor::zeros([3], (Kind::Float, Device::Cpu));
    });
    let error = load_error(&path);
    assert!(error.to_string().contains("`model.map_layer0.bias` has shape [3]"), "{error}");
}

#[test]
fn the_table_of_an_official_preconditioning_is_dropped() {
    let (_folder, path) = saved();
    let iddpm = IDdpm { m: 20, ..IDdpm::default() };
    rewrite(&path, |file| {
        let config = ModelConfig { preconditioning: Preconditioning::IDdpm(iddpm), ..config() };
        file.metadata.insert("config".into(), serde_json::to_string(&config).unwrap());
        file.tensors.insert(0, ("u".into(), Tensor::from_slice(&iddpm.u()).to_kind(Kind::Float)));
    });
    let (network, config) = load(&path, Device::Cpu).unwrap();
    assert_eq!(config.preconditioning, network.preconditioning());
    assert!(network.parameters().get("u").is_none());
    rewrite(&path, |file| {
        let (_, u) = file.tensors.iter_mut().find(|(name, _)| name == "u").unwrap();
        *u = u.neg();
    });
    let error = load_error(&path);
    assert!(error.to_string().contains("`u` holds other noise levels"), "{error}");
}

#[test]
fn a_folder_that_does_not_exist_is_an_error() {
    let (folder, _path) = saved();
    let network = config().build(&mut Noise::new(1), Device::Cpu).unwrap();
    let path = folder.path().join("no/such/folder/teacher.safetensors");
    let error = save(&path, network.parameters(), &config()).unwrap_err();
    assert!(error.to_string().contains("no/such/folder"), "{error}");
}
