//! What the trainer keeps for each player: its memory, its optimizer, its averages, its settings.

use crate::freeze::Freeze;
use crate::{Ema, Error, Optimizer, Player, Progress, Result, Role, RoleConfig};
use diffusion_core::{FlatParameters, State};
use libtorch_ext::fused::OnDevice;
use std::rc::Rc;
use tch::Tensor;

#[derive(Debug)]
pub(crate) struct PlayerState {
    pub(crate) role: Role,
    /// What moves.
    pub(crate) flat: Rc<FlatParameters>,
    /// What never does.
    frozen: Vec<Tensor>,
    /// Every tensor: what moves, what is frozen, and constants, which not every configuration implies.
    named: Vec<(String, Tensor)>,
    config: RoleConfig,
    optimizer: Optimizer,
    /// The one that evaluation uses, if there is one, and the others.
    emas: Vec<Ema>,
}

impl PlayerState {
    pub(crate) fn new(player: &Player<'_>, config: RoleConfig) -> Result<Self> {
        let trained: Vec<_> = player.parameters.trained().collect();
        let names: Vec<&str> = trained.iter().map(|entry| entry.name.as_str()).collect();
        let field = format!("roles.{}.freeze", player.role);
        let freeze = Freeze::new(&field, &config.freeze, &names)?;
        let flat = Rc::new(player.parameters.flatten(|name| !freeze.holds(name))?);
        if flat.layout().is_empty() {
            return Err(Error::AllFrozen { role: player.role.to_string() });
        }
        let frozen = trained.iter().filter(|entry| freeze.holds(&entry.name));
        let averages = config.ema.iter().chain(&config.more_emas);
        Ok(Self {
            role: player.role,
            frozen: frozen.map(|entry| entry.tensor.shallow_clone()).collect(),
            named: (player.parameters.iter())
                .map(|entry| (entry.name.clone(), entry.tensor.shallow_clone()))
                .collect(),
            optimizer: Optimizer::over(&config.optimizer, Rc::clone(&flat)),
            emas: averages.map(|&ema| Ema::over(ema, Rc::clone(&flat))).collect(),
            flat,
            config,
        })
    }

    /// Whether gradients reach the player in the turn that follows; never those that are frozen by name.
    pub(crate) fn set_requires_grad(&self, on: bool) {
        for tensor in self.flat.tensors() {
            let _ = tensor.set_requires_grad(on);
        }
        for tensor in &self.frozen {
            let _ = tensor.set_requires_grad(false);
        }
    }

    /// Clips and steps; `norm` is the gradients' norm. Where `skip` is 1, nothing moves.
    pub(crate) fn step(
        &mut self,
        grads: &[Tensor],
        norm: &Tensor,
        skip: Option<&Tensor>,
        progress: Progress,
        total: u64,
    ) -> Result<()> {
        let divisor = self.config.clip_norm.map(|clip| ((norm + 1e-6) / clip).clamp_min(1.0));
        let on_device = OnDevice { divisor: divisor.as_ref(), skip };
        self.optimizer.update(grads, self.learning_rate(progress.images, total), on_device)
    }

    /// The learning rate of a step that starts after `images` of `total`.
    pub(crate) fn learning_rate(&self, images: u64, total: u64) -> f64 {
        self.config.lr(images, total)
    }

    pub(crate) fn average(&mut self, progress: Progress, batch: usize) -> Result<()> {
        Ema::update_all(&mut self.emas, progress, batch)
    }

    /// The average that evaluation uses.
    pub(crate) fn ema(&self) -> Option<&Ema> {
        self.config.ema.and(self.emas.first())
    }

    /// All averages, that one first.
    pub(crate) fn emas(&self) -> &[Ema] {
        &self.emas
    }

    /// Forgets the optimizer's state and starts the averages anew.
    pub(crate) fn reset(&mut self) {
        self.optimizer.reset();
        self.emas.iter_mut().for_each(Ema::reset);
    }

    /// What an average is called in a checkpoint: `ema` for evaluation's, `ema-1`, `ema-2`, … for the others.
    fn ema_keys(&self) -> Vec<String> {
        let key = |index| if index == 0 { "ema".into() } else { format!("ema-{index}") };
        let others = usize::from(self.config.ema.is_none());
        (0..self.emas.len()).map(|index| key(index + others)).collect()
    }

    /// Everything to save: weights, optimizer, averages. Weights share the network's memory.
    pub(crate) fn state(&self) -> State {
        let mut state = State::default();
        for (name, tensor) in &self.named {
            state.tensors.insert(format!("weights.{name}"), tensor.detach());
        }
        let averages = self.ema_keys().into_iter().zip(self.emas.iter().map(Ema::state));
        let parts = [("optimizer".to_owned(), self.optimizer.state())].into_iter().chain(averages);
        for (part, saved) in parts {
            let named = saved.tensors.into_iter().map(|(name, t)| (format!("{part}.{name}"), t));
            state.tensors.extend(named);
        }
        state
    }

    pub(crate) fn load_state(&mut self, state: &State) -> Result<()> {
        let part = |part: &str| {
            let prefix = format!("{part}.");
            let strip = |(name, t): (&String, &Tensor)| {
                name.strip_prefix(&prefix).map(|name| (name.to_owned(), t.shallow_clone()))
            };
            let tensors = state.tensors.iter().filter_map(strip).collect();
            State { tensors, ..State::default() }
        };
        let weights = part("weights");
        for (name, tensor) in &self.named {
            weights.copy_into(name, tensor)?;
        }
        self.optimizer.load_state(&part("optimizer"))?;
        let keys = self.ema_keys();
        self.emas.iter_mut().zip(keys).try_for_each(|(ema, key)| ema.load_state(&part(&key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Parameters;
    use tch::{Device, Kind};

    #[test]
    fn constants_are_saved_with_the_weights() {
        let mut parameters = Parameters::new(Device::Cpu);
        let _ = parameters.trainable("weight", Tensor::ones([2], (Kind::Float, Device::Cpu)));
        let frequencies = parameters.buffer("freqs", Tensor::from_slice(&[3f32, 5.0]));
        let player = Player { role: Role("network"), parameters: &parameters };
        let mut state = PlayerState::new(&player, RoleConfig::default()).unwrap();
        let tensors = state.state().tensors;
        let tensors = tensors.into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
        let _ = frequencies.shallow_clone().zero_();
        state.load_state(&State { tensors, ..State::default() }).unwrap();
        assert_eq!(Vec::<f32>::try_from(frequencies).unwrap(), [3.0, 5.0]);
    }
}
