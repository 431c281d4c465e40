//! The contract between a method and the trainer: players, turns, objectives, directives.

use diffusion_core::{Batch, Generator, Noise, Parameters, Result, State};
use std::fmt;
use tch::Tensor;

/// The label of a player. Opaque to the trainer; optimizers and averages are keyed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(pub &'static str);

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A network that is trained. Teachers and targets are private to the method and no players.
#[derive(Debug)]
pub struct Player<'a> {
    /// The player's label.
    pub role: Role,
    /// The tensors that are trained.
    pub parameters: &'a Parameters,
}

/// One optimizer step of some players within a step of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// What the turn is called in logs.
    pub name: &'static str,
    /// The players that this turn moves; all others are frozen.
    pub trains: &'static [Role],
    /// Whether the turn gets its own batch instead of sharing the one of the turn before.
    pub fresh_batch: bool,
}

impl Turn {
    /// A turn on the batch of the turn before it (the first turn of a step always gets a new one).
    pub const fn new(name: &'static str, trains: &'static [Role]) -> Self {
        Self { name, trains, fresh_batch: false }
    }

    /// The same turn on a batch of its own.
    #[must_use]
    pub const fn fresh_batch(self) -> Self {
        Self { fresh_batch: true, ..self }
    }
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Images seen: steps times batch size.
    pub images: u64,
}

impl Progress {
    /// Thousands of images seen.
    pub fn kimg(self) -> f64 {
        self.images as f64 / 1000.0
    }
}

/// What a turn minimizes.
#[derive(Debug)]
pub struct Objective {
    /// A scalar with its graph.
    pub loss: Tensor,
    /// Named scalars for the log, detached.
    pub terms: Vec<(&'static str, Tensor)>,
}

impl Objective {
    /// An objective without further terms.
    pub fn new(loss: Tensor) -> Self {
        Self { loss, terms: Vec::new() }
    }

    /// The same objective with one more logged scalar; its graph is cut.
    #[must_use]
    pub fn with_term(mut self, name: &'static str, value: &Tensor) -> Self {
        self.terms.push((name, value.detach()));
        self
    }
}

impl Objective {
    /// Everything without a graph, times `factor`.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        let scaled = |value: &Tensor| match factor {
            1.0 => value.detach(),
            _ => value.detach() * factor,
        };
        let terms = self.terms.iter().map(|(name, value)| (*name, scaled(value))).collect();
        Self { loss: scaled(&self.loss), terms }
    }

    /// The sums; a term that only one of the two has stays what it is.
    pub(crate) fn plus(mut self, other: Self) -> Self {
        self.loss += other.loss;
        for (name, value) in other.terms {
            match self.terms.iter_mut().find(|(own, _)| *own == name) {
                Some((_, sum)) => *sum += value,
                None => self.terms.push((name, value)),
            }
        }
        self
    }
}

/// What a method asks of the trainer after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Directive {
    /// Forget the optimizer state of a player and start its averages anew from its present weights.
    Reset(Role),
    /// End the run: the method is done.
    Stop,
}

/// A distillation method (or the training of a teacher), as the trainer sees it.
///
/// The trainer repeats: ask for the turns of the step; for each turn freeze everybody else, ask for the objective,
/// differentiate, step the optimizers of the turn's players. Whatever sets one method apart from another is in its
/// answers. See `CONTRIBUTING.md` for a method in one file.
///
/// The laws that every method keeps are checked by [`conformance`](crate::conformance).
pub trait DistillMethod {
    /// What the method is called. A run goes on only from a checkpoint of a method of the same name.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }

    /// The options that the method was made with. A run goes on only from a checkpoint with the same ones.
    fn options(&self) -> toml::Table {
        toml::Table::new()
    }

    /// The networks that are trained, always the same roles in the same order.
    fn players(&self) -> Vec<Player<'_>>;

    /// The ordered turns of a step: a pure function of the progress.
    fn turns(&self, progress: Progress) -> Vec<Turn>;

    /// The loss of a turn.
    ///
    /// Computing it changes nothing in the method: everything random comes from `noise`, so equal noise gives an
    /// equal loss. Players that the turn does not train are frozen already (`requires_grad` is off), but gradients
    /// still flow *through* them.
    fn objective(
        &self,
        turn: &Turn,
        batch: &Batch,
        progress: Progress,
        noise: &mut Noise,
    ) -> Objective;

    /// What the operations of a turn's objective depend on besides batch and noise, as a number: the stage of a
    /// curriculum, or 0 if there is nothing. The trainer may then record the operations as a CUDA graph and repeat them
    /// while the number stays the same, so they must not read from the device or upload anything. `None`, the default:
    /// nothing is recorded.
    fn recording_key(&self, _turn: &Turn, _progress: Progress) -> Option<u64> {
        None
    }

    /// The generator that the run is about, with the weights as they stand.
    fn student(&self) -> Box<dyn Generator + '_>;

    /// Called after each turn's optimizer step, with the progress before the step; for averages that are part of the
    /// method, such as a consistency target.
    fn after_turn(&mut self, _turn: &Turn, _progress: Progress) {}

    /// Called after each step, with the progress that includes it.
    fn after_step(&mut self, _progress: Progress) -> Vec<Directive> {
        Vec::new()
    }

    /// What must be saved beside the players to continue the run. The tensors may share memory with the method's own: they
    /// are copied before the next step.
    fn state(&self) -> State {
        State::default()
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// If the state is not one of this method.
    fn load_state(&mut self, _state: &State) -> Result<()> {
        Ok(())
    }
}

impl<M: DistillMethod + ?Sized> DistillMethod for Box<M> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn options(&self) -> toml::Table {
        (**self).options()
    }

    fn players(&self) -> Vec<Player<'_>> {
        (**self).players()
    }

    fn turns(&self, progress: Progress) -> Vec<Turn> {
        (**self).turns(progress)
    }

    fn objective(
        &self,
        turn: &Turn,
        batch: &Batch,
        progress: Progress,
        noise: &mut Noise,
    ) -> Objective {
        (**self).objective(turn, batch, progress, noise)
    }

    fn recording_key(&self, turn: &Turn, progress: Progress) -> Option<u64> {
        (**self).recording_key(turn, progress)
    }

    fn student(&self) -> Box<dyn Generator + '_> {
        (**self).student()
    }

    fn after_turn(&mut self, turn: &Turn, progress: Progress) {
        (**self).after_turn(turn, progress);
    }

    fn after_step(&mut self, progress: Progress) -> Vec<Directive> {
        (**self).after_step(progress)
    }

    fn state(&self) -> State {
        (**self).state()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        (**self).load_state(state)
    }
}
