//! `edm_ddpmpp*`, `edm_ncsnpp*`, `edm_adm*`: EDM's networks inside their preconditionings, with weights by formula.

use super::{Replayed, config};
use crate::{Error, Result};
use diffusion_core::{Cond, Denoiser, FeatureSite, FeatureTaps, shape};
use diffusion_schedule::{Edm, IDdpm, Precondition, Preconditioned, Preconditioning, Ve, Vp};
use serde_json::Value;
use std::ops::ControlFlow;
use tch::{Device, Kind, Tensor};
use testkit::{GoldenCase, formula};
use unet::{DhariwalUnet, DhariwalUnetConfig, SongUnet, SongUnetConfig};

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let network = network(case)?;
    let (x, sigma) = (case.tensor("in.x")?, case.tensor("in.sigma")?);
    let cond = cond(case);
    let mut not_augmented = cond.clone();
    not_augmented.augment = None;
    let evaluate = |cond: &Cond| tch::no_grad(|| network.denoise(x, sigma, cond));
    let mut replayed = Replayed::from([
        ("out.D", evaluate(&cond)),
        ("out.D_no_label", evaluate(&Cond::none())),
        ("out.D_no_augment", evaluate(&not_augmented)),
    ]);
    tch::no_grad(|| tap(&network, [x, sigma], &cond, &mut replayed));
    if let Some(faint) = case.tensors.get("in.x_faint") {
        let (level, first) = (Tensor::from_slice(&[1f32]), not_augmented.narrow(0, 1));
        let denoised = tch::no_grad(|| network.denoise(faint, &level, &first));
        replayed.insert("out.D_faint", denoised);
    }
    if let Some(probe) = case.tensors.get("in.probe") {
        let x = x.copy().set_requires_grad(true);
        (network.denoise(&x, sigma, &cond) * probe).sum(Kind::Float).backward();
        replayed.insert("out.grad_x", x.grad());
    }
    Ok(replayed)
}

/// The raw answer, the noise argument, and what every layer makes of the first image.
fn tap(
    network: &Preconditioned<Box<dyn FeatureTaps>>,
    [x, sigma]: [&Tensor; 2],
    cond: &Cond,
    replayed: &mut Replayed,
) {
    let c = network.preconditioning().coefficients(sigma);
    let scaled = x * shape::per_image(&c.c_in, x);
    let mut see = |site: &FeatureSite, output: &Tensor| {
        replayed.insert(format!("mid.{}", site.name), output.narrow(0, 0, 1));
        ControlFlow::Continue(())
    };
    let raw = network.backbone().forward_tapped(&scaled, &c.c_noise, cond, None, &mut see);
    replayed.insert("out.F", raw.expect("the tap does not break off"));
    replayed.insert("mid.c_noise", c.c_noise);
}

fn network(case: &GoldenCase) -> Result<Preconditioned<Box<dyn FeatureTaps>>> {
    let preconditioning = preconditioning(case)?;
    let network: Box<dyn FeatureTaps> = match &case.config()["model_type"] {
        Value::String(name) if name == "SongUNet" => {
            let config: SongUnetConfig = config(case, &["model_type"])?;
            Box::new(SongUnet::zeroed(&config, Device::Cpu)?)
        }
        Value::String(name) if name == "DhariwalUNet" => {
            let config: DhariwalUnetConfig = config(case, &["model_type"])?;
            let config = match preconditioning {
                Preconditioning::IDdpm(_) => config.with_learned_variance(),
                _ => config,
            };
            Box::new(DhariwalUnet::zeroed(&config, Device::Cpu)?)
        }
        other => return Err(unsupported("model_type", other, "SongUNet and DhariwalUNet")),
    };
    formula::fill(network.parameters(), ""); // the names begin with `model.` already
    Ok(Preconditioned::new(network, preconditioning))
}

fn preconditioning(case: &GoldenCase) -> Result<Preconditioning> {
    let name = &case.description()["precond"];
    Ok(match name.as_str() {
        Some("EDMPrecond") => Preconditioning::Edm(Edm::default()),
        Some("VPPrecond") => Preconditioning::Vp(Vp::default()),
        Some("VEPrecond") => Preconditioning::Ve(Ve::default()),
        Some("iDDPMPrecond") => Preconditioning::IDdpm(IDdpm::default()),
        _ => {
            let supported = "EDMPrecond, VPPrecond, VEPrecond and iDDPMPrecond";
            return Err(unsupported("precond", name, supported));
        }
    })
}

fn unsupported(field: &'static str, value: &Value, supported: &'static str) -> Error {
    Error::Unsupported { field, value: value.to_string(), supported }
}

/// The labels in the file.
fn cond(case: &GoldenCase) -> Cond {
    let input = |name: &str| case.tensors.get(name).map(Tensor::shallow_clone);
    let mut cond = Cond::none();
    cond.labels = input("in.class_labels");
    cond.augment = input("in.augment_labels");
    cond
}
