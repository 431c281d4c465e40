//! Optimizers whose whole state can be saved.

mod adam;
mod config;
mod radam;

pub use config::{Algorithm, OptimizerConfig};

use crate::Result;
use diffusion_core::{FlatParameters, Parameters, State};
use libtorch_ext::fused::OnDevice;
use std::rc::Rc;
use tch::{Kind, Tensor};

/// The memory of some parameters and of their moments, run by run, and how often they were updated.
#[derive(Debug)]
struct Memory {
    weights: Vec<Tensor>,
    exp_avg: Vec<Tensor>,
    exp_avg_sq: Vec<Tensor>,
    /// An `f32` scalar on the device, as the fused kernels want it.
    updates: Tensor,
}

/// One update of every parameter.
trait UpdateRule: std::fmt::Debug {
    /// `grads` are cut into the same runs as the memory; they may be overwritten.
    fn update(
        &self,
        memory: &Memory,
        grads: &[Tensor],
        lr: f64,
        on_device: OnDevice<'_>,
    ) -> Result<()>;
}

/// An optimizer over the trained tensors of one player.
///
/// Unlike tch's, its state is plain tensors that go into a checkpoint by parameter name, and an update is a handful of
/// kernels over flat memory, whatever the number of parameters: making an optimizer
/// [flattens](Parameters::flatten) the parameters.
///
/// A parameter that has no gradient counts as one whose gradient is zero: its moments fade and still move it.
///
/// # Example
/// ```
/// use diffusion_core::Parameters;
/// use distill_trainer::{Optimizer, OptimizerConfig};
/// use tch::{Device, Kind, Tensor};
///
/// let mut params = Parameters::new(Device::Cpu);
/// let w = params.trainable("w", Tensor::from(1f32));
/// let mut adam = Optimizer::new(&OptimizerConfig::default().with_lr(0.1), &params)?;
/// (&w * &w).backward();
/// adam.step(0.1)?;
/// assert!((w.double_value(&[]) - 0.9).abs() < 1e-6); // Adam's first step has the length of the learning rate
/// # Ok::<(), distill_trainer::Error>(())
/// ```
#[derive(Debug)]
pub struct Optimizer {
    flat: Rc<FlatParameters>,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    memory: Memory,
    rule: Box<dyn UpdateRule>,
}

impl Optimizer {
    /// A fresh optimizer over the trained tensors of `parameters`.
    ///
    /// # Errors
    /// If the tensors are not all of one kind.
    pub fn new(config: &OptimizerConfig, parameters: &Parameters) -> Result<Self> {
        Ok(Self::over(config, Rc::new(parameters.flatten(|_| true)?)))
    }

    /// A fresh optimizer over flat parameters.
    pub(crate) fn over(config: &OptimizerConfig, flat: Rc<FlatParameters>) -> Self {
        let device = flat.device();
        let [exp_avg, exp_avg_sq] = [(); 2].map(|()| flat.layout().zeros(device));
        let memory = Memory {
            weights: flat.weights().iter().map(Tensor::shallow_clone).collect(),
            exp_avg: flat.runs(&exp_avg),
            exp_avg_sq: flat.runs(&exp_avg_sq),
            updates: Tensor::zeros([0i64; 0], (Kind::Float, device)),
        };
        let rule: Box<dyn UpdateRule> = match config.algorithm {
            Algorithm::Adam => Box::new(adam::Adam::new(config, false)),
            Algorithm::AdamW => Box::new(adam::Adam::new(config, true)),
            Algorithm::RAdam => Box::new(radam::RAdam::new(config)),
        };
        Self { flat, exp_avg, exp_avg_sq, memory, rule }
    }

    /// Moves every parameter by its gradient. Gradients are kept.
    ///
    /// # Errors
    /// If libtorch fails.
    pub fn step(&mut self, lr: f64) -> Result<()> {
        let grads = self.exp_avg.zeros_like();
        let views = self.flat.layout().views(&grads);
        for (mut view, param) in views.into_iter().zip(self.flat.tensors()) {
            let grad = param.grad();
            if grad.defined() {
                let _guard = tch::no_grad_guard();
                view.f_copy_(&grad).map_err(diffusion_core::Error::Torch)?;
            }
        }
        self.update(&self.flat.runs(&grads), lr, OnDevice::default())
    }

    /// What it moves.
    pub fn parameters(&self) -> &FlatParameters {
        &self.flat
    }

    /// The same by gradients in flat memory, cut into [`FlatParameters::runs`]; they may be overwritten. Nothing waits
    /// for the device.
    ///
    /// # Errors
    /// If libtorch fails.
    pub fn update(&self, grads: &[Tensor], lr: f64, on_device: OnDevice<'_>) -> Result<()> {
        let _guard = tch::no_grad_guard();
        self.rule.update(&self.memory, grads, lr, on_device)
    }

    /// Forgets the moments and the count of updates.
    pub fn reset(&mut self) {
        let _guard = tch::no_grad_guard();
        for tensor in [&mut self.exp_avg, &mut self.exp_avg_sq, &mut self.memory.updates] {
            let _ = tensor.zero_();
        }
    }

    /// Everything to save: `exp_avg.NAME` and `exp_avg_sq.NAME` by parameter name, and `step`, the count of updates.
    pub fn state(&self) -> State {
        let named = |(name, tensor): (String, Tensor)| (name, tensor.copy());
        State { tensors: self.named().map(named).collect(), ..State::default() }
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// If an entry is missing or has another shape.
    pub fn load_state(&mut self, state: &State) -> Result<()> {
        Ok(self.named().try_for_each(|(name, tensor)| state.copy_into(&name, &tensor))?)
    }

    /// The tensors of the state, as views of the memory.
    fn named(&self) -> impl Iterator<Item = (String, Tensor)> {
        let layout = self.flat.layout();
        let moments = [("exp_avg", &self.exp_avg), ("exp_avg_sq", &self.exp_avg_sq)];
        let by_name = moments.into_iter().flat_map(move |(prefix, buffer)| {
            let names = layout.names().map(move |name| format!("{prefix}.{name}"));
            names.zip(layout.views(buffer))
        });
        by_name.chain([("step".to_owned(), self.memory.updates.shallow_clone())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn quadratic(algorithm: Algorithm) -> (Parameters, Optimizer, Tensor) {
        let mut params = Parameters::new(Device::Cpu);
        let w = params.trainable("w", Tensor::from_slice(&[3f32, -2.0]));
        let config = OptimizerConfig { algorithm, ..OptimizerConfig::default() };
        let optimizer = Optimizer::new(&config, &params).unwrap();
        (params, optimizer, w)
    }

    fn descend(optimizer: &mut Optimizer, w: &Tensor, steps: usize) {
        for _ in 0..steps {
            let mut w = w.shallow_clone();
            w.zero_grad();
            w.square().sum(Kind::Float).backward();
            optimizer.step(0.05).unwrap();
        }
    }

    #[test]
    fn every_algorithm_finds_the_minimum() {
        for algorithm in [Algorithm::Adam, Algorithm::AdamW, Algorithm::RAdam] {
            let (_params, mut optimizer, w) = quadratic(algorithm);
            descend(&mut optimizer, &w, 500);
            assert!(w.abs().max().double_value(&[]) < 0.05, "{algorithm:?} ended at {w:?}");
        }
    }

    #[test]
    fn a_saved_state_continues_bit_for_bit() {
        for algorithm in [Algorithm::Adam, Algorithm::RAdam] {
            let (params, mut optimizer, w) = quadratic(algorithm);
            descend(&mut optimizer, &w, 7);
            let saved = optimizer.state();
            let (twin_params, mut twin, twin_w) = quadratic(algorithm);
            twin_params.copy_from(&params).unwrap();
            twin.load_state(&saved).unwrap();
            descend(&mut optimizer, &w, 5);
            descend(&mut twin, &twin_w, 5);
            assert_eq!(w, twin_w);
        }
    }

    /// On the device a skipped update is one that the kernels leave out.
    #[test]
    fn a_skipped_update_changes_nothing() {
        for algorithm in [Algorithm::Adam, Algorithm::AdamW, Algorithm::RAdam] {
            let config =
                OptimizerConfig { algorithm, weight_decay: 0.1, ..OptimizerConfig::default() };
            let mut params = Parameters::new(Device::Cpu);
            let w = params.trainable("w", Tensor::from_slice(&[3f32, -2.0]));
            let optimizer = Optimizer::new(&config, &params).unwrap();
            let update = |grad: f64, skip: f32| {
                let grads = [optimizer.exp_avg.full_like(grad)];
                let skip = Tensor::from(skip);
                let on_device = OnDevice { skip: Some(&skip), divisor: None };
                optimizer.update(&grads, 0.05, on_device).unwrap();
            };
            (0..7).for_each(|_| update(1.0, 0.0));
            let (before, state) = (w.detach().copy(), optimizer.state());
            update(f64::NAN, 1.0);
            assert_eq!(w.detach(), before, "{algorithm:?}");
            assert_eq!(optimizer.state().tensors, state.tensors, "{algorithm:?}");
            update(1.0, 0.0);
            assert_ne!(w.detach(), before, "{algorithm:?}");
        }
    }

    #[test]
    fn a_divisor_clips_and_a_reset_forgets() {
        for algorithm in [Algorithm::Adam, Algorithm::RAdam] {
            let take = |grad: f64, divisor: f64| {
                let (_params, mut optimizer, w) = quadratic(algorithm);
                let divisor = Tensor::from(divisor as f32);
                let on_device = OnDevice { divisor: Some(&divisor), skip: None };
                let grads = [optimizer.exp_avg.full_like(grad)];
                optimizer.update(&grads, 0.05, on_device).unwrap();
                let state = optimizer.state();
                optimizer.reset();
                assert!(
                    optimizer
                        .state()
                        .tensors
                        .values()
                        .all(|t| t.count_nonzero(None).int64_value(&[]) == 0)
                );
                (w.detach().copy(), state.tensors)
            };
            assert_eq!(take(8.0, 4.0), take(2.0, 1.0), "{algorithm:?}");
        }
    }
}
