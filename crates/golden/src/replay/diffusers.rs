//! `diffusers_*`: the networks of the library diffusers, with weights by formula.

use super::{Replayed, config};
use crate::{Error, Result};
use diffusion_core::{AttentionMap, AttentionSite, AttentionTap, AttentionTaps, Cond, FeatureTaps};
use serde_json::Value;
use std::ops::ControlFlow;
use tch::{Device, Tensor};
use testkit::{GoldenCase, formula};
use unet::{AutoencoderKl, AutoencoderKlConfig, Unet2d, Unet2dCondition};

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let _no_grad = tch::no_grad_guard();
    match &case.config()["_class_name"] {
        Value::String(name) if name == "UNet2DModel" => {
            unet(case, &Unet2d::zeroed(&config(case, &[])?, Device::Cpu)?)
        }
        Value::String(name) if name == "UNet2DConditionModel" => {
            unet(case, &Unet2dCondition::zeroed(&config(case, &[])?, Device::Cpu)?)
        }
        Value::String(name) if name == "AutoencoderKL" => autoencoder(case),
        other => Err(Error::Unsupported {
            field: "_class_name",
            value: other.to_string(),
            supported: "UNet2DModel, UNet2DConditionModel and AutoencoderKL",
        }),
    }
}

fn unet<N: FeatureTaps + AttentionTaps>(case: &GoldenCase, network: &N) -> Result<Replayed> {
    formula::fill(network.parameters(), "");
    let (x, steps, cond) = (case.tensor("in.x")?, case.tensor("in.t")?, cond(case));
    let mut replayed = Replayed::default();
    let sample = network.forward_tapped(x, steps, &cond, None, &mut |site, feature| {
        replayed.insert(format!("mid.{}", site.name), feature.narrow(0, 0, 1));
        ControlFlow::Continue(())
    });
    replayed.insert("out.sample", sample.expect("the tap never breaks off"));
    if let Some(faint) = case.tensors.get("in.x_faint") {
        let (steps, cond) = (steps.narrow(0, 0, 1), cond.narrow(0, 1));
        replayed.insert("out.sample_faint", network.forward(faint, &steps, &cond, None));
    }
    let mut maps = Maps(replayed);
    let _ = network.forward_attending(x, steps, &cond, None, &mut maps);
    Ok(maps.0)
}

/// Keeps every attention map, images and heads on one axis as in the files.
struct Maps(Replayed);

impl AttentionTap for Maps {
    fn wants(&self, _: &AttentionSite) -> bool {
        true
    }

    fn see(&mut self, map: AttentionMap<'_>) -> Option<Tensor> {
        self.0.insert(format!("mid.attn.{}", map.site.name), map.weights.flatten(0, 1));
        None
    }
}

/// The conditions in the file.
fn cond(case: &GoldenCase) -> Cond {
    let input = |name: &str| case.tensors.get(name).map(Tensor::shallow_clone);
    let mut cond = Cond::none();
    cond.labels = input("in.class_labels");
    cond.text = input("in.encoder_hidden_states");
    cond.pooled_text = input("in.text_embeds");
    cond.size = input("in.time_ids");
    cond.guidance = input("in.w");
    cond
}

fn autoencoder(case: &GoldenCase) -> Result<Replayed> {
    let config: AutoencoderKlConfig = config(case, &[])?;
    let autoencoder = AutoencoderKl::zeroed(&config, Device::Cpu)?;
    formula::fill(autoencoder.parameters(), "");
    let mut replayed = Replayed::default();
    for suffix in ["", "_faint"] {
        if let Some(images) = case.tensors.get(&format!("in.x{suffix}")) {
            let latents = autoencoder.encode(images);
            replayed.insert(format!("out.mean{suffix}"), latents.mean);
            replayed.insert(format!("out.logvar{suffix}"), latents.log_variance);
        }
        if let Some(latents) = case.tensors.get(&format!("in.z{suffix}")) {
            replayed.insert(format!("out.decoded{suffix}"), autoencoder.decode(latents));
        }
    }
    Ok(replayed)
}
