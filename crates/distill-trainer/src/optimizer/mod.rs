//! Optimizers whose whole state can be saved.

mod adam;
mod radam;

use crate::{Error, Result};
use diffusion_core::{Parameters, State};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Which update rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Adam (Kingma & Ba 2015); weight decay is added to the gradient.
    Adam,
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    AdamW,
    /// Rectified Adam (Liu et al. 2020); what consistency models are trained with.
    RAdam,
}

/// An optimizer's settings; the defaults are PyTorch's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// The update rule.
    pub algorithm: Algorithm,
    /// The learning rate before any schedule.
    pub lr: f64,
    /// Decay of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Whether `RAdam`'s weight decay shrinks the weights directly; `AdamW`'s always does.
    pub decoupled_weight_decay: bool,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Adam,
            lr: 1e-3,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled_weight_decay: false,
        }
    }
}

impl OptimizerConfig {
    /// These settings with another learning rate.
    #[must_use]
    pub fn with_lr(self, lr: f64) -> Self {
        Self { lr, ..self }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field that makes no sense.
    pub fn validate(&self, prefix: &str) -> Result<()> {
        let check = |ok: bool, field: &str, value: f64, expected| {
            let field = format!("{prefix}.{field}");
            if ok {
                Ok(())
            } else {
                Err(Error::Config { field, value: value.to_string(), expected })
            }
        };
        check(self.lr.is_finite() && self.lr > 0.0, "lr", self.lr, "must be positive")?;
        for beta in self.betas {
            check((0.0..1.0).contains(&beta), "betas", beta, "must be in [0, 1)")?;
        }
        check(self.eps.is_finite() && self.eps > 0.0, "eps", self.eps, "must be positive")?;
        let decay = self.weight_decay;
        check(decay.is_finite() && decay >= 0.0, "weight_decay", decay, "must not be negative")
    }
}

/// The first and second moments of some parameters, with the parameters themselves.
#[derive(Debug)]
struct Moments {
    params: Vec<Tensor>,
    exp_avg: Vec<Tensor>,
    exp_avg_sq: Vec<Tensor>,
    /// Updates of each parameter, `f32` scalars as the fused kernels want them.
    steps: Vec<Tensor>,
}

/// One update of every parameter that has a gradient.
trait UpdateRule: std::fmt::Debug {
    fn update(&self, moments: &Moments, grads: &[Tensor], lr: f64) -> Result<()>;
}

/// An optimizer over the trained tensors of one player.
///
/// Unlike tch's, its state is plain tensors that go into a checkpoint by parameter name.
///
/// # Example
/// ```
/// use diffusion_core::Parameters;
/// use distill_trainer::{Optimizer, OptimizerConfig};
/// use tch::{Device, Kind, Tensor};
///
/// let mut params = Parameters::new(Device::Cpu);
/// let w = params.trainable("w", Tensor::from(1f32));
/// let mut adam = Optimizer::new(&OptimizerConfig::default().with_lr(0.1), &params);
/// (&w * &w).backward();
/// adam.step(0.1)?;
/// assert!((w.double_value(&[]) - 0.9).abs() < 1e-6); // Adam's first step has the length of the learning rate
/// # Ok::<(), distill_trainer::Error>(())
/// ```
#[derive(Debug)]
pub struct Optimizer {
    names: Vec<String>,
    moments: Moments,
    rule: Box<dyn UpdateRule>,
}

impl Optimizer {
    /// A fresh optimizer over the trained tensors of `parameters`.
    pub fn new(config: &OptimizerConfig, parameters: &Parameters) -> Self {
        let _guard = tch::no_grad_guard();
        let params: Vec<Tensor> = parameters.trained().map(|p| p.tensor.shallow_clone()).collect();
        let zeros = || params.iter().map(Tensor::zeros_like).collect::<Vec<_>>();
        let step = |p: &Tensor| Tensor::zeros([0i64; 0], (Kind::Float, p.device()));
        let (exp_avg, exp_avg_sq) = (zeros(), zeros());
        let steps = params.iter().map(step).collect();
        let names = parameters.trained().map(|p| p.name.clone()).collect();
        let rule: Box<dyn UpdateRule> = match config.algorithm {
            Algorithm::Adam => Box::new(adam::Adam::new(config, false)),
            Algorithm::AdamW => Box::new(adam::Adam::new(config, true)),
            Algorithm::RAdam => Box::new(radam::RAdam::new(config)),
        };
        Self { names, moments: Moments { params, exp_avg, exp_avg_sq, steps }, rule }
    }

    /// Moves every parameter that has a gradient. Gradients are kept.
    ///
    /// # Errors
    /// If libtorch fails.
    pub fn step(&mut self, lr: f64) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let grads: Vec<Tensor> = self.moments.params.iter().map(Tensor::grad).collect();
        if grads.iter().all(Tensor::defined) {
            return self.rule.update(&self.moments, &grads, lr);
        }
        let with_grad: Vec<usize> = (0..grads.len()).filter(|&i| grads[i].defined()).collect();
        let pick = |all: &[Tensor]| with_grad.iter().map(|&i| all[i].shallow_clone()).collect();
        let moments = Moments {
            params: pick(&self.moments.params),
            exp_avg: pick(&self.moments.exp_avg),
            exp_avg_sq: pick(&self.moments.exp_avg_sq),
            steps: pick(&self.moments.steps),
        };
        self.rule.update(&moments, &pick(&grads), lr)
    }

    /// Everything to save, by parameter name.
    pub fn state(&self) -> State {
        let mut state = State::default();
        for (prefix, tensors) in self.named() {
            for (name, tensor) in self.names.iter().zip(tensors) {
                state.tensors.insert(format!("{prefix}.{name}"), tensor.copy());
            }
        }
        state
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// If an entry is missing or has another shape.
    pub fn load_state(&mut self, state: &State) -> Result<()> {
        for (prefix, tensors) in self.named() {
            for (name, tensor) in self.names.iter().zip(tensors) {
                state.copy_into(&format!("{prefix}.{name}"), tensor)?;
            }
        }
        Ok(())
    }

    fn named(&self) -> [(&'static str, &[Tensor]); 3] {
        let Moments { exp_avg, exp_avg_sq, steps, .. } = &self.moments;
        [("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq), ("step", steps)]
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
        let optimizer = Optimizer::new(&config, &params);
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

    #[test]
    fn nonsense_is_refused_by_name() {
        let error = OptimizerConfig::default().with_lr(-1.0).validate("roles.student.optimizer");
        assert!(error.unwrap_err().to_string().starts_with("`roles.student.optimizer.lr` = -1"));
    }
}
