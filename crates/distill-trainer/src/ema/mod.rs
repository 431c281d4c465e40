//! Exponential moving averages of weights.

mod config;
mod posthoc;
mod power;
mod snapshots;

pub use config::EmaConfig;
pub use posthoc::{PowerProfile, posthoc_coefficients};
pub use power::PowerEma;
pub use snapshots::EmaSnapshots;

use crate::{Progress, Result};
use diffusion_core::{FlatParameters, Parameters, State};
use std::rc::Rc;
use tch::Tensor;

/// A moving average of one player's trained tensors, in flat memory.
///
/// Any number of averages may follow the same weights; [`Ema::update_all`] moves them together.
#[derive(Debug)]
pub struct Ema {
    config: EmaConfig,
    flat: Rc<FlatParameters>,
    average: Tensor,
}

impl Ema {
    /// An average that starts at the present weights, which are [flattened](Parameters::flatten).
    ///
    /// # Errors
    /// If the tensors are not all of one kind.
    pub fn new(config: EmaConfig, parameters: &Parameters) -> Result<Self> {
        Ok(Self::over(config, Rc::new(parameters.flatten(|_| true)?)))
    }

    /// An average of flat parameters that starts at the present weights.
    pub(crate) fn over(config: EmaConfig, flat: Rc<FlatParameters>) -> Self {
        let average = flat.snapshot();
        Self { config, flat, average }
    }

    /// How fast the average forgets.
    pub fn config(&self) -> EmaConfig {
        self.config
    }

    /// Takes in the present weights, after a step of `batch` images that began at `progress`.
    ///
    /// # Errors
    /// If libtorch fails.
    pub fn update(&mut self, progress: Progress, batch: usize) -> Result<()> {
        Self::update_all(std::slice::from_mut(self), progress, batch)
    }

    /// The same for several averages at once.
    ///
    /// # Errors
    /// If libtorch fails.
    pub fn update_all(averages: &mut [Self], progress: Progress, batch: usize) -> Result<()> {
        let (mut targets, mut sources, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for ema in averages {
            targets.extend(ema.flat.runs(&ema.average));
            sources.extend(ema.flat.weights().iter().map(Tensor::shallow_clone));
            weights.resize(targets.len(), 1.0 - ema.config.decay(progress.images, batch));
        }
        Ok(libtorch_ext::fused::lerp_(&targets, &sources, &weights)?)
    }

    /// Starts anew from the present weights.
    pub fn reset(&mut self) {
        self.average = self.flat.snapshot();
    }

    /// Puts the average into the network; the weights come back when the guard is dropped.
    #[must_use = "the average is in the network as long as the guard lives"]
    pub fn applied(&self) -> AppliedEma<'_> {
        let weights = self.flat.snapshot();
        self.flat.overwrite(&self.average);
        AppliedEma { ema: self, weights }
    }

    /// The averages to save, by parameter name.
    pub fn state(&self) -> State {
        let tensors = self.named().map(|(name, average)| (name.to_owned(), average.copy()));
        State { tensors: tensors.collect(), ..State::default() }
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// If an entry is missing or has another shape.
    pub fn load_state(&mut self, state: &State) -> Result<()> {
        Ok(self.named().try_for_each(|(name, average)| state.copy_into(name, &average))?)
    }

    /// The averages by parameter name, as views of the memory.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, Tensor)> {
        self.flat.layout().names().zip(self.flat.layout().views(&self.average))
    }
}

/// A network that holds its average for a while; see [`Ema::applied`].
#[derive(Debug)]
pub struct AppliedEma<'a> {
    ema: &'a Ema,
    weights: Tensor,
}

impl Drop for AppliedEma<'_> {
    fn drop(&mut self) {
        self.ema.flat.overwrite(&self.weights);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn applying_is_undone_even_after_a_panic() {
        let mut params = Parameters::new(Device::Cpu);
        let mut w = params.trainable("w", Tensor::from(0f32));
        let mut ema = Ema::new(EmaConfig::Constant { decay: 0.75 }, &params).unwrap();
        let _ = tch::no_grad(|| w.fill_(4.0));
        ema.update(Progress::default(), 1).unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _average = ema.applied();
            assert_eq!(w.double_value(&[]), 4.0); // fails: the average is 1
        }));
        assert!(result.is_err());
        assert_eq!(w.double_value(&[]), 4.0);
    }

    #[test]
    fn several_averages_move_as_each_would_alone() {
        let configs = [0.75, 0.5].map(|decay| EmaConfig::Constant { decay });
        let mut params = Parameters::new(Device::Cpu);
        let mut w = params.trainable("w", Tensor::from_slice(&[0f32, 8.0]));
        let mut together = configs.map(|config| Ema::new(config, &params).unwrap());
        let _ = tch::no_grad(|| w.fill_(4.0));
        Ema::update_all(&mut together, Progress::default(), 1).unwrap();
        let values = together.map(|ema| ema.state().tensors["w"].copy());
        assert_eq!(values, [Tensor::from_slice(&[1f32, 7.0]), Tensor::from_slice(&[2f32, 6.0])]);
    }
}
