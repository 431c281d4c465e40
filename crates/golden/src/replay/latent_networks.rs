//! `pdae_encoder64` and `sferd_mlp_skip`: images to semantic latents, and the network over those.

use super::{Replayed, config};
use crate::Result;
use tch::Device;
use testkit::{GoldenCase, formula};
use unet::{MlpSkipNet, SemanticEncoder, SemanticEncoderConfig};

pub(super) fn replay_mlp_skip(case: &GoldenCase) -> Result<Replayed> {
    let network = MlpSkipNet::zeroed(&config(case, &[])?, Device::Cpu)?;
    formula::fill(network.parameters(), "");
    let (x, t) = (case.tensor("in.x")?, case.tensor("in.t")?);
    Ok(Replayed::from([("out.y", tch::no_grad(|| network.forward(x, t, None)))]))
}

pub(super) fn replay_encoder(case: &GoldenCase) -> Result<Replayed> {
    let latent_dim = case.tensor("out.z")?.size()[1];
    let config = SemanticEncoderConfig::pdae64(latent_dim);
    let encoder = SemanticEncoder::zeroed(&config, Device::Cpu)?;
    formula::fill(encoder.parameters(), "");
    let x = case.tensor("in.x")?;
    Ok(Replayed::from([("out.z", tch::no_grad(|| encoder.forward(x)))]))
}
