//! `ect_*`: the loss of easy consistency tuning.

use super::{Replayed, config, stub_network};
use crate::{Error, Result};
use diffusion_core::Cond;
use diffusion_schedule::{Density, LogNormal};
use distill_losses::methods::EasyConsistencyConfig;
use distill_losses::terms::{EasyMapping, easy_consistency_loss};
use serde::Deserialize;
use testkit::GoldenCase;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    stage: u32,
    args: Arguments,
}

/// Arguments of the official loss; those that are left out keep their defaults, which are the method's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    #[serde(rename = "P_mean")]
    p_mean: Option<f64>,
    #[serde(rename = "P_std")]
    p_std: Option<f64>,
    q: Option<f64>,
    c: Option<f64>,
    k: Option<f64>,
    b: Option<f64>,
    adj: Option<String>,
}

impl Arguments {
    fn read(self) -> Result<EasyConsistencyConfig> {
        let published = EasyConsistencyConfig::default();
        let constant = match self.adj.as_deref() {
            None => published.mapping.constant,
            Some("const") => true,
            Some("sigmoid") => false,
            Some(other) => {
                let supported = "const and sigmoid";
                return Err(Error::Unsupported { field: "adj", value: other.into(), supported });
            }
        };
        Ok(EasyConsistencyConfig {
            p_mean: self.p_mean.unwrap_or(published.p_mean),
            p_std: self.p_std.unwrap_or(published.p_std),
            mapping: EasyMapping {
                q: self.q.unwrap_or(published.mapping.q),
                k: self.k.unwrap_or(published.mapping.k),
                b: self.b.unwrap_or(published.mapping.b),
                constant,
            },
            c: self.c.unwrap_or(published.c),
            ..published
        })
    }
}

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let Config { stage, args } = config(case, &["B"])?;
    let EasyConsistencyConfig { p_mean, p_std, mapping, c, .. } = args.read()?;
    let density = LogNormal { mean: p_mean, std: p_std };
    let t = density.sigma(&case.tensor("draw.rnd")?.flatten(0, -1));
    let r = mapping.r(&t, stage);
    let network = stub_network::trained("student");
    let (x0, n) = (case.tensor("in.x")?, case.tensor("draw.eps")?);
    let per_sample = easy_consistency_loss(&network, &network, x0, n, [&t, &r], &Cond::none(), c);
    Ok(stub_network::loss_and_gradients(&per_sample, 1.0, &network))
}
