//! A method of two numbers, whose every move can be told beforehand.

use fewstep::diffusion_core::State;
use fewstep::distill_trainer::{Directive, Objective, Player, Progress, Role, Turn};
use fewstep::prelude::*;
use fewstep::tch;
use std::cell::RefCell;
use std::rc::Rc;

pub(crate) const FIRST: Role = Role("first");
pub(crate) const SECOND: Role = Role("second");
pub(crate) const FIRST_TURN: Turn = Turn::new("move-first", &[FIRST]);
pub(crate) const SECOND_TURN: Turn = Turn::new("move-second", &[SECOND]);

/// Two players of one number each, 1 at first. Its student paints everything in the first player's number.
pub(crate) struct Toy {
    /// The first player's and the second one's number, `w`.
    pub(crate) parameters: [Parameters; 2],
    /// The turns of every step.
    pub(crate) turns: Vec<Turn>,
    /// From a player's number to the loss of its turn.
    pub(crate) loss: fn(&Tensor) -> Tensor,
    /// What is asked of the trainer after a step.
    pub(crate) wishes: fn(Progress) -> Vec<Directive>,
    /// The first pixel of the batch of every turn; clones of the handle stay outside.
    pub(crate) seen: Rc<RefCell<Vec<f64>>>,
    /// The state grows by so many numbers in a step.
    pub(crate) growth: i64,
    /// Steps done.
    pub(crate) steps: i64,
}

impl Toy {
    /// Both players move in every step; the gradient is 1.
    pub(crate) fn new() -> Self {
        let one = || {
            let mut parameters = Parameters::new(Device::Cpu);
            let _ = parameters.trainable("w", Tensor::from(1f32));
            parameters
        };
        Self {
            parameters: [one(), one()],
            turns: vec![FIRST_TURN, SECOND_TURN],
            loss: Tensor::shallow_clone,
            wishes: |_| Vec::new(),
            seen: Rc::default(),
            growth: 0,
            steps: 0,
        }
    }

    /// A handle to a player's number.
    pub(crate) fn number(&self, role: Role) -> Tensor {
        self.parameters[usize::from(role == SECOND)].get("w").unwrap().shallow_clone()
    }
}

impl DistillMethod for Toy {
    fn players(&self) -> Vec<Player<'_>> {
        let roles = [FIRST, SECOND].into_iter().zip(&self.parameters);
        roles.map(|(role, parameters)| Player { role, parameters }).collect()
    }

    fn turns(&self, _progress: Progress) -> Vec<Turn> {
        self.turns.clone()
    }

    fn objective(
        &self,
        turn: &Turn,
        batch: &Batch,
        _progress: Progress,
        _noise: &mut Noise,
    ) -> Objective {
        self.seen.borrow_mut().push(batch.images.double_value(&[0, 0, 0, 0]));
        Objective::new((self.loss)(&self.number(turn.trains[0])))
    }

    fn student(&self) -> Box<dyn Generator + '_> {
        Box::new(Paint(self.number(FIRST)))
    }

    fn after_step(&mut self, progress: Progress) -> Vec<Directive> {
        self.steps = progress.step as i64;
        (self.wishes)(progress)
    }

    fn state(&self) -> State {
        let ballast = Tensor::zeros([self.steps * self.growth], (Kind::Float, Device::Cpu));
        State { tensors: [("ballast".to_owned(), ballast)].into(), ..State::default() }
    }
}

struct Paint(Tensor);

impl Generator for Paint {
    fn generate(&self, z: &Tensor, _cond: &Cond, _noise: &mut Noise) -> Tensor {
        let _guard = tch::no_grad_guard();
        z.zeros_like() + &self.0
    }

    fn nfe(&self) -> usize {
        1
    }
}
