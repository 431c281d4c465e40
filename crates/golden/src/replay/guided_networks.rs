//! `gd_*` and `cm_unet*`: the U-Nets of guided-diffusion and `consistency_models`, with weights by formula.

use super::{Replayed, config};
use crate::Result;
use diffusion_core::{Backbone, Cond, Denoiser, FeatureTaps, shape};
use diffusion_schedule::{Boundary, Edm, Precondition, Preconditioned, Preconditioning};
use serde::Deserialize;
use std::ops::ControlFlow;
use tch::{Device, Kind, Tensor};
use testkit::{GoldenCase, formula};
use unet::{GuidedFlavor, GuidedUnet, GuidedUnetConfig};

/// The raw network of guided-diffusion at the times in the file.
pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let network = network(&config(case, &[])?)?;
    let (x, t) = (case.tensor("in.x")?, case.tensor("in.t")?);
    let cond = cond(case, network.config())?;
    let mut replayed = Replayed::default();
    let y = tch::no_grad(|| {
        network.forward_tapped(x, t, &cond, None, &mut |site, feature| {
            replayed.insert(format!("mid.{}", site.name), feature.narrow(0, 0, 1));
            ControlFlow::Continue(())
        })
    });
    replayed.insert("out.y", y.expect("the tap never breaks off"));
    if let Some(faint) = case.tensors.get("in.x_faint") {
        let (t, cond) = (t.narrow(0, 0, 1), cond.narrow(0, 1));
        replayed.insert("out.y_faint", tch::no_grad(|| network.forward(faint, &t, &cond, None)));
    }
    if let Some(probe) = case.tensors.get("in.probe") {
        let x = x.copy().set_requires_grad(true);
        (network.forward(&x, t, &cond, None) * probe).sum(Kind::Float).backward();
        replayed.insert("out.grad_x", x.grad());
    }
    Ok(replayed)
}

/// What the configuration of a consistency model says beyond its network.
#[derive(Deserialize)]
struct Scalings {
    sigma_data: f64,
    sigma_min: f64,
}

/// The network of `consistency_models` in the scalings of students and of teachers.
pub(super) fn replay_consistency(case: &GoldenCase) -> Result<Replayed> {
    let Scalings { sigma_data, sigma_min } = serde_json::from_value(case.config().clone())?;
    let network_config = GuidedUnetConfig {
        flavor: GuidedFlavor::ConsistencyModels,
        timestep_scale: 1000.0,
        ..config(case, &["sigma_data", "sigma_min"])?
    };
    let (x, sigma) = (case.tensor("in.x")?, case.tensor("in.sigma")?);
    let cond = cond(case, &network_config)?;
    let within = |preconditioning| -> Result<_> {
        Ok(Preconditioned::new(network(&network_config)?, preconditioning))
    };
    let student = within(Preconditioning::Boundary(Boundary { sigma_data, sigma_min }))?;
    let teacher = within(Preconditioning::Edm(Edm { sigma_data }))?;
    let _no_grad = tch::no_grad_guard();
    let c = student.preconditioning().coefficients(sigma);
    let scaled = x * shape::per_image(&c.c_in, x);
    let mut replayed = Replayed::from([
        ("out.D_boundary", student.denoise(x, sigma, &cond)),
        ("out.D_edm", teacher.denoise(x, sigma, &cond)),
        ("out.F", student.backbone().forward(&scaled, &c.c_noise, &cond, None)),
    ]);
    if let Some(faint) = case.tensors.get("in.x_faint") {
        let level = Tensor::from_slice(&[1f32]);
        replayed.insert("out.D_faint", student.denoise(faint, &level, &cond.narrow(0, 1)));
    }
    Ok(replayed)
}

fn network(config: &GuidedUnetConfig) -> Result<GuidedUnet> {
    let network = GuidedUnet::zeroed(config, Device::Cpu)?;
    formula::fill(network.parameters(), "");
    Ok(network)
}

/// The classes in the file.
fn cond(case: &GoldenCase, config: &GuidedUnetConfig) -> Result<Cond> {
    let Some(labels) = case.tensors.get("in.y") else { return Ok(Cond::none()) };
    let labels = Vec::<i64>::try_from(labels)?;
    Ok(Cond::classes(&labels, config.num_classes.unwrap_or(0), Device::Cpu)?)
}
