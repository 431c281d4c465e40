//! What is wrong with a case is seen, named and survived.

use crate::files;
use golden::{Tolerance, Verdict};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use tch::Tensor;
use testkit::GoldenCase;

/// Runs the program: its exit status and what it printed.
fn golden(arguments: &[&str], folder: &Path) -> (Option<i32>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_golden"));
    let output = program.args(arguments).arg(folder).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// The tensor with its first value moved by ten times the tolerance (visibly in `f32` if that is 0), or by 1 if it holds
/// integers.
fn moved(tensor: &Tensor, tolerance: Tolerance) -> Tensor {
    let flat = tensor.copy().view(-1);
    let mut first = flat.get(0);
    let distance = || match tolerance {
        Tolerance::Relative(0.0) => 1e-6,
        Tolerance::Relative(limit) => 10.0 * limit * tensor.abs().max().double_value(&[]),
        Tolerance::Absolute(limit) => 10.0 * limit,
    };
    let _ = if tensor.is_floating_point() {
        first.g_add_scalar_(distance())
    } else {
        first.g_add_scalar_(1i64)
    };
    flat.view(tensor.size().as_slice())
}

#[test]
fn every_result_of_every_case_is_compared() {
    let folder = tempfile::tempdir().unwrap();
    let is_small = |path: &&std::path::PathBuf| {
        !["cifar_full", "feat_", "inception_fid", "lpips"]
            .iter()
            .any(|big| path.to_string_lossy().contains(big))
    };
    for path in files::computed().iter().filter(is_small) {
        let case = GoldenCase::open(path).unwrap();
        let replayed = golden::replayer(&case.stem).unwrap()(&case).unwrap();
        for output in case.tensors.keys().filter(|name| replayed.is_result(name)) {
            let of_case = || Tolerance::Relative(case.tolerance().unwrap());
            let tolerance = replayed.tolerance(output).unwrap_or_else(of_case);
            let changed = files::edited(path, folder.path(), &case.stem, |file| {
                let entry = file.tensors.iter_mut().find(|(name, _)| name == output).unwrap();
                entry.1 = moved(&entry.1, tolerance);
            });
            match Verdict::of(&changed) {
                Verdict::Different(worst) => assert_eq!(&worst.tensor, output),
                other => panic!("{} with another {output}: {other:?}", case.stem),
            }
        }
    }
}

#[test]
fn a_different_result_fails_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let _ = files::edited(
        &files::case("edm_sampler_few_steps"),
        folder.path(),
        "edm_sampler_2",
        |file| {
            let (_, x) = file.tensors.iter_mut().find(|(name, _)| name == "out.x").unwrap();
            *x = moved(x, Tolerance::Relative(1e-11));
        },
    );
    let (status, report) = golden(&[], folder.path());
    assert_eq!(status, Some(1));
    assert!(report.starts_with("FAIL edm_sampler_2 out.x 1.0e-10 1e-11\n"), "{report}");
    assert!(report.ends_with("0 ok, 1 failed, 0 skipped\n"), "{report}");
}

#[test]
fn a_truncated_file_is_a_failure_and_the_others_still_run() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(files::case("karras_grids")).unwrap();
    std::fs::write(folder.path().join("karras_grids.safetensors"), &bytes).unwrap();
    std::fs::create_dir(folder.path().join("deeper")).unwrap();
    let truncated = folder.path().join("deeper/karras_grids_cut.safetensors");
    std::fs::write(truncated, &bytes[..bytes.len() - 9]).unwrap();
    let (status, report) = golden(&[], folder.path());
    assert_eq!(status, Some(1));
    let lines: Vec<&str> = report.lines().collect();
    assert!(lines[0].starts_with("FAIL karras_grids_cut "), "{report}");
    assert!(lines[0].contains("not a readable safetensors file"), "{report}");
    assert!(lines[1].starts_with("ok   karras_grids out.sigmas_"), "{report}");
    assert_eq!(lines[2], "1 ok, 1 failed, 0 skipped");
}

#[test]
fn unknown_families_are_skipped_unless_strict() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(files::case("ema"), folder.path().join("some_new_loss.safetensors")).unwrap();
    let report = "skip some_new_loss no known stem\n0 ok, 0 failed, 1 skipped\n";
    assert_eq!(golden(&[], folder.path()), (Some(0), report.into()));
    assert_eq!(golden(&["--strict"], folder.path()), (Some(1), report.into()));
}

#[test]
fn a_folder_without_cases_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(golden(&[], folder.path()), (Some(1), String::new()));
    assert_eq!(golden(&[], &folder.path().join("missing")), (Some(1), String::new()));
}

/// The reason for which a changed case cannot be replayed.
fn reason(name: &str, edit: impl FnOnce(&mut diffusion_core::tensor_file::TensorFile)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = files::edited(&files::case(name), folder.path(), name, edit);
    match Verdict::of(&path) {
        Verdict::Broken(error) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_wrong_with_a_case_is_named() {
    let extra =
        reason("edm_edm", |file| file.tensors.push(("out.extra".into(), Tensor::from(1f32))));
    assert!(extra.contains("`out.extra` is in the file"), "{extra}");
    let empty =
        reason("edm_edm", |file| file.tensors.retain(|(name, _)| !name.starts_with("out.")));
    assert!(empty.contains("no result"), "{empty}");
    let missing = reason("edm_edm", |file| file.tensors.retain(|(name, _)| name != "draw.rnd"));
    assert!(missing.contains("no tensor `draw.rnd`"), "{missing}");
    let other = reason("edm_edm", |file| files::configure(file, json!({"cls": "VELoss"})));
    assert!(other.contains("`cls` is VELoss; the workspace has EDMLoss"), "{other}");
    let unknown = reason("sid_generator_a1.0", |file| files::configure(file, json!({"beta": 1})));
    assert!(unknown.contains("unknown field `beta`"), "{unknown}");
    let nothing = reason("ema", |file| file.metadata.clear());
    assert!(nothing.contains("no metadata entry `case`"), "{nothing}");
    let impossible = reason("edm_sampler_few_steps", |file| {
        files::configure(file, json!({"num_steps": 0}));
    });
    assert!(impossible.contains("`steps` is 0"), "{impossible}");
}

#[test]
fn a_panic_is_a_failure_too() {
    let message = reason("edm_edm", |file| {
        let (_, noise) = file.tensors.iter_mut().find(|(name, _)| name == "draw.noise").unwrap();
        *noise = noise.narrow(0, 0, 1);
    });
    assert!(message.starts_with("the replay panicked: "), "{message}");
    assert!(message.contains("must have the same shape"), "{message}");
}
