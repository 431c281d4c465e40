//! `sliced_wasserstein`: distances along given directions, and the approximation without any.

use super::Replayed;
use crate::{Result, Tolerance};
use metrics::{Order, sliced_wasserstein, sliced_wasserstein_approximation};
use tch::Tensor;
use testkit::GoldenCase;

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let (x, y) = (case.tensor("x")?, case.tensor("y")?);
    let distance = |directions: &Tensor, order| sliced_wasserstein(x, y, directions, order);
    let directions = case.tensor("projections")?;
    let (mut w1, mut w2_squared) = (Vec::new(), Vec::new());
    for direction in directions.split(1, 0) {
        w1.push(distance(&direction, Order::One)?);
        w2_squared.push(distance(&direction, Order::Two)?.powi(2));
    }
    let mut replayed = Replayed::default();
    replayed.given(["x", "y", "projections"]);
    let mut insert =
        |name: &str, value: Tensor| replayed.insert_within(Tolerance::Relative(1e-10), name, value);
    insert("sw1", distance(directions, Order::One)?.into());
    insert("sw2", distance(directions, Order::Two)?.into());
    insert("w1_per_projection", Tensor::from_slice(&w1));
    insert("w2sq_per_projection", Tensor::from_slice(&w2_squared));
    insert("sw_approx", sliced_wasserstein_approximation(x, y)?.into());
    Ok(replayed)
}
