//! What a run is said to take, and what it takes.

use crate::child::{Running, say_step};
use crate::saved::{checkpoint, content};
use crate::tiny::{build, config, pictures, trainer};
use fewstep::datasets::{Loader, Shapes};
use fewstep::diffusion_schedule::Edm;
use fewstep::distill_trainer::{Better, Error, Precision};
use fewstep::libtorch_ext::process::{peak_rss, set_threads};
use fewstep::prelude::*;
use fewstep::unet::Architecture;
use std::sync::Arc;

#[test]
fn planning_changes_nothing_in_the_run() {
    for entry in METHODS {
        let [plain, planned] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        for (folder, plan) in [(&plain, false), (&planned, true)] {
            let mut trainer = trainer(build(entry), config(entry, 3), folder.path());
            let mut data = pictures();
            if plan {
                trainer.plan(&mut data).unwrap();
            }
            trainer.run(&mut data).unwrap();
        }
        let same = content(plain.path(), 3) == content(planned.path(), 3);
        assert!(same, "`{}`: the planned run went another way", entry.name);
    }
}

#[test]
fn the_size_of_a_checkpoint_is_foreseen() {
    for entry in METHODS {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::at(folder.path(), 2).keep_best("fid", Better::Lower, 1);
        let mut trainer = Trainer::new(build(entry), config(entry, 9), Device::Cpu)
            .unwrap()
            .checkpoints(checkpoints);
        let disk = trainer.plan(&mut pictures()).unwrap().disk.unwrap();
        assert_eq!(disk.checkpoints, 4, "two new ones, the best one, and the next one");
        trainer.run(&mut pictures()).unwrap();
        let file = checkpoint(folder.path(), 9).join("state.safetensors");
        let written = std::fs::metadata(file).unwrap().len();
        let header = 8 + 160 * 1024; // names and shapes of some hundred tensors
        assert!((disk.each..disk.each + header).contains(&written), "{written}, not {}", disk.each);
    }
}

#[test]
fn a_run_that_cannot_fit_is_refused() {
    let entry = method("teacher").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = trainer(build(entry), config(entry, 3), folder.path());
    let mut plan = trainer.plan(&mut pictures()).unwrap();
    plan.check().unwrap();
    plan.batch = 1_000_000_000;
    assert!(matches!(plan.check(), Err(Error::Memory { .. })));
}

const METHOD: &str = "FEWSTEP_PLANNED_METHOD";
const IMAGES: usize = 32;

/// Plans and runs three steps of a method on a network of which a step takes some hundred megabytes, and says the planned
/// and the measured peak in kilobytes. Does nothing in the test program itself.
#[test]
fn in_a_process_of_its_own() {
    let Ok(name) = std::env::var(METHOD) else { return };
    set_threads(1);
    let architecture = Architecture::SongUnet(SongUnetConfig {
        img_resolution: 16,
        model_channels: 32,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        ..SongUnetConfig::default()
    });
    let preconditioning = Preconditioning::Edm(Edm::default());
    let model = ModelConfig { architecture, preconditioning, sampler: None };
    let network = model.build(&mut Noise::new(1), Device::Cpu).unwrap();
    let entry = method(&name).unwrap();
    let method = (entry.build)(&Ingredients::distill(&network), &(entry.options)()).unwrap();
    let kimg = |steps: usize| (steps * IMAGES) as f64 / 1000.0;
    let (precision, roles) = (Precision::F32, (entry.short_run)());
    let config = TrainConfig {
        batch: IMAGES,
        kimg: kimg(3),
        checkpoint_kimg: kimg(1),
        precision,
        roles,
        ..TrainConfig::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = trainer(method, config, folder.path());
    let mut data = Loader::new(Arc::new(Shapes::new(16, 200, 0)), 5).unwrap();
    let plan = trainer.plan(&mut data).unwrap();
    trainer.run(&mut data).unwrap();
    eprintln!("{plan}");
    say_step(plan.peak().unwrap() / 1024);
    say_step(peak_rss().unwrap() / 1024);
}

#[cfg(target_os = "linux")]
#[test]
fn the_planned_peak_is_the_measured_one() {
    for name in ["teacher", "sid", "cd"] {
        let mut process = Running::start("planned::in_a_process_of_its_own", &[(METHOD, name)]);
        let [planned, measured] = [(); 2].map(|()| process.next_step().unwrap() as f64);
        assert!(process.end().success());
        let ratio = planned / measured;
        eprintln!("{name}: {planned} kB planned, {measured} kB measured, ratio {ratio:.2}");
        assert!((0.8..1.25).contains(&ratio), "{name}: {planned} kB planned, {measured} kB used");
    }
}
