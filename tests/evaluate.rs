//! The example that measures by published recipes, from end to end, with the network's weights by formula.

#[path = "../examples/07_evaluate/main.rs"]
#[expect(dead_code, reason = "its `main` is not run")]
mod example;

use clap::Parser;
use fewstep::backbones::Inception;
use fewstep::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use tempfile::TempDir;
use testkit::formula;

struct Folder(TempDir);

impl Folder {
    /// Pictures, the network's weights, and a small model.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let network = Inception::zeroed(Device::Cpu);
        formula::fill(network.parameters(), "");
        let weights = folder.0.path().join("inception.safetensors");
        network.parameters().save(&weights, &BTreeMap::new()).unwrap();
        fs::create_dir_all(folder.0.path().join("pictures/all")).unwrap();
        for number in 0..4u64 {
            let picture = Noise::new(number).uniform(&[1, 3, 8, 8]) * 2.0 - 1.0;
            let path = folder.0.path().join(format!("pictures/all/{number}.png"));
            observer::write_grid(&path, &picture, 1).unwrap();
        }
        folder
    }

    fn with_model(self) -> Self {
        let config = SongUnetConfig {
            img_resolution: 8,
            model_channels: 8,
            channel_mult: vec![1],
            num_blocks: 1,
            ..SongUnetConfig::default()
        };
        let model = ModelConfig {
            architecture: unet::Architecture::SongUnet(config),
            preconditioning: Preconditioning::default(),
            sampler: None,
        };
        let network = model.build(&mut Noise::new(1), Device::Cpu).unwrap();
        unet::save(&self.0.path().join("model.safetensors"), network.parameters(), &model).unwrap();
        self
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn evaluate(&self, subject: &str, reference: &str, more: &[&str]) -> Result<String, String> {
        let [subject, reference] = [subject, reference].map(|name| self.path(name));
        let weights = self.path("inception.safetensors");
        let out = self.path("measured.jsonl");
        let base = ["evaluate", &subject, "--reference", &reference, "--weights", &weights];
        let base = base.into_iter().chain(["--out", &out, "--device", "cpu"]);
        let args = example::Args::try_parse_from(base.chain(more.iter().copied())).unwrap();
        example::run(&args).map_err(|error| format!("{error:#}"))?;
        Ok(fs::read_to_string(out).unwrap())
    }
}

fn values(lines: &str) -> Vec<f64> {
    let row = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
    lines.lines().map(|line| row(line)["value"].as_f64().unwrap()).collect()
}

#[test]
fn pictures_are_at_no_distance_from_themselves_and_are_measured_once() {
    let folder = Folder::new();
    let save = folder.path("reference.safetensors");
    let first = folder.evaluate("pictures", "pictures", &["--save-reference", &save]).unwrap();
    assert!(values(&first).len() == 1 && values(&first)[0].abs() < 1e-10, "{first}");
    assert!(first.contains("EDM FID") && first.contains("inception-2015-12-05"), "{first}");
    assert_eq!(folder.evaluate("pictures", "pictures", &[]).unwrap(), first);
    let second = folder.evaluate("pictures", "reference.safetensors", &["--n", "3"]).unwrap();
    assert!(values(&second).len() == 2 && values(&second)[1] > 1e-9, "{second}");
    let other = folder.evaluate("pictures", "reference.safetensors", &["--recipe", "clean-fid"]);
    let error = other.unwrap_err();
    assert!(error.contains("clean-fid") && error.contains("EDM FID"), "{error}");
}

#[test]
fn a_model_is_measured_for_each_seed_and_number_of_steps() {
    let folder = Folder::new().with_model();
    let more = ["--n", "2", "--seeds", "2", "--steps", "1,2"];
    let lines = folder.evaluate("model.safetensors", "pictures", &more).unwrap();
    let values = values(&lines);
    assert_eq!(values.len(), 4);
    assert!(values.iter().all(|value| value.is_finite() && *value > 0.0), "{values:?}");
    assert!(values[0] != values[1] && values[0] != values[2], "{values:?}");
}

#[test]
fn what_cannot_be_measured_is_said() {
    let folder = Folder::new();
    let unknown = folder.evaluate("pictures", "pictures", &["--recipe", "fid"]).unwrap_err();
    assert!(unknown.contains("there is no recipe `fid`; there are EDM FID"), "{unknown}");
    let elsewhere = folder.evaluate("pictures", "pictures", &["--recipe", "CMMD"]).unwrap_err();
    assert!(elsewhere.contains("clip-vit-l14-336"), "{elsewhere}");
    let missing = folder.evaluate("nowhere", "pictures", &[]).unwrap_err();
    assert!(missing.contains("nowhere"), "{missing}");
    let one = folder.evaluate("pictures", "pictures", &["--n", "1"]).unwrap_err();
    assert!(one.contains("`--n` must be at least 2"), "{one}");
}
