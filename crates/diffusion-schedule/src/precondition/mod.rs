//! What a raw network is wrapped in, as functions of the noise level.

use tch::{Kind, Tensor};

mod boundary;
mod discrete;
mod edm;
mod iddpm;
mod preconditioning;
mod ve;
mod vp;

pub use boundary::Boundary;
pub use discrete::{Discrete, TimestepRule};
pub use edm::Edm;
pub use iddpm::IDdpm;
pub use preconditioning::Preconditioning;
pub use ve::Ve;
pub use vp::Vp;

/// The four functions of a noise level that turn a raw network `F` into a denoiser.
///
/// ```text
/// D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)
/// ```
///
/// Each has the shape of the `sigma` it was computed from, `[B]`, and kind `f32`.
#[derive(Debug)]
pub struct Coefficients {
    /// How much of the noisy image reaches the result directly.
    pub c_skip: Tensor,
    /// The scale of the network's output.
    pub c_out: Tensor,
    /// The scale of the network's input.
    pub c_in: Tensor,
    /// The network's noise argument.
    pub c_noise: Tensor,
}

impl Coefficients {
    /// Computed in `f64`, cast once.
    fn to_float(&self) -> Self {
        Self {
            c_skip: self.c_skip.to_kind(Kind::Float),
            c_out: self.c_out.to_kind(Kind::Float),
            c_in: self.c_in.to_kind(Kind::Float),
            c_noise: self.c_noise.to_kind(Kind::Float),
        }
    }
}

/// A table of levels beside `sigma`. The copy is queued like any other work: nothing waits for the device.
fn table_for(sigma: &Tensor, levels: &[f64]) -> Tensor {
    Tensor::from_slice(levels).to_device_(sigma.device(), Kind::Double, true, false)
}

/// A choice of the four preconditioning functions.
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, Table 1 and section 5.
///
/// # Example
/// ```
/// use diffusion_schedule::{Edm, Precondition};
/// let c = Edm::default().coefficients(&tch::Tensor::from_slice(&[0.5f32]));
/// assert_eq!(c.c_skip.double_value(&[0]), 0.5); // at sigma = sigma_data both halves weigh the same
/// ```
pub trait Precondition {
    /// The coefficients at the levels `sigma`, `[B]`, of any float kind.
    ///
    /// # Units
    /// `sigma` in the unit of the images.
    ///
    /// # Gradient
    /// Flows into `sigma`.
    fn coefficients(&self, sigma: &Tensor) -> Coefficients;

    /// The lowest and highest level that the network was made for.
    fn sigma_range(&self) -> (f64, f64);
}
