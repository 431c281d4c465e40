//! `inception_score`: scores of a classifier's outputs by three programs.

use super::Replayed;
use crate::{Result, Tolerance};
use metrics::{InceptionScore, NumpyRandom, ScoreSplits};
use serde::Deserialize;
use tch::Tensor;
use testkit::GoldenCase;

#[derive(Deserialize)]
struct Config {
    adm_split_size: i64,
    splits: i64,
}

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let Config { adm_split_size, splits: count } =
        serde_json::from_value(case.description().clone())?;
    let logits = case.tensor("logits")?;
    let score = |splits| InceptionScore::of_logits(logits, splits);
    let seed = 2020; // torch-fidelity's own
    let shuffled = score(ScoreSplits::Equal { count, shuffle: Some(seed) })?;
    let in_order = score(ScoreSplits::Equal { count, shuffle: None })?;
    let adm = score(ScoreSplits::Consecutive { size: adm_split_size })?;

    let mut replayed = Replayed::default();
    replayed.given(["logits"]);
    let order = NumpyRandom::new(seed).permutation(logits.size()[0]);
    replayed.insert_within(Tolerance::Relative(0.0), "permutation", Tensor::from_slice(&order));
    let (double, single) = (Tolerance::Relative(1e-10), Tolerance::Relative(2e-6));
    replayed.insert_within(double, "tf_mean", shuffled.mean);
    replayed.insert_within(double, "tf_std", shuffled.deviation);
    replayed.insert_within(double, "tf_noshuffle_mean", in_order.mean);
    replayed.insert_within(double, "tf_noshuffle_std", in_order.deviation);
    replayed.insert_within(single, "sg_mean", in_order.mean);
    replayed.insert_within(single, "sg_std", in_order.deviation);
    replayed.insert_within(single, "adm_mean", adm.mean);
    Ok(replayed)
}
