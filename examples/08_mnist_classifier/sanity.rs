//! What the classifier's file measures of images whose quality is known.

use anyhow::Result;
use fewstep::backbones::{LeNet, LeNetOutput, recipe_features};
use fewstep::metrics::{Evaluation, FeatureFrechet, Report};
use fewstep::prelude::*;
use std::path::Path;

/// Most images of each set.
const N_IMAGES: i64 = 2000;
const BATCH: i64 = 500;

/// Real images that the network has not seen, then blurred ones, one image again and again, and noise; against training images.
pub(crate) fn check(file: &Path, training: &Batch, testing: &Batch) -> Result<Vec<Report>> {
    let n = N_IMAGES.min(training.len()).min(testing.len());
    let (reference, real) = (training.narrow(0, n), testing.narrow(0, n));
    let lenet = LeNet::open(file, Device::Cpu)?;
    let [features, logits] = [LeNetOutput::Features, LeNetOutput::Logits]
        .map(|output| recipe_features(lenet.recipe(output), file, Device::Cpu));
    let frechet = FeatureFrechet::from_images(features?, &reference.images, BATCH)?;
    let mut evaluation = Evaluation::new(&reference, BATCH, Device::Cpu)?
        .with_metric(frechet)
        .with_classifier(logits?);
    let blurred = real.images.avg_pool2d([5, 5], [1, 1], [2, 2], false, false, None);
    let one = real.images.narrow(0, 0, 1).expand_as(&real.images).contiguous();
    let noise = Noise::new(0).normal(&real.images.size()).clamp(-1.0, 1.0);
    let sets = [
        ("test images", &real.images),
        ("blurred", &blurred),
        ("one image", &one),
        ("noise", &noise),
    ];
    sets.into_iter()
        .map(|(name, images)| Ok(evaluation.labeled(name, images, &real.cond)?))
        .collect()
}
