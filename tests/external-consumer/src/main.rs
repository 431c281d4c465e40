//! Uses fewstep as any other program would: samples a Gaussian, whose denoiser is known exactly, and trains a method.

use fewstep::datasets::{Loader, Shapes};
use fewstep::diffusion_core::shape::per_image;
use fewstep::prelude::*;
use std::error::Error;
use std::sync::Arc;

const MEAN: f64 = 0.3;
const SPREAD: f64 = 0.5;

/// The exact denoiser of images whose pixels are independent, with that mean and standard deviation.
struct Gaussian;

impl Denoiser for Gaussian {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, _cond: &Cond) -> Tensor {
        let noise = per_image(sigma, x).square();
        let data = SPREAD * SPREAD;
        (x * data + &noise * MEAN) / (&noise + data)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    sample();
    train()
}

fn sample() {
    // The usual 18 steps widen a Gaussian by 5 %, the solver's own error; with 100 it is far below the sampling error.
    let generator = Sampling::new(Gaussian, EdmSampler { steps: 100, ..Default::default() });
    let mut noise = Noise::new(1);
    let z = noise.normal(&[1000, 1, 4, 4]);
    let images = generator.generate(&z, &Cond::none(), &mut noise);
    let mean = images.mean(Kind::Float).double_value(&[]);
    let spread = images.std(true).double_value(&[]);
    println!("mean {mean:.3}, expected {MEAN}; spread {spread:.3}, expected {SPREAD}");
    // 16,000 pixels: three standard errors are 0.012 and 0.009.
    assert!((mean - MEAN).abs() < 0.012 && (spread - SPREAD).abs() < 0.009);
}

/// A few steps of the first method, chosen by name and configured by hand.
fn train() -> Result<(), Box<dyn Error>> {
    let network = SongUnetConfig {
        img_resolution: 8,
        label_dim: 12,
        model_channels: 8,
        channel_mult: vec![1],
        num_blocks: 1,
        ..Default::default()
    };
    let model = ModelConfig {
        architecture: unet::Architecture::SongUnet(network),
        preconditioning: Preconditioning::default(),
        sampler: None,
    };
    let initial = model.build(&mut Noise::new(0), Device::Cpu)?;
    let before = initial.twin();
    let teacher = (method("teacher")?.build)(&Ingredients::train(&initial), &Default::default())?;
    let run = TrainConfig { kimg: 0.032, batch: 8, ..TrainConfig::default() };
    let mut trainer = Trainer::new(teacher, run, Device::Cpu)?;
    let mut data = Loader::new(Arc::new(Shapes::new(8, 100, 0)), 0)?;
    assert_eq!(trainer.run(&mut data)?, Outcome::Finished);
    let trained = trainer.method().network().parameters();
    let moved =
        before.parameters().iter().zip(trained).filter(|(a, b)| a.tensor != b.tensor).count();
    println!("4 steps of the teacher's training moved {moved} tensors");
    assert!(moved > 0);
    Ok(())
}
