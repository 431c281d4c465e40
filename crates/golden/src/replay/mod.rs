//! One family of cases a file.

mod consistency;
mod consistency_schedules;
mod easy_consistency;
mod edm_loss;
mod edm_networks;
mod edm_precond_tables;
mod edm_sampler;
mod ema;
mod equilibrium;
mod feature_networks;
mod karras_grids;
mod latent_networks;
mod optimizers;
mod score_identity;
mod stub_network;

use crate::Result;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use tch::Tensor;
use testkit::GoldenCase;

/// Computes the results of a case from its inputs, draws and configuration.
pub type Replay = fn(&GoldenCase) -> Result<Replayed>;

/// Every family, by the stem that its files begin with: the only list.
pub static REPLAYERS: &[(&str, Replay)] = &[
    ("karras_grids", karras_grids::replay),
    ("edm_sampler", edm_sampler::replay),
    ("edm_precond_tables", edm_precond_tables::replay),
    ("edm_ddpmpp", edm_networks::replay),
    ("feat_inception", feature_networks::replay_inception),
    ("feat_vgg16_bn", feature_networks::replay_vgg16_bn),
    ("feat_tf_efficientnet_lite0", feature_networks::replay_efficientnet),
    ("feat_deit", feature_networks::replay_deit),
    ("feat_dinov2", feature_networks::replay_dinov2),
    ("get", equilibrium::replay),
    ("sferd_mlp_skip", latent_networks::replay_mlp_skip),
    ("edm_edm", edm_loss::replay),
    ("sid_fake_score", score_identity::replay_fake_score),
    ("sid_generator", score_identity::replay_generator),
    ("cm_cd", consistency::replay_pair),
    ("cm_ct", consistency::replay_pair),
    ("cm_progdist", consistency::replay_progressive),
    ("cm_denoising", consistency::replay_denoising),
    ("cm_schedules", consistency_schedules::replay),
    ("ect", easy_consistency::replay),
    ("optim", optimizers::replay),
    ("ema", ema::replay),
];

/// The replayer with the longest stem that `file_stem` begins with.
///
/// # Example
/// ```
/// assert!(golden::replayer("sid_generator_a1.7").is_some());
/// assert!(golden::replayer("generator").is_none());
/// ```
pub fn replayer(file_stem: &str) -> Option<Replay> {
    let known = REPLAYERS.iter().filter(|(stem, _)| file_stem.starts_with(stem));
    known.max_by_key(|(stem, _)| stem.len()).map(|(_, replay)| *replay)
}

/// What a replay computed: tensors under the names they have in the file.
///
/// A replay may offer more than the file holds; it must offer every `out.*` that the file holds.
#[derive(Debug, Default)]
pub struct Replayed(BTreeMap<String, Tensor>);

impl Replayed {
    /// Adds a tensor.
    pub fn insert(&mut self, name: impl Into<String>, value: Tensor) {
        self.0.insert(name.into(), value);
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }
}

impl<N: Into<String>, const K: usize> From<[(N, Tensor); K]> for Replayed {
    fn from(tensors: [(N, Tensor); K]) -> Self {
        Self(tensors.map(|(name, tensor)| (name.into(), tensor)).into())
    }
}

/// The case's configuration as `T`, without the entries in `descriptive`, which say how the file was made and change
/// nothing in what is computed. Entries that `T` does not know are errors: they might.
fn config<T: DeserializeOwned>(case: &GoldenCase, descriptive: &[&str]) -> Result<T> {
    let mut config = case.config().clone();
    if let Some(entries) = config.as_object_mut() {
        entries.retain(|key, _| !descriptive.contains(&key.as_str()));
    }
    Ok(serde_json::from_value(config)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr::fn_addr_eq;

    #[test]
    fn the_longest_stem_wins() {
        let of = |name: &str, replay: Replay| fn_addr_eq(replayer(name).unwrap(), replay);
        assert!(of("edm_sampler_stochastic", edm_sampler::replay));
        assert!(of("sid_generator_a1.7", score_identity::replay_generator));
        assert!(of("karras_grids_2", karras_grids::replay));
        assert!(of("ema", ema::replay));
        for unknown in ["", "em", "edm_ablation_sampler", "fastgen_cm_cd_default", "SID_generator"]
        {
            assert!(replayer(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn stems_are_unique() {
        for (stem, _) in REPLAYERS {
            assert_eq!(REPLAYERS.iter().filter(|(other, _)| other == stem).count(), 1, "{stem}");
        }
    }
}
