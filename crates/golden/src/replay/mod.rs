//! One family of cases a file.

mod clip;
mod consistency;
mod consistency_schedules;
mod diffusers;
mod easy_consistency;
mod edm_loss;
mod edm_networks;
mod edm_precond_tables;
mod edm_sampler;
mod ema;
mod equilibrium;
mod feature_networks;
mod frechet;
mod guided_networks;
mod image_bytes;
mod inception_score;
mod karras_grids;
mod kernel_distances;
mod latent_networks;
mod neighbors;
mod optimizers;
mod perceptual;
mod resizes;
mod score_identity;
mod shift_network;
mod sliced_wasserstein;
mod stub_network;

use crate::{Result, Tolerance};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
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
    ("edm_ncsnpp", edm_networks::replay),
    ("edm_adm", edm_networks::replay),
    ("get_cond", equilibrium::replay),
    ("feat_inception", feature_networks::replay_inception),
    ("feat_vgg16_bn", feature_networks::replay_vgg16_bn),
    ("feat_tf_efficientnet_lite0", feature_networks::replay_efficientnet),
    ("feat_deit", feature_networks::replay_deit),
    ("feat_dinov2", feature_networks::replay_dinov2),
    ("feat_clip", clip::replay),
    ("feat_clip_tokenizer", clip::replay_tokenizer),
    ("sferd_mlp_skip", latent_networks::replay_mlp_skip),
    ("gd_", guided_networks::replay),
    ("cm_unet", guided_networks::replay_consistency),
    ("sferd_shift_unet", shift_network::replay),
    ("pdae_encoder64", latent_networks::replay_encoder),
    ("diffusers", diffusers::replay),
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
    ("fid", frechet::replay),
    ("fid_edm", frechet::replay_edm),
    ("fd_infinity", frechet::replay_infinity),
    ("uint8", image_bytes::replay),
    ("kid", kernel_distances::replay_kid),
    ("cmmd", kernel_distances::replay_cmmd),
    ("inception_fid", perceptual::replay_inception),
    ("lpips_vgg16", perceptual::replay_lpips),
    ("inception_score", inception_score::replay),
    ("precision_recall", neighbors::replay),
    ("resize", resizes::replay),
    ("sliced_wasserstein", sliced_wasserstein::replay),
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
/// A replay may offer more than the file holds; it must offer every result that the file holds.
#[derive(Debug, Default)]
pub struct Replayed {
    tensors: BTreeMap<String, Tensor>,
    tolerances: BTreeMap<String, Tolerance>,
    given: BTreeSet<String>,
}

impl Replayed {
    /// Adds a tensor, judged by the tolerance of the case.
    pub fn insert(&mut self, name: impl Into<String>, value: Tensor) {
        self.tensors.insert(name.into(), value);
    }

    /// Adds a tensor, judged by a tolerance of its own.
    pub fn insert_within(
        &mut self,
        tolerance: Tolerance,
        name: impl Into<String>,
        value: impl Into<Tensor>,
    ) {
        let name = name.into();
        self.tolerances.insert(name.clone(), tolerance);
        self.tensors.insert(name, value.into());
    }

    /// Names tensors of the file as no results, in a file whose names do not say so.
    pub fn given<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        self.given.extend(names.into_iter().map(str::to_owned));
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The tolerance of the tensor's own, if it has one.
    pub fn tolerance(&self, name: &str) -> Option<Tolerance> {
        self.tolerances.get(name).copied()
    }

    /// Whether the tensor of a file is a result: `out.*`, or not [given](Replayed::given) if others are.
    pub fn is_result(&self, name: &str) -> bool {
        match self.given.is_empty() {
            true => name.starts_with("out."),
            false => !self.given.contains(name),
        }
    }
}

impl<N: Into<String>, const K: usize> From<[(N, Tensor); K]> for Replayed {
    fn from(tensors: [(N, Tensor); K]) -> Self {
        let tensors = tensors.map(|(name, tensor)| (name.into(), tensor)).into();
        Self { tensors, ..Self::default() }
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
