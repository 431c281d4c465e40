//! An endless source of normal data.

use diffusion_core::{Batch, BatchSource, Cond, Noise, NoiseState, Result, State};
use tch::Tensor;

/// Batches of `N(mean, std²)` points, `[B, C, 1, 1]`: the data of which [`ExactGaussian`](crate::ExactGaussian) is the
/// exact denoiser.
///
/// # Example
/// ```
/// use diffusion_core::BatchSource;
/// let mut data = testkit::GaussianData::new(&[1.0, -1.0], 0.5, 7);
/// assert_eq!(data.next_batch(8).unwrap().images.size(), [8, 2, 1, 1]);
/// ```
#[derive(Debug)]
pub struct GaussianData {
    mean: Tensor,
    std: f64,
    noise: Noise,
}

impl GaussianData {
    /// Data with one channel for each entry of `mean`.
    pub fn new(mean: &[f32], std: f64, seed: u64) -> Self {
        let mean = Tensor::from_slice(mean).view([1, mean.len() as i64, 1, 1]);
        Self { mean, std, noise: Noise::new(seed).stream("data") }
    }

    /// The exact denoiser of this data.
    pub fn denoiser(&self) -> crate::ExactGaussian {
        crate::ExactGaussian { mean: self.mean.copy(), std: Tensor::from(self.std as f32) }
    }
}

impl BatchSource for GaussianData {
    fn next_batch(&mut self, size: usize) -> Result<Batch> {
        let z = self.noise.normal(&[size as i64, self.mean.size()[1], 1, 1]);
        Ok(Batch { images: &self.mean + z * self.std, cond: Cond::none() })
    }

    fn state(&self) -> State {
        let NoiseState { seed, stream, draw } = self.noise.state();
        let mut state = State::default();
        state.set("noise", vec![seed, stream, draw]);
        state
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let [seed, stream, draw] = state.get("noise")?;
        self.noise = Noise::from_state(NoiseState { seed, stream, draw });
        Ok(())
    }
}
