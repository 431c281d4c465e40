//! `edm_edm`: the training loss of EDM.

use super::{Replayed, config, stub_network};
use crate::{Error, Result};
use diffusion_core::Cond;
use diffusion_schedule::{Density, EdmWeighting, LogNormal};
use distill_losses::terms::denoising_loss;
use serde::Deserialize;
use testkit::GoldenCase;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    cls: String,
}

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let Config { cls } = config(case, &["B", "x"])?;
    if cls != "EDMLoss" {
        return Err(Error::Unsupported { field: "cls", value: cls, supported: "EDMLoss" });
    }
    let network = stub_network::trained("student");
    let sigma = LogNormal::default().sigma(&case.tensor("draw.rnd")?.flatten(0, -1));
    let (x0, n) = (case.tensor("in.x")?, case.tensor("draw.noise")?);
    let weighting = EdmWeighting::default();
    let per_sample = denoising_loss(&network, x0, &sigma, n, &Cond::none(), &weighting);
    Ok(stub_network::loss_and_gradients(&per_sample, 1.0, &network))
}
