//! Images with classes, and learning to tell them apart.

use super::Args;
use anyhow::Result;
use fewstep::backbones::{LeNet, LeNetOutput};
use fewstep::datasets::{ImageSource, images};
use fewstep::distill_trainer::{Optimizer, OptimizerConfig};
use fewstep::prelude::*;
use fewstep::tch::no_grad;
use std::f64::consts::PI;

/// Images that are prepared or classified together.
const AT_ONCE: i64 = 1000;

/// Images and their classes, as the data set has them and as the network wants them.
pub(crate) struct Labeled {
    pub(crate) images: Batch,
    /// `[N, 1, 28, 28]`.
    pixels: Tensor,
    /// `[N]`.
    classes: Tensor,
}

impl Labeled {
    /// The first images of a data set, at most `limit`, prepared by the network's recipe.
    pub(crate) fn of(source: &dyn ImageSource, limit: usize, network: &LeNet) -> Result<Self> {
        let images = images(source, 0..source.len().min(limit))?;
        let recipe = network.recipe(LeNetOutput::Logits);
        let prepare = |part: &Tensor| -> Result<Tensor> {
            let pixels = recipe.prepare(&recipe.bytes.encode(part))?;
            Ok(pixels.mean_dim(1, true, Kind::Float))
        };
        let parts: Vec<_> =
            images.images.split(AT_ONCE, 0).iter().map(prepare).collect::<Result<_>>()?;
        let pixels = Tensor::cat(&parts, 0);
        let labels = images.cond.labels.as_ref().expect("a data set with classes has labels");
        let classes = labels.argmax(1, false);
        Ok(Self { images, pixels, classes })
    }

    pub(crate) fn len(&self) -> usize {
        self.classes.size()[0] as usize
    }

    /// The share of the images whose class the network finds.
    pub(crate) fn accuracy(&self, network: &LeNet) -> f64 {
        self.right(network).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
    }

    /// For each class how many images are mistaken for another, and how many there are.
    pub(crate) fn errors(&self, network: &LeNet) -> Vec<(i64, i64)> {
        let right = self.right(network);
        let of = |class| {
            let members = self.classes.eq(class);
            let found = members.logical_and(&right).sum(Kind::Int64).int64_value(&[]);
            let images = members.sum(Kind::Int64).int64_value(&[]);
            (images - found, images)
        };
        (0..network.classes()).map(of).collect()
    }

    fn right(&self, network: &LeNet) -> Tensor {
        let predict = |part: &Tensor| network.logits(&network.features(part)).argmax(1, false);
        let parts: Vec<_> = no_grad(|| self.pixels.split(AT_ONCE, 0).iter().map(predict).collect());
        Tensor::cat(&parts, 0).eq_tensor(&self.classes)
    }
}

/// Minimizes the cross entropy by Adam, with a learning rate that falls along a cosine; `after_epoch` gets the number of passes.
pub(crate) fn train(
    network: &LeNet,
    data: &Labeled,
    args: &Args,
    noise: &mut Noise,
    mut after_epoch: impl FnMut(usize),
) -> Result<()> {
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), network.parameters())?;
    let steps = args.epochs * data.len().div_ceil(args.batch);
    let mut step = 0;
    for epoch in 1..=args.epochs {
        for rows in noise.permutation(data.len()).chunks(args.batch) {
            let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
            let rows = Tensor::from_slice(&rows);
            let logits = network.logits(&network.features(&data.pixels.index_select(0, &rows)));
            let loss = logits.cross_entropy_for_logits(&data.classes.index_select(0, &rows));
            network.parameters().iter().for_each(|p| p.tensor.shallow_clone().zero_grad());
            loss.backward();
            let falling = 0.5 * (1.0 + (PI * step as f64 / steps as f64).cos());
            optimizer.step(args.lr * falling)?;
            step += 1;
        }
        after_epoch(epoch);
    }
    Ok(())
}
