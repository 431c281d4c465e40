//! The example that distills, evaluated while it runs, on pictures so small that a run takes seconds.

#[path = "../examples/02_distill/main.rs"]
#[expect(dead_code, reason = "its `main` is not run")]
mod example;

use fewstep::distill_trainer::Manifest;
use fewstep::libtorch_ext::process::set_threads;
use fewstep::prelude::*;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// A teacher of eight steps and a student of eight, measured every second one.
fn distill(out: &Path, pairs: &[&str]) -> Result<(), String> {
    set_threads(1);
    let flags = "distill --size 8 --batch 8 --teacher-kimg 0.064 --kimg 0.064 --evaluate 16 --device cpu --precision f32";
    let network =
        ["network.model_channels=8", "network.channel_mult=[1]", "network.attn_resolutions=[]"];
    let arguments = flags.split(' ').chain(["--out", out.to_str().unwrap()]).chain(network);
    let arguments = arguments.chain(pairs.iter().copied()).map(OsString::from);
    example::run(arguments).map_err(|error| format!("{error:#}"))
}

#[test]
fn the_best_checkpoint_is_saved_beside_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let evaluation =
        ["evaluation.every_kimg=0.016", "evaluation.images=16", "evaluation.keep_best=SW1"];
    distill(&out, &evaluation).unwrap();

    let log = fs::read_to_string(out.join("student/log.jsonl")).unwrap();
    let tick = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        Some((line["progress"]["step"].as_u64()?, line["metrics"]["SW1"].as_f64()?))
    };
    let measured: Vec<(u64, f64)> = log.lines().filter_map(tick).collect();
    let steps: Vec<u64> = measured.iter().map(|(step, _)| *step).collect();
    assert!(steps.ends_with(&[2, 4, 6, 8]), "{steps:?}");
    let of_checkpoints = measured.iter().filter(|(step, _)| step % 2 == 0);
    let (step, value) = of_checkpoints.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();

    let checkpoint = out.join(format!("student/checkpoints/step-{step:09}"));
    let kept = Manifest::read(&checkpoint).unwrap().metrics["SW1"];
    assert_eq!(kept.to_bits(), value.to_bits());
    let weights = |name: &str| {
        let (network, model) = unet::load(&out.join("student").join(name), Device::Cpu).unwrap();
        assert!(model.sampler.is_some());
        let tensors = network.parameters().iter().map(|p| p.tensor.detach().copy());
        tensors.collect::<Vec<_>>()
    };
    assert_eq!(weights("best.safetensors") == weights("model.safetensors"), *step == 8);
    let report = fs::read_to_string(out.join("report.json")).unwrap();
    assert!(report.contains("student_best") && out.join("student_best.png").exists());
}

#[test]
fn what_cannot_be_measured_is_said_before_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |name: &str, pairs: &[&str]| {
        let out = folder.path().join(name);
        let error = distill(&out, pairs).unwrap_err();
        assert!(!out.join("teacher/log.jsonl").exists(), "{error}");
        error
    };
    let every = "evaluation.every_kimg=0.016";
    let unknown = fails("unknown", &[every, "evaluation.keep_best=FID"]);
    assert!(unknown.contains("`FID`; measured are random-FD, SW1"), "{unknown}");
    let never = fails("never", &["evaluation.keep_best=SW1"]);
    assert!(never.contains("without measurements nothing is best"), "{never}");
    let negative = fails("negative", &["evaluation.every_kimg=-1.0"]);
    assert!(negative.contains("`evaluation.every_kimg` is -1"), "{negative}");
    let missing = fails("missing", &[every, "evaluation.classifier=nowhere.safetensors"]);
    assert!(missing.contains("nowhere.safetensors"), "{missing}");
    let recipe = fails("recipe", &[every, "evaluation.recipe=fid"]);
    assert!(recipe.contains("there is no `fid`; there are EDM FID"), "{recipe}");
    let key = fails("key", &["evaluation.every=1"]);
    assert!(key.contains("unknown field `every`"), "{key}");
}
