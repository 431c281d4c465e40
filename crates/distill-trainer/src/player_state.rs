//! What the trainer keeps for each player: its optimizer, its average, its settings.

use crate::{Ema, Error, OnNonFinite, Optimizer, Player, Progress, Result, Role, RoleConfig, Turn};
use diffusion_core::State;
use libtorch_ext::fused;
use tch::Tensor;

/// The largest gradient that [`OnNonFinite::ZeroGrad`] leaves, as in the EDM family's code.
const LARGEST_GRAD: f64 = 1e5;

#[derive(Debug)]
pub(crate) struct PlayerState {
    pub(crate) role: Role,
    names: Vec<String>,
    params: Vec<Tensor>,
    config: RoleConfig,
    optimizer: Optimizer,
    ema: Option<Ema>,
}

impl PlayerState {
    pub(crate) fn new(player: &Player<'_>, config: RoleConfig) -> Self {
        let optimizer = Optimizer::new(&config.optimizer, player.parameters);
        let ema = config.ema.map(|ema| Ema::new(ema, player.parameters));
        let (names, params) = player
            .parameters
            .trained()
            .map(|entry| (entry.name.clone(), entry.tensor.shallow_clone()))
            .unzip();
        Self { role: player.role, names, params, config, optimizer, ema }
    }

    /// The trained tensors.
    pub(crate) fn params(&self) -> &[Tensor] {
        &self.params
    }

    pub(crate) fn freeze(&self, frozen: bool) {
        for param in &self.params {
            let _ = param.set_requires_grad(!frozen);
        }
    }

    pub(crate) fn clear_grads(&self) -> Result<()> {
        Ok(fused::zero_grads(&self.params)?)
    }

    /// The norm of all gradients together.
    pub(crate) fn grad_norm(&self) -> Result<Tensor> {
        Ok(fused::global_norm(&self.grads())?)
    }

    /// The first parameter whose gradient is not finite.
    pub(crate) fn first_bad_grad(&self) -> Option<&str> {
        let bad = |param: &Tensor| {
            let grad = param.grad();
            grad.defined() && grad.isfinite().all().int64_value(&[]) == 0
        };
        let index = self.params.iter().position(bad)?;
        Some(&self.names[index])
    }

    pub(crate) fn mend_grads(&self) {
        let _guard = tch::no_grad_guard();
        for mut grad in self.grads() {
            let _ = grad.nan_to_num_(0.0, LARGEST_GRAD, -LARGEST_GRAD);
        }
    }

    /// Clips and steps; `norm` is the gradients' norm.
    pub(crate) fn step(&mut self, norm: &Tensor, progress: Progress, total: u64) -> Result<()> {
        if let Some(clip) = self.config.clip_norm {
            let scale: Tensor = (norm + 1e-6).reciprocal() * clip;
            fused::scale_(&self.grads(), &scale.clamp_max(1.0))?;
        }
        self.optimizer.step(self.config.lr(progress.images, total))
    }

    pub(crate) fn average(&mut self, progress: Progress, batch: usize) -> Result<()> {
        self.ema.as_mut().map_or(Ok(()), |ema| ema.update(progress, batch))
    }

    pub(crate) fn ema(&self) -> Option<&Ema> {
        self.ema.as_ref()
    }

    /// Forgets the optimizer's state and starts the average anew.
    pub(crate) fn reset(&mut self, player: &Player<'_>) {
        *self = Self::new(player, self.config.clone());
    }

    fn grads(&self) -> Vec<Tensor> {
        self.params.iter().map(Tensor::grad).filter(Tensor::defined).collect()
    }

    /// Everything to save: weights, optimizer, average.
    pub(crate) fn state(&self) -> State {
        let mut state = State::default();
        for (name, param) in self.names.iter().zip(&self.params) {
            state.tensors.insert(format!("weights.{name}"), param.detach().copy());
        }
        let parts = [
            Some(("optimizer", self.optimizer.state())),
            self.ema.as_ref().map(|e| ("ema", e.state())),
        ];
        for (part, saved) in parts.into_iter().flatten() {
            let named = saved.tensors.into_iter().map(|(name, t)| (format!("{part}.{name}"), t));
            state.tensors.extend(named);
        }
        state
    }

    pub(crate) fn load_state(&mut self, state: &State) -> Result<()> {
        let part = |prefix: &str| {
            let strip = |(name, t): (&String, &Tensor)| {
                name.strip_prefix(prefix).map(|name| (name.to_owned(), t.shallow_clone()))
            };
            let tensors = state.tensors.iter().filter_map(strip).collect();
            State { tensors, ..State::default() }
        };
        let weights = part("weights.");
        for (name, param) in self.names.iter().zip(&self.params) {
            weights.copy_into(name, param)?;
        }
        self.optimizer.load_state(&part("optimizer."))?;
        self.ema.as_mut().map_or(Ok(()), |ema| ema.load_state(&part("ema.")))
    }
}

/// Whether the optimizers of a turn may step.
///
/// # Errors
/// [`Error::NonFinite`] under the policy [`OnNonFinite::Error`].
pub(crate) fn may_step(
    policy: OnNonFinite,
    turn: &Turn,
    step: u64,
    loss: &Tensor,
    players: &[&mut PlayerState],
) -> Result<bool> {
    let loss_is_finite = loss.isfinite().int64_value(&[]) == 1;
    let bad_grad = players.iter().find_map(|player| {
        player.first_bad_grad().map(|name| format!("the gradient of {}'s `{name}`", player.role))
    });
    match policy {
        OnNonFinite::Error => {
            let what = if loss_is_finite {
                bad_grad.unwrap_or_else(|| "the gradient norm".into())
            } else {
                "the loss".into()
            };
            Err(Error::NonFinite { step, turn: turn.name, what })
        }
        OnNonFinite::SkipStep => Ok(false),
        OnNonFinite::ZeroGrad => {
            players.iter().for_each(|player| player.mend_grads());
            Ok(true)
        }
    }
}
