//! What a user can get wrong, and what fails under a run: every one ends in an error that says where and why.

use crate::faulty::{Counted, Fault, Odd};
use crate::saved::{names, steps, tensors};
use crate::tiny::{SIZE, build, config, pictures, plain_config, trainer};
use crate::toy::{FIRST_TURN, Toy};
use crate::watch::Recorder;
use fewstep::datasets::{self, Loader, OpenOptions};
use fewstep::diffusion_core::Error as CoreError;
use fewstep::distill_trainer::observer::{JsonLines, LossCurves, SampleGrid, write_grid};
use fewstep::distill_trainer::{Error, OnNonFinite};
use fewstep::prelude::*;
use fewstep::{distill_losses, libtorch_ext, unet};
use std::path::Path;
use std::sync::Arc;

#[test]
fn an_unknown_method() {
    let error = method("sdi").unwrap_err();
    assert!(
        matches!(&error, distill_losses::Error::UnknownMethod { suggestion: Some("sid"), .. }),
        "{error}"
    );
    let message = error.to_string();
    assert!(METHODS.iter().all(|entry| message.contains(entry.name)), "{message}");
}

#[test]
fn data_sets_that_are_missing_empty_corrupt_or_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("empty")).unwrap();
    std::fs::write(path("corrupt.zip"), b"this is no archive").unwrap();
    std::fs::write(path("cut_off.bin"), [0; 3073 + 100]).unwrap();
    std::fs::write(path("notes.txt"), b"no pictures here").unwrap();
    for name in ["missing", "empty", "corrupt.zip", "cut_off.bin", "notes.txt"] {
        let path = path(name);
        let message = datasets::open(&path, &OpenOptions::default()).unwrap_err().to_string();
        assert!(message.contains(path.to_str().unwrap()), "{message}");
    }
}

/// The whole chain of an error's causes.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What ends a run on pictures of which one is odd; the steps before it are saved.
fn odd_picture(fault: Fault) -> String {
    let folder = tempfile::tempdir().unwrap();
    let entry = method("teacher").unwrap();
    let config = TrainConfig { checkpoint_kimg: 99.0, ..config(entry, 9) };
    let mut trainer = trainer(build(entry), config, folder.path());
    let mut data = Loader::new(Arc::new(Odd::new(SIZE, fault)), 4).unwrap();
    let error = trainer.run(&mut data).unwrap_err();
    let Error::At { progress, .. } = &error else { panic!("{error}") };
    assert!(progress.step > 0, "the odd picture is in the first batch: choose another seed");
    assert_eq!(names(folder.path()), steps([progress.step]), "the good steps are not saved");
    causes(&error)
}

#[test]
fn a_picture_of_another_size_in_the_middle_of_a_run() {
    let message = odd_picture(Fault::Size);
    assert!(message.contains("shapes #7") && message.contains("(4, 4)"), "{message}");
}

#[test]
fn a_picture_with_other_channels_in_the_middle_of_a_run() {
    let message = odd_picture(Fault::Channels);
    assert!(message.contains("shapes #7") && message.contains("1 channel"), "{message}");
}

#[test]
fn a_label_out_of_range() {
    let message = odd_picture(Fault::Label);
    assert!(message.contains("label 12") && message.contains("12 classes"), "{message}");
    let error = Cond::classes(&[3, -1], 12, Device::Cpu).unwrap_err();
    assert!(matches!(error, CoreError::LabelOutOfRange { label: -1, position: 1, classes: 12 }));
}

#[test]
fn a_configuration_with_an_unknown_key() {
    for (text, key) in [
        ("bacth = 4", "bacth"),
        ("[roles.student]\nlearning_rate = 0.1", "learning_rate"),
        ("[roles.student.optimizer]\nmomentum = 0.9", "momentum"),
        ("[roles.student.decay]\nkind = 'step'\nat = 0.5\nfactor = 0.1\nwarp = 1", "warp"),
        ("[roles.student.decay]\nkind = 'linear'\nat = 0.5", "at"),
        ("[roles.student.ema]\nkind = 'constant'\ndecay = 0.9\nkimg = 1.0", "kimg"),
    ] {
        let message = toml::from_str::<TrainConfig>(text).unwrap_err().to_string();
        assert!(message.contains(&format!("`{key}`")), "{text}: {message}");
    }
    let teacher = crate::tiny::network(1);
    for entry in METHODS {
        let options = "distance = { kind = 'l2', c = 0.1 }".parse().unwrap();
        let built = (entry.build)(&Ingredients::distill(&teacher), &options);
        let message = built.err().unwrap().to_string();
        assert!(message.contains(entry.name), "{message}");
        assert!(message.contains("`c`") || message.contains("`distance`"), "{message}");
    }
}

#[test]
fn a_configuration_with_an_impossible_value() {
    for (text, word) in [
        ("precision = 'f64'", "`f64`"),
        ("on_non_finite = 'ignore'", "`ignore`"),
        ("batch = -4", "-4"),
        ("[roles.student.optimizer]\nalgorithm = 'sgd'", "`sgd`"),
    ] {
        let message = toml::from_str::<TrainConfig>(text).unwrap_err().to_string();
        assert!(message.contains(word), "{text}: {message}");
    }
    for (text, field) in [
        ("batch = 0", "batch"),
        ("micro_batch = 0", "micro_batch"),
        ("kimg = -1.0", "kimg"),
        ("tick_kimg = nan", "tick_kimg"),
        ("checkpoint_kimg = inf", "checkpoint_kimg"),
        ("[roles.network.optimizer]\nlr = 0.0", "roles.network.optimizer.lr"),
        ("[roles.network.optimizer]\nbetas = [0.9, 1.0]", "roles.network.optimizer.betas"),
        ("[roles.network]\nwarmup_kimg = -1.0", "roles.network.warmup_kimg"),
        ("[roles.network]\nclip_norm = 0.0", "roles.network.clip_norm"),
        ("[roles.network.decay]\nkind = 'step'\nat = 1.5\nfactor = 0.1", "roles.network.decay.at"),
        ("[roles.network.ema]\nkind = 'constant'\ndecay = 1.0", "roles.network.ema.decay"),
        (
            "[[roles.network.more_emas]]\nkind = 'power'\nstd = 0.5",
            "roles.network.more_emas[0].std",
        ),
        ("[roles.network]\nfreeze = ['[']", "roles.network.freeze[0]"),
    ] {
        let config: TrainConfig = toml::from_str(text).unwrap();
        let built = Trainer::new(build(method("teacher").unwrap()), config, Device::Cpu);
        match built.unwrap_err() {
            Error::Config { field: named, .. } => assert_eq!(named, field),
            other => panic!("{text}: {other}"),
        }
    }
}

#[test]
fn settings_for_a_role_that_the_method_lacks() {
    let config: TrainConfig = toml::from_str("[roles.studnet]\nwarmup_kimg = 1.0").unwrap();
    let error = Trainer::new(build(method("cd").unwrap()), config, Device::Cpu).unwrap_err();
    let Error::Roles { configured, players } = error else { panic!("{error}") };
    assert_eq!((&configured[..], &players[..]), (&["studnet".into()][..], &["student".into()][..]));
}

#[test]
fn cuda_where_there_is_none() {
    let found = libtorch_ext::cuda::device_count();
    let absent = if found == 0 { "cuda".to_owned() } else { format!("cuda:{found}") };
    let error = device::parse(&absent).unwrap_err();
    assert!(
        matches!(&error, CoreError::NoCuda { requested, found: n } if *requested == absent && *n == found)
    );
    assert!(error.to_string().contains("cargo xtask doctor"), "{error}");
    assert!(matches!(device::parse("gpu"), Err(CoreError::UnknownDevice(_))));
}

const BAD_STEP: u64 = 3;

/// A run of seven steps whose fourth batch is NaN, saved after every step.
fn poisoned(folder: &Path, on_non_finite: OnNonFinite) -> (Result<Outcome, Error>, Recorder) {
    let entry = method("teacher").unwrap();
    let config = TrainConfig { on_non_finite, checkpoint_kimg: 0.004, ..config(entry, 7) };
    let recorder = Recorder::default();
    let mut trainer = trainer(build(entry), config, folder).observe(recorder.clone());
    (trainer.run(&mut Counted::poisoned(pictures(), BAD_STEP as usize)), recorder)
}

#[test]
fn a_loss_that_is_nan_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let error = poisoned(folder.path(), OnNonFinite::Error).0.unwrap_err();
    let Error::At { progress, source } = error else { panic!("{error}") };
    assert_eq!(progress.step, BAD_STEP);
    assert_eq!(names(folder.path()), steps(1..=BAD_STEP));
    let Error::NonFinite { step, turn, what } = *source else { panic!("{source}") };
    assert_eq!((step, turn, &what[..]), (BAD_STEP, "denoise", "the loss"));
}

#[test]
fn a_gradient_that_is_nan_is_named() {
    let loss = |number: &Tensor| (number * 0.0).sqrt(); // 0, with the gradient 0 · ∞
    let toy = Toy { turns: vec![FIRST_TURN], loss, ..Toy::new() };
    let mut trainer = Trainer::new(toy, plain_config(1), Device::Cpu).unwrap();
    let error = trainer.run(&mut pictures()).unwrap_err();
    let Error::At { source, .. } = error else { panic!("{error}") };
    let Error::NonFinite { turn, what, .. } = *source else { panic!("{source}") };
    assert_eq!((turn, &what[..]), ("move-first", "the gradient of first's `w`"));
}

#[test]
fn a_skipped_step_leaves_the_weights_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, recorder) = poisoned(folder.path(), OnNonFinite::SkipStep);
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    let read = |step, part: &str| tensors(folder.path(), step, &format!("players.network:{part}."));
    for part in ["weights", "optimizer"] {
        assert_eq!(read(BAD_STEP, part), read(BAD_STEP + 1, part), "the bad step moved {part}");
        assert_ne!(read(BAD_STEP + 1, part), read(BAD_STEP + 2, part), "the run does not go on");
    }
    all_finite(&recorder);
}

#[test]
fn a_mended_gradient_lets_the_run_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, recorder) = poisoned(folder.path(), OnNonFinite::ZeroGrad);
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    let updates = tensors(folder.path(), 7, "players.network:optimizer.step");
    assert!(updates.values().all(|n| n.double_value(&[]) == 7.0), "a step was left out");
    let finite = |tensor: &Tensor| tensor.isfinite().all().int64_value(&[]) == 1;
    assert!(tensors(folder.path(), 7, "players.network:").values().all(finite));
    all_finite(&recorder);
}

/// The bad turn is counted, and its numbers are not mixed with good ones.
fn all_finite(recorder: &Recorder) {
    for tick in recorder.ticks() {
        assert_eq!(tick.non_finite, u64::from(tick.progress.step > BAD_STEP));
        assert!(tick.terms.values().all(|value| value.is_finite()), "{tick:?}");
        assert_eq!(tick.terms.contains_key("denoise/loss"), tick.progress.step != BAD_STEP + 1);
    }
}

#[test]
fn an_output_folder_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"a file, not a folder").unwrap();
    let inside = file.join("out");

    let named = |error: Error| assert!(causes(&error).contains(file.to_str().unwrap()), "{error}");
    named(CheckpointFolder::create(&inside, 1).unwrap_err());
    named(JsonLines::create(inside.join("log.jsonl")).unwrap_err());
    let images = Tensor::zeros([1, 3, 8, 8], (Kind::Float, Device::Cpu));
    named(write_grid(&inside.join("grid.png"), &images, 1).unwrap_err());
    let network = crate::tiny::network(0);
    let saved =
        unet::save(&inside.join("m.safetensors"), network.parameters(), &crate::tiny::model());
    assert!(saved.unwrap_err().to_string().contains(file.to_str().unwrap()));

    let grid = SampleGrid::new(&inside, [3, 8, 8], [1, 1], &Noise::new(0));
    let toy = || Trainer::new(Toy::new(), plain_config(1), Device::Cpu).unwrap();
    for mut trainer in
        [toy().observe(LossCurves::new(inside.join("curves.png"))), toy().observe(grid)]
    {
        let mut data = Counted::new(pictures());
        named(trainer.run(&mut data).unwrap_err());
        assert_eq!(data.batches.get(), 0, "the run began although its pictures cannot be written");
    }
}
