//! The trainer as one of several.

use super::DataParallel;
use super::agreement::{add_shape, checksum};
use crate::gradients::TurnGradients;
use crate::{DistillMethod, Error, Result, Role, Trainer};
use diffusion_core::{Batch, BatchSource, State};
use libtorch_ext::distributed::World;
use tch::Tensor;

impl<M: DistillMethod> Trainer<M> {
    /// Trains together with the other processes of `world`; alone in a world of one.
    ///
    /// Call it before [`Trainer::resume`]. Every process builds the same trainer and gives it an equal source; the
    /// first one's weights and method state are copied to all. Of each batch of
    /// [`TrainConfig::batch`](crate::TrainConfig) images every process takes its part, in order, so the run sees the
    /// images that one process alone would see. Gradients are averaged, in one exchange a turn, so all processes take the
    /// same step and hold the same bits afterwards. Losses must be means over the images of the batch; one that couples
    /// images couples only those of a part. Each process draws from a noise of its own, so a distributed run is not
    /// the run of one process at the same seed; it repeats, and resumes to the bit, with as many processes.
    ///
    /// The first process alone writes, reports and asks observers. An interrupt of any process ends all after the
    /// same step. If a process dies, the others return an error within the world's time-out, and the last checkpoint
    /// stays.
    ///
    /// # Errors
    /// [`Error::Config`] if the batch cannot be divided evenly, [`Error::ProcessesDiffer`] if the processes were set up
    /// differently, [`Error::Torch`] if one is gone.
    ///
    /// # Panics
    /// If the run has begun.
    pub fn distributed(mut self, world: World) -> Result<Self> {
        assert_eq!(self.progress.step, 0, "a run cannot become distributed once it has begun");
        if !self.config.batch.is_multiple_of(world.size()) {
            let value = self.config.batch.to_string();
            let expected = "must be a multiple of the number of processes";
            return Err(Error::Config { field: "batch".into(), value, expected });
        }
        self.parallel = DataParallel { world, interrupted: None };
        if self.parallel.is_alone() {
            return Ok(self);
        }
        if !self.parallel.is_first() {
            self.observers.clear();
        }
        self.noise = self.parallel.own(&self.noise);
        self.agree_on_settings()?;
        self.copy_the_first()?;
        Ok(self)
    }

    /// Gives all processes the first one's weights and method state.
    fn copy_the_first(&mut self) -> Result<()> {
        let state = self.method.state();
        let mut layout = crc32fast::Hasher::new();
        for player in self.method.players() {
            player.parameters.iter().for_each(|p| add_shape(&mut layout, &p.name, &p.tensor));
        }
        state.tensors.iter().for_each(|(name, tensor)| add_shape(&mut layout, name, tensor));
        self.parallel.agree("the shapes of the networks", layout.finalize())?;

        for player in self.method.players() {
            for parameter in player.parameters {
                self.parallel.world.broadcast(&parameter.tensor)?;
            }
        }
        for tensor in state.tensors.values() {
            self.parallel.world.broadcast(tensor)?;
        }
        self.method.load_state(&state)?;
        let roles: Vec<Role> = self.players.iter().map(|player| player.role).collect();
        roles.into_iter().try_for_each(|role| self.reset(role)) // averages start from the weights that came
    }

    fn agree_on_settings(&self) -> Result<()> {
        let manifest = self.manifest();
        let settings = format!("{:?} {} {}", manifest.config, manifest.method, manifest.options);
        self.parallel.agree("the settings of the run", crc32fast::hash(settings.as_bytes()))
    }

    /// Checks that all processes stand at the same place with the same weights and will save together.
    pub(crate) fn agree_on_state(&self, source: &dyn BatchSource) -> Result<()> {
        if self.parallel.is_alone() {
            return Ok(());
        }
        let mut place = source.state();
        place.set("trainer.step", self.progress.step);
        place.set("trainer.saves", self.checkpoints.is_some());
        place.set("trainer.judges", self.judges_checkpoints());
        self.parallel.agree("the progress and the place in the data", checksum([&place]))?;
        let mut states: Vec<State> = self.players.iter().map(|player| player.state()).collect();
        states.push(self.method.state());
        self.parallel.agree("weights, optimizers, averages and method state", checksum(&states))
    }

    /// This process's part of the next batch.
    pub(crate) fn next_batch(&self, source: &mut dyn BatchSource) -> Result<Batch> {
        let batch = self.config.batch;
        Ok(if self.parallel.is_alone() {
            source.next_batch(batch)?
        } else {
            source.next_part(batch, self.parallel.part(batch))?
        })
    }

    /// After the backward pass: makes the gradients of a turn those of the whole batch, and returns its loss.
    pub(crate) fn share_gradients(
        &mut self,
        gradients: &TurnGradients,
        loss: &Tensor,
    ) -> Result<Tensor> {
        if self.parallel.is_alone() {
            return Ok(loss.shallow_clone());
        }
        self.parallel.average(gradients, loss, self.interrupt.requested())
    }

    /// Whether the run was asked to end; the same answer in every process.
    pub(crate) fn is_interrupted(&self) -> bool {
        if self.parallel.is_alone() {
            self.interrupt.requested()
        } else {
            self.parallel.interrupted()
        }
    }
}
