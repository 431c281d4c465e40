//! What a network's output means.

use diffusion_core::shape::per_image;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// What a network of a variance-preserving process predicts, under the names of diffusers.
///
/// Such a network sees `x_t = x / √(1 + sigma²)`, where `x = x0 + sigma n`; its output `F` stands for `x0` by
///
/// ```text
/// epsilon       F = n                                    x0 = x - sigma F
/// v_prediction  F = (n - sigma x0) / √(1 + sigma²)       x0 = x / (1 + sigma²) - F sigma / √(1 + sigma²)
/// sample        F = x0                                   x0 = F
/// ```
///
/// # Source
/// Ho et al. 2020, arXiv:2006.11239 (`epsilon`); Salimans & Ho 2022, arXiv:2202.00512, appendix D (`v_prediction`: there
/// `α n - σ x0` with `α² + σ² = 1`).
///
/// # Example
/// ```
/// use diffusion_schedule::Prediction;
/// use tch::Tensor;
/// let (x0, sigma) = (Tensor::from_slice(&[0.5]), Tensor::from_slice(&[2.0]));
/// let x = &x0 + 2.0 * 0.25; // the noise is 0.25
/// let output = Prediction::Epsilon.output(&x, &x0, &sigma);
/// assert_eq!(output.double_value(&[0]), 0.25);
/// assert_eq!(Prediction::Epsilon.x0(&x, &output, &sigma), x0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    /// The noise.
    #[default]
    Epsilon,
    /// The velocity: noise where the image is clear, the negative image where it is all noise.
    VPrediction,
    /// The clean image.
    Sample,
}

impl Prediction {
    /// `c_skip` and `c_out` of `x0 = c_skip x + c_out F`, shaped as `sigma` and in `f64`.
    ///
    /// # Gradient
    /// Flows into `sigma`.
    pub fn scalings(self, sigma: &Tensor) -> (Tensor, Tensor) {
        let sigma = sigma.to_kind(Kind::Double);
        match self {
            Self::Epsilon => (sigma.ones_like(), sigma.neg()),
            Self::VPrediction => {
                let variance = sigma.square() + 1.0;
                (variance.reciprocal(), sigma.neg() * variance.rsqrt())
            }
            Self::Sample => (sigma.zeros_like(), sigma.ones_like()),
        }
    }

    /// The clean image that the network's `output` for `x` stands for.
    ///
    /// # Shapes
    /// `x`, `output`: `[B, …]`; `sigma`: `[B]`; returns the shape and kind of `x`.
    ///
    /// # Units
    /// `x = x0 + sigma n`: not yet scaled for the network.
    ///
    /// # Gradient
    /// Flows into all three.
    ///
    /// # Panics
    /// If `sigma` is not `[B]`.
    pub fn x0(self, x: &Tensor, output: &Tensor, sigma: &Tensor) -> Tensor {
        let (c_skip, c_out) = self.scalings_for(sigma, x);
        x * c_skip + output * c_out
    }

    /// What the network would answer if it knew the clean image `x0` behind `x`: the inverse of [`Prediction::x0`].
    ///
    /// # Shapes
    /// `x`, `x0`: `[B, …]`; `sigma`: `[B]`, above 0 (except for [`Prediction::Sample`]); returns the shape and kind of `x`.
    ///
    /// # Units
    /// `x = x0 + sigma n`.
    ///
    /// # Gradient
    /// Flows into all three.
    ///
    /// # Panics
    /// If `sigma` is not `[B]`.
    pub fn output(self, x: &Tensor, x0: &Tensor, sigma: &Tensor) -> Tensor {
        let (c_skip, c_out) = self.scalings_for(sigma, x);
        (x0 - x * c_skip) / c_out
    }

    /// The scalings, ready to multiply `x`.
    fn scalings_for(self, sigma: &Tensor, x: &Tensor) -> (Tensor, Tensor) {
        let (c_skip, c_out) = self.scalings(sigma);
        let [c_skip, c_out] = [c_skip, c_out].map(|c| per_image(&c.to_kind(x.kind()), x));
        (c_skip, c_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::formula;

    const ALL: [Prediction; 3] = [Prediction::Epsilon, Prediction::VPrediction, Prediction::Sample];

    /// Clean images, noise, levels and noisy images, in `f64`.
    fn batch() -> [Tensor; 4] {
        let [x0, n] =
            ["x0", "n"].map(|name| formula::noise(name, &[3, 2, 4, 4]).to_kind(Kind::Double));
        let sigma = Tensor::from_slice(&[0.01, 1.5, 300.0]);
        let x = &x0 + &n * per_image(&sigma, &x0);
        [x0, n, sigma, x]
    }

    fn assert_close(a: &Tensor, b: &Tensor) {
        assert!((a - b).abs().max().double_value(&[]) < 1e-11, "{a:?} {b:?}");
    }

    #[test]
    fn outputs_are_the_papers() {
        let [x0, n, sigma, x] = batch();
        assert_close(&Prediction::Epsilon.output(&x, &x0, &sigma), &n);
        assert_close(&Prediction::Sample.output(&x, &x0, &sigma), &x0);
        let angle = per_image(&sigma.atan(), &x0);
        let velocity = &n * angle.cos() - &x0 * angle.sin();
        assert_close(&Prediction::VPrediction.output(&x, &x0, &sigma), &velocity);
    }

    #[test]
    fn the_clean_image_comes_back() {
        let [x0, _, sigma, x] = batch();
        for prediction in ALL {
            let output = prediction.output(&x, &x0, &sigma);
            assert_close(&prediction.x0(&x, &output, &sigma), &x0);
        }
    }

    #[test]
    fn the_velocity_turns_from_noise_to_the_negative_image() {
        let (c_skip, c_out) = Prediction::VPrediction.scalings(&Tensor::from_slice(&[0.0, 1e9]));
        let values = |t: &Tensor| [t.double_value(&[0]), t.double_value(&[1])];
        assert_eq!(values(&c_skip), [1.0, 1e-18]);
        assert_eq!(values(&c_out), [0.0, -1.0]);
    }

    #[test]
    fn names_are_those_of_diffusers() {
        for (prediction, name) in ALL.into_iter().zip(["epsilon", "v_prediction", "sample"]) {
            assert_eq!(serde_json::to_value(prediction).unwrap(), name);
        }
    }
}
