//! `sferd_mlp_skip`: the network over semantic latents.

use super::{Replayed, config};
use crate::Result;
use tch::Device;
use testkit::{GoldenCase, formula};
use unet::MlpSkipNet;

pub(super) fn replay_mlp_skip(case: &GoldenCase) -> Result<Replayed> {
    let network = MlpSkipNet::zeroed(&config(case, &[])?, Device::Cpu)?;
    formula::fill(network.parameters(), "");
    let (x, t) = (case.tensor("in.x")?, case.tensor("in.t")?);
    Ok(Replayed::from([("out.y", tch::no_grad(|| network.forward(x, t, None)))]))
}
