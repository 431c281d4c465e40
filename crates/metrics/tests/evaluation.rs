//! Generators with known images, through the whole evaluation.

use diffusion_core::{Batch, Cond, Generator, Noise};
use metrics::{
    Error, Evaluation, FeatureFrechet, Metric, RandomConvFeatures, RandomFeatureFrechet, Report,
    SetStatistic, table,
};
use std::cell::RefCell;
use tch::{Device, Kind, Tensor};

/// A generator given by a function of latents, conditions and noise.
struct Function<F>(F);

impl<F: Fn(&Tensor, &Cond, &mut Noise) -> Tensor> Generator for Function<F> {
    fn generate(&self, z: &Tensor, cond: &Cond, noise: &mut Noise) -> Tensor {
        (self.0)(z, cond, noise)
    }

    fn nfe(&self) -> usize {
        3
    }
}

fn scaled(scale: f64) -> impl Generator {
    Function(move |z: &Tensor, _: &Cond, _: &mut Noise| z * scale)
}

/// Class 0 in three of four images.
fn reference(n: usize) -> Batch {
    let images = Noise::new(1).normal(&[n as i64, 3, 8, 8]) * 0.3;
    let labels: Vec<i64> = (0..n).map(|i| i64::from(i % 4 == 3)).collect();
    Batch { images, cond: Cond::classes(&labels, 2, Device::Cpu).unwrap() }
}

fn labels(cond: &Cond) -> Vec<i64> {
    cond.labels.as_ref().unwrap().argmax(1, false).try_into().unwrap()
}

#[test]
fn the_right_distribution_reaches_the_floor_and_wrong_ones_do_not() {
    let reference = reference(256);
    let mut evaluation = Evaluation::new(&reference, 64, Device::Cpu).unwrap();
    let held_out = Noise::new(2).normal(&[128, 3, 8, 8]) * 0.3;
    let floor = evaluation.real("real", &held_out).unwrap();
    let mut run = |scale| evaluation.run("x", &scaled(scale), 128, &Noise::new(3)).unwrap().report;
    let (right, wrong, worse) = (run(0.3), run(0.2), run(0.1));
    assert_eq!((floor.nfe, floor.ms_per_image(), floor.n_images), (None, None, 128));
    for label in ["random-FD", "SW1"] {
        let value = |report: &Report| report.value(label).unwrap();
        assert!(value(&right) < 1.2 * value(&floor), "{label}: {right:?} {floor:?}");
        assert!(value(&wrong) > 1.5 * value(&floor), "{label}: {wrong:?} {floor:?}");
        assert!(value(&worse) > 1.5 * value(&wrong), "{label}: {worse:?} {wrong:?}");
    }
}

#[test]
fn images_do_not_depend_on_the_batch_size_or_the_generator_before() {
    let reference = reference(64);
    let run = |batch| {
        let mut evaluation = Evaluation::new(&reference, batch, Device::Cpu).unwrap();
        evaluation.run("before", &scaled(0.5), 5, &Noise::new(8)).unwrap();
        evaluation.run("x", &scaled(0.3), 21, &Noise::new(9)).unwrap()
    };
    let (small, large) = (run(4), run(50));
    assert_eq!(small.images, large.images);
    assert_eq!(labels(&small.cond), labels(&large.cond));
    for (a, b) in small.report.measurements.iter().zip(&large.report.measurements) {
        assert_eq!(a.info, b.info);
        assert!((a.value - b.value).abs() <= 1e-5 * b.value, "{a:?} {b:?}");
    }
    let latency = small.report.latency.unwrap();
    assert_eq!((latency.batch, latency.calls), (4, 4)); // of five full batches the first is a warm-up
    assert_eq!(large.report.latency.unwrap().batch, 21);
}

#[test]
fn conditions_come_in_the_reference_proportions_with_their_images() {
    let reference = reference(40);
    let seen = RefCell::new(Vec::new());
    let generator = Function(|z: &Tensor, cond: &Cond, noise: &mut Noise| {
        seen.borrow_mut().extend(labels(cond));
        z * 0.3 + noise.normal(&z.size()) * 0.01
    });
    let mut evaluation = Evaluation::new(&reference, 16, Device::Cpu).unwrap();
    let evaluated = evaluation.run("x", &generator, 80, &Noise::new(5)).unwrap();
    let found = labels(&evaluated.cond);
    assert_eq!(found.iter().sum::<i64>(), 20);
    assert_eq!(*seen.borrow(), found);
    assert_ne!(found[..40], found[40..]);
}

#[test]
fn a_report_with_more_metrics_survives_json_and_fills_a_table() {
    let reference = reference(32);
    let net = RandomConvFeatures::new(Device::Cpu);
    let half = reference.images.narrow(0, 0, 16);
    let second = RandomFeatureFrechet::from_images(net, &half, 8).unwrap();
    let mut evaluation = Evaluation::new(&reference, 16, Device::Cpu).unwrap().with_metric(second);
    let report = evaluation.run("one", &scaled(0.3), 16, &Noise::new(0)).unwrap().report;
    assert_eq!((report.nfe, report.measurements.len()), (Some(3), 3));
    let json = serde_json::to_string(&report).unwrap();
    let read: Report = serde_json::from_str(&json).unwrap();
    assert_eq!(read.measurements[1].info, report.measurements[1].info);
    let (written, read) = (report.value("SW1").unwrap(), read.value("SW1").unwrap());
    assert!((read - written).abs() < 1e-15); // JSON may cost the last bit
    let text = table(&[report]);
    assert!(text.lines().next().unwrap().ends_with("random-FD     SW1  random-FD [2]"), "{text}");
    assert!(text.contains("32 reference images") && text.contains("16 reference images"));
    assert!(text.contains("(not FID)") && text.contains("lower is better"));
}

#[test]
fn statistics_of_features_fill_columns_and_can_fail() {
    let reference = reference(64);
    let k = 3;
    let statistics = [
        SetStatistic::Frechet,
        SetStatistic::style_gan_kid(0),
        SetStatistic::Density { k },
        SetStatistic::Coverage { k },
    ];
    let net = RandomConvFeatures::new(Device::Cpu);
    let evaluation = Evaluation::new(&reference, 16, Device::Cpu).unwrap();
    let mut evaluation = evaluation.with_statistics(&net, &statistics).unwrap();
    let report = evaluation.run("one", &scaled(0.3), 40, &Noise::new(0)).unwrap().report;
    assert_eq!(report.measurements.len(), 2 + 4);
    let values: Vec<f64> = report.measurements.iter().map(|m| m.value).collect();
    // The streamed distance, by kept features; its covariances are singular.
    assert!((values[0] - values[2]).abs() <= 1e-7 * values[0], "{values:?}");
    assert!(table(&[report]).contains("40 against 64 images"));
    let few = evaluation.run("few", &scaled(0.3), 2, &Noise::new(0));
    assert!(few.is_ok(), "{few:?}");

    let evaluation = Evaluation::new(&reference, 16, Device::Cpu).unwrap();
    let kid = [SetStatistic::TORCH_FIDELITY_KID];
    let mut evaluation = evaluation.with_statistics(&net, &kid).unwrap();
    let error = evaluation.run("few", &scaled(0.3), 40, &Noise::new(0)).unwrap_err();
    assert!(matches!(error, Error::TooFew { found: 40, needed: 1000 }));
    let evaluation = Evaluation::new(&reference, 16, Device::Cpu).unwrap();
    assert!(matches!(evaluation.with_statistics(&net, &[]), Err(Error::TooFew { .. })));
}

#[test]
fn streaming_equals_one_batch_in_any_order() {
    let reference = reference(32).images;
    let images = Noise::new(4).uniform(&[24, 3, 8, 8]) - 0.5;
    let net = RandomConvFeatures::new(Device::Cpu);
    let mut metric = FeatureFrechet::from_images(&net, &reference, 32).unwrap();
    metric.update(&images).unwrap();
    let whole = metric.value().unwrap();
    metric.reset();
    metric.update(&images.narrow(0, 9, 15)).unwrap();
    metric.update(&images.narrow(0, 0, 9)).unwrap();
    assert!((metric.value().unwrap() - whole).abs() < 1e-6 * whole);
    let mut back = FeatureFrechet::from_images(&net, &images, 5).unwrap();
    back.update(&reference).unwrap();
    assert!((back.value().unwrap() - whole).abs() < 1e-5 * whole);
}

#[test]
fn unusable_images_are_errors_and_change_nothing() {
    let reference = reference(16);
    let net = RandomConvFeatures::new(Device::Cpu);
    let mut metric = FeatureFrechet::from_images(&net, &reference.images, 8).unwrap();
    assert!(matches!(metric.value(), Err(Error::TooFew { found: 0, .. })));
    metric.update(&reference.images.narrow(0, 0, 1)).unwrap();
    assert!(matches!(metric.value(), Err(Error::TooFew { found: 1, needed: 2 })));
    let larger = Noise::new(0).normal(&[1, 3, 9, 8]);
    assert!(matches!(metric.update(&larger), Err(Error::MixedShapes { .. })));
    let nan = &reference.images * f64::NAN;
    assert!(matches!(metric.update(&nan), Err(Error::NonFiniteImages { count: 16, first: 0 })));
    assert_eq!(metric.stats().count(), 1);
    let one = FeatureFrechet::from_images(&net, &reference.images.narrow(0, 0, 1), 8);
    assert!(matches!(one, Err(Error::TooFew { found: 1, needed: 2 })));
    let no_batch = FeatureFrechet::from_images(&net, &reference.images, 0);
    assert!(matches!(no_batch, Err(Error::NotPositive { what: "batch", value: 0 })));
}

#[test]
fn stored_moments_fix_the_size_by_the_first_batch_until_the_reset() {
    let net = RandomConvFeatures::new(Device::Cpu);
    let options = (Kind::Double, Device::Cpu);
    let (mean, covariance) = (Tensor::zeros([224], options), Tensor::eye(224, options));
    let mut metric = FeatureFrechet::from_moments(&net, &mean, &covariance, "a file").unwrap();
    let (small, large) = (reference(4).images, Noise::new(0).normal(&[4, 3, 12, 12]));
    metric.update(&small).unwrap();
    assert!(matches!(metric.update(&large), Err(Error::MixedShapes { .. })));
    metric.reset();
    metric.update(&large).unwrap();
    let misfit = FeatureFrechet::from_moments(&net, &mean, &covariance.narrow(0, 0, 3), "a file");
    assert!(matches!(misfit, Err(Error::MomentShapes { .. })));
}

#[test]
fn a_bad_generator_is_an_error() {
    let reference = reference(16);
    let mut evaluation = Evaluation::new(&reference, 8, Device::Cpu).unwrap();
    let mut run = |generator: &dyn Generator, n| {
        evaluation.run("x", generator, n, &Noise::new(0)).unwrap_err()
    };
    assert!(matches!(run(&scaled(f64::NAN), 8), Error::NonFiniteImages { count: 8, first: 0 }));
    let cropping = Function(|z: &Tensor, _: &Cond, _: &mut Noise| z.narrow(3, 0, 4));
    let error = run(&cropping, 8);
    assert!(matches!(error, Error::GeneratorShape { found, .. } if found == [8, 3, 8, 4]));
    assert!(matches!(run(&scaled(0.3), 1), Error::TooFew { found: 1, needed: 2 }));
    let small = Batch { images: reference.images.narrow(2, 0, 4), cond: Cond::none() };
    assert!(matches!(Evaluation::new(&small, 8, Device::Cpu), Err(Error::TooSmall { .. })));
}
