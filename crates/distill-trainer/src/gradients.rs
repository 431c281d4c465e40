//! The gradients of a turn, in one buffer.

use crate::player_state::PlayerState;
use crate::{Result, Role};
use libtorch_ext::fused;
use std::collections::BTreeMap;
use std::rc::Rc;
use tch::{Device, Kind, Tensor};

/// The largest gradient that [`OnNonFinite::ZeroGrad`](crate::OnNonFinite::ZeroGrad) leaves, as in the EDM family's code.
const LARGEST_GRAD: f64 = 1e5;

/// Numbers behind the gradients of a turn.
pub(crate) const WORDS: i64 = 2;

/// The memory of all gradients, which the turns share: each has it to itself while it lasts.
#[derive(Debug)]
pub(crate) struct GradArena {
    buffer: Tensor,
    /// The gradients of every set of players that has moved together.
    turns: BTreeMap<Vec<Role>, Rc<TurnGradients>>,
}

impl GradArena {
    /// Empty; it grows with the turns.
    pub(crate) fn new(device: Device) -> Self {
        Self { buffer: Tensor::zeros([0], (Kind::Float, device)), turns: BTreeMap::new() }
    }

    /// Place for the gradients of those players.
    pub(crate) fn turn(&mut self, movers: &[&PlayerState]) -> Rc<TurnGradients> {
        let roles: Vec<Role> = movers.iter().map(|player| player.role).collect();
        if let Some(gradients) = self.turns.get(&roles) {
            return Rc::clone(gradients);
        }
        let gradients = movers.iter().map(|player| player.flat.layout().len()).sum::<i64>();
        let length = gradients + WORDS;
        if length > self.buffer.size()[0] {
            self.turns.clear(); // they lie in the memory that is given up
            self.buffer = Tensor::zeros([length], (Kind::Float, self.buffer.device()));
        }
        let gradients = Rc::new(TurnGradients::new(movers, &self.buffer.narrow(0, 0, length)));
        self.turns.insert(roles, Rc::clone(&gradients));
        gradients
    }
}

/// The gradients of the players of a turn: one contiguous buffer, and its views by parameter.
#[derive(Debug)]
pub(crate) struct TurnGradients {
    /// Gradients, then words.
    message: Tensor,
    buffer: Tensor,
    params: Vec<Tensor>,
    views: Vec<Tensor>,
    /// Owner and name of every parameter.
    names: Vec<(Role, String)>,
    /// By mover: how many parameters it has, and its gradients as runs beside its weights.
    movers: Vec<(i64, Vec<Tensor>)>,
}

impl TurnGradients {
    fn new(movers: &[&PlayerState], message: &Tensor) -> Self {
        let buffer = message.narrow(0, 0, message.size()[0] - WORDS);
        let mut gradients = Self {
            message: message.shallow_clone(),
            buffer: buffer.shallow_clone(),
            params: Vec::new(),
            views: Vec::new(),
            names: Vec::new(),
            movers: Vec::new(),
        };
        let mut start = 0;
        for player in movers {
            let (flat, layout) = (&player.flat, player.flat.layout());
            let own = buffer.narrow(0, start, layout.len());
            start += layout.len();
            gradients.params.extend(flat.tensors().iter().map(Tensor::shallow_clone));
            gradients.views.extend(layout.views(&own));
            gradients.names.extend(layout.names().map(|name| (player.role, name.to_owned())));
            gradients.movers.push((layout.places().len() as i64, flat.runs(&own)));
        }
        gradients
    }

    /// Zeroes the buffer and lets backward passes accumulate into it, as long as the guard lives.
    pub(crate) fn bind(self: &Rc<Self>) -> Result<Bound> {
        self.zero();
        let bound = Bound(Rc::clone(self));
        fused::bind_grads(&self.params, &self.views)?;
        Ok(bound)
    }

    /// Zeroes the buffer.
    pub(crate) fn zero(&self) {
        let _ = tch::no_grad(|| self.buffer.shallow_clone().zero_());
    }

    /// All gradients and behind them [`WORDS`] numbers, for what processes tell each other in one message.
    pub(crate) fn message(&self) -> &Tensor {
        &self.message
    }

    /// The norm of every parameter's gradient.
    pub(crate) fn norms(&self) -> Result<Tensor> {
        Ok(fused::norms(&self.views)?)
    }

    /// The norm of every mover's gradients together, from those by parameter.
    pub(crate) fn norms_by_mover(&self, norms: &Tensor) -> Vec<Tensor> {
        let mut start = 0;
        let norm = |(count, _): &(i64, Vec<Tensor>)| {
            let norm = norms.narrow(0, start, *count).norm();
            start += count;
            norm
        };
        self.movers.iter().map(norm).collect()
    }

    /// The gradients of the mover of that index, as runs beside its weights.
    pub(crate) fn of_mover(&self, index: usize) -> &[Tensor] {
        &self.movers[index].1
    }

    /// Who owns the parameter of that index, and its name.
    pub(crate) fn name(&self, index: usize) -> (Role, &str) {
        let (role, name) = &self.names[index];
        (*role, name)
    }

    /// Replaces NaN by 0 and infinities by the largest gradient allowed.
    pub(crate) fn mend(&self) {
        let _guard = tch::no_grad_guard();
        let _ = self.buffer.shallow_clone().nan_to_num_(0.0, LARGEST_GRAD, -LARGEST_GRAD);
    }
}

/// Gradients that backward passes reach; they are taken from the parameters when this is dropped.
#[derive(Debug)]
#[must_use = "the gradients are bound as long as the guard lives"]
pub(crate) struct Bound(Rc<TurnGradients>);

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = fused::zero_grads(&self.0.params); // cannot fail: the tensors are leaves
    }
}
