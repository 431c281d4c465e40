//! From pictures to a saved one-step generator.

use crate::saved::truncate;
use crate::tiny::{CLASSES, SIZE, model};
use crate::watch::Recorder;
use fewstep::datasets::{Loader, Shapes};
use fewstep::distill_trainer::Precision;
use fewstep::libtorch_ext::process::set_threads;
use fewstep::prelude::*;
use fewstep::unet;
use std::sync::Arc;

fn trained(
    name: &str,
    ingredients: &Ingredients<'_>,
    kimg: f64,
) -> (Trainer<Box<dyn Distiller>>, Recorder) {
    let entry = method(name).unwrap();
    let mut roles = (entry.short_run)();
    for role in roles.values_mut() {
        role.warmup_kimg = 0.0;
        role.optimizer.lr *= 3.0;
    }
    let config = TrainConfig {
        batch: 16,
        kimg,
        tick_kimg: 0.08,
        precision: Precision::F32,
        roles,
        ..TrainConfig::default()
    };
    let recorder = Recorder::default();
    let method = (entry.build)(ingredients, &(entry.options)()).unwrap();
    let mut trainer = Trainer::new(method, config, Device::Cpu).unwrap().observe(recorder.clone());
    let mut data = Loader::new(Arc::new(Shapes::new(SIZE, 600, 0)), 0).unwrap();
    assert_eq!(trainer.run(&mut data).unwrap(), Outcome::Finished);
    (trainer, recorder)
}

fn sample(generator: &dyn Generator) -> Tensor {
    let labels: Vec<i64> = (0..CLASSES).collect();
    let cond = Cond::classes(&labels, CLASSES, Device::Cpu).unwrap();
    let mut noise = Noise::new(9);
    let z = noise.normal(&[CLASSES, 3, SIZE.into(), SIZE.into()]);
    generator.generate(&z, &cond, &mut noise)
}

#[test]
fn a_distilled_student_samples_the_same_from_its_file() {
    set_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.safetensors");

    let fresh = model().build(&mut Noise::new(0), Device::Cpu).unwrap();
    let (teacher, recorder) = trained("teacher", &Ingredients::train(&fresh), 0.96);
    let losses = recorder.term("denoise/loss");
    let (start, end) = (losses[0], losses[losses.len() - 1]);
    assert!(end < 0.7 * start, "the teacher's loss went from {start} to {end}");

    let teacher = {
        let _averages = teacher.averaged();
        teacher.method().network().twin()
    };
    let (student, _) = trained("sid", &Ingredients::distill(&teacher), 0.32);
    let raw = sample(&*student.method().student());
    let _averages = student.averaged();
    let in_memory = sample(&*student.method().student());
    assert_ne!(raw, in_memory, "the average is no other than the last weights");

    let config = ModelConfig { sampler: Some(student.method().sampler()), ..model() };
    unet::save(&path, student.method().network().parameters(), &config).unwrap();
    let (loaded, read) = unet::load(&path, Device::Cpu).unwrap();
    assert_eq!(read, config);
    let sampler = read.sampler.unwrap().build().unwrap();
    let generator = Sampling::new(loaded, sampler);
    assert_eq!(generator.nfe(), 1);
    assert_eq!(sample(&generator), in_memory);
    assert_eq!(in_memory.isfinite().all().int64_value(&[]), 1);

    truncate(&path);
    let message = unet::load(&path, Device::Cpu).err().unwrap().to_string();
    assert!(message.contains("student.safetensors"), "{message}");
}
