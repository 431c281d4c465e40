//! What the methods of this crate share beyond the trainer's contract.

use crate::{Error, Result};
use diffusion_core::Denoiser;
use diffusion_schedule::{Network, SamplerConfig};
use distill_trainer::DistillMethod;
use std::rc::Rc;

/// A method whose student is one network and a way of sampling it, so that it can be saved and used anywhere.
pub trait Distiller: DistillMethod {
    /// The network to save: with its averaged weights while [`Trainer::averaged`](distill_trainer::Trainer::averaged)
    /// holds.
    fn network(&self) -> &Network;

    /// How the saved network is sampled.
    fn sampler(&self) -> SamplerConfig;
}

/// What methods are made of.
pub struct Ingredients<'a> {
    /// The teacher; frozen. May be a guided one.
    pub teacher: Option<Rc<dyn Denoiser>>,
    /// The network whose weights and architecture the players start from: the teacher's own, or a fresh one.
    pub initial: &'a Network,
}

impl Ingredients<'_> {
    /// A frozen teacher and players that start from its weights: what distillation usually means.
    pub fn distill(teacher: &Network) -> Ingredients<'_> {
        let frozen = teacher.twin();
        frozen.parameters().set_requires_grad(false);
        Ingredients { teacher: Some(Rc::new(frozen)), initial: teacher }
    }

    /// No teacher: training from the weights of `initial`.
    pub fn train(initial: &Network) -> Ingredients<'_> {
        Ingredients { teacher: None, initial }
    }

    /// The teacher.
    ///
    /// # Errors
    /// [`Error::MissingTeacher`] if there is none.
    pub fn teacher(&self, method: &'static str) -> Result<Rc<dyn Denoiser>> {
        self.teacher.clone().ok_or(Error::MissingTeacher(method))
    }
}

impl std::fmt::Debug for Ingredients<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingredients")
            .field("teacher", &self.teacher.is_some())
            .finish_non_exhaustive()
    }
}
