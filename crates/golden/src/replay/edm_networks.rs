//! `edm_ddpmpp_*`: the DDPM++ network inside its preconditioning, with weights by formula.

use super::{Replayed, config};
use crate::{Error, Result};
use diffusion_core::{Backbone, Cond, Denoiser, shape};
use diffusion_schedule::{Edm, IDdpm, Precondition, Preconditioned, Preconditioning, Ve, Vp};
use serde_json::Value;
use tch::{Device, Kind, Tensor};
use testkit::{GoldenCase, formula};
use unet::{SongUnet, SongUnetConfig};

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
    let c = network.preconditioning().coefficients(sigma);
    let scaled = x * shape::per_image(&c.c_in, x);
    let raw = tch::no_grad(|| network.backbone().forward(&scaled, &c.c_noise, &cond, None));
    replayed.insert("out.F", raw);
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

fn network(case: &GoldenCase) -> Result<Preconditioned<SongUnet>> {
    let preconditioning = match &case.description()["precond"] {
        Value::String(name) if name == "EDMPrecond" => Preconditioning::Edm(Edm::default()),
        Value::String(name) if name == "VPPrecond" => Preconditioning::Vp(Vp::default()),
        Value::String(name) if name == "VEPrecond" => Preconditioning::Ve(Ve::default()),
        Value::String(name) if name == "iDDPMPrecond" => Preconditioning::IDdpm(IDdpm::default()),
        other => {
            return Err(unsupported(
                "precond",
                other,
                "EDM's: EDMPrecond, VPPrecond, VEPrecond, iDDPMPrecond",
            ));
        }
    };
    let model = &case.config()["model_type"];
    if model != "SongUNet" {
        return Err(unsupported("model_type", model, "SongUNet"));
    }
    let network = SongUnet::zeroed(&config::<SongUnetConfig>(case, &["model_type"])?, Device::Cpu)?;
    formula::fill(network.parameters(), ""); // the names begin with `model.` already
    Ok(Preconditioned::new(network, preconditioning))
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
