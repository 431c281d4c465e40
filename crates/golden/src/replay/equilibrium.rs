//! `get_*`: the generative equilibrium transformer, its solver and its unrolled form.

use super::{Replayed, config};
use crate::Result;
use diffusion_core::{Cond, Parameters};
use tch::{Device, Tensor};
use testkit::{GoldenCase, formula};
use unet::{FixedPoint, Get, GetConfig};

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let config: GetConfig = config(case, &[])?;
    let network = Get::zeroed(&config, Device::Cpu)?;
    let table = network.parameters().get("pos_embed").map(Tensor::copy);
    formula::fill(network.parameters(), "");
    keep(network.parameters(), "pos_embed", table);
    let labels = Vec::<i64>::try_from(case.tensor("in.y")?)?;
    let cond = Cond::classes(&labels, config.num_classes, Device::Cpu)?;
    let (x, start) = (case.tensor("in.x")?, case.tensor("in.z0")?);
    let _no_grad = tch::no_grad_guard();
    let solution = network.solve(x, &cond, start, FixedPoint::default());
    let unrolled = network.unroll(x, &cond, start, 6);
    let positions = network.parameters().get("pos_embed").map(Tensor::shallow_clone);
    let mut replayed = Replayed::from([
        ("out.y", solution.state),
        ("out.train_y", Tensor::stack(&unrolled, 0)),
        ("mid.residual_norms", Tensor::stack(&solution.residuals, 0)),
    ]);
    positions.into_iter().for_each(|table| replayed.insert("mid.pos_embed", table));
    Ok(replayed)
}

/// The one tensor that the formula does not fill.
fn keep(parameters: &Parameters, name: &str, value: Option<Tensor>) {
    let _no_grad = tch::no_grad_guard();
    if let (Some(tensor), Some(value)) = (parameters.get(name), value) {
        tensor.shallow_clone().copy_(&value);
    }
}
