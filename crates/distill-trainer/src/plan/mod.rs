//! What a run will take, before its first step.

mod fit;
mod probe;
mod room;
mod table;

pub use probe::TurnMemory;
pub(crate) use table::bytes;

use crate::{DistillMethod, Result, Role, Trainer};
use diffusion_core::{BatchSource, State};
use libtorch_ext::process::release_freed_memory;
use std::path::PathBuf;
use tch::Device;

/// Bytes of one player, all of them taken when the trainer is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolePlan {
    /// The player.
    pub role: Role,
    /// Number of trained values.
    pub parameters: u64,
    /// The weights.
    pub weights: u64,
    /// The optimizer's moments.
    pub optimizer: u64,
    /// The moving averages.
    pub averages: u64,
}

/// What checkpoints will take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskPlan {
    /// Where they are written.
    pub path: PathBuf,
    /// Bytes of one of them, without what observers add.
    pub each: u64,
    /// How many more than now will be there at a time: those that are kept, and the one that is being written.
    pub checkpoints: u64,
    /// Bytes that are free; `None` if the system does not say.
    pub free: Option<u64>,
}

/// What a run will take: made by [`Trainer::plan`], shown as a table by its `Display`.
///
/// Weights, moments, averages and checkpoints are counted. What a step takes on top (activations, gradients, scratch
/// memory) is measured: each turn is differentiated once on 1 image and once on 4, and the line through the two peaks is
/// extended to the batch. Expect the peak within a quarter; of a tiny network, where the measurement is coarse, within a
/// hundred megabytes. What observers take when they draw samples is not counted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// What is run.
    pub label: String,
    /// Images that are differentiated together: those of a step, or of a micro-batch.
    pub batch: usize,
    /// Where it runs.
    pub device: Device,
    /// The players.
    pub roles: Vec<RolePlan>,
    /// What the method keeps beside them and saves, such as a target network.
    pub method: u64,
    /// What the process occupies beyond all this, in main memory: libtorch, data, frozen networks. `None` if the system
    /// does not say.
    pub rest: Option<u64>,
    /// The gradients of the turn that trains the most.
    pub gradients: u64,
    /// A step beyond what is there before, gradients included; `None` if it cannot be measured.
    pub turn: Option<TurnMemory>,
    /// The copy in main memory from which a checkpoint is written while the run goes on; 0 without checkpoints.
    pub snapshot: u64,
    /// Bytes available on the device; `None` if the system does not say.
    pub available: Option<u64>,
    /// Bytes available in main memory.
    pub host_available: Option<u64>,
    /// Checkpoints, if any are written.
    pub disk: Option<DiskPlan>,
}

impl<M: DistillMethod> Trainer<M> {
    /// Finds out what the run will take. The run itself goes on as if nothing had been asked.
    ///
    /// Costs the time of about ten images of a step.
    ///
    /// # Errors
    /// If the source has no batch, or a turn fails.
    pub fn plan(&mut self, source: &mut dyn BatchSource) -> Result<Plan> {
        release_freed_memory();
        let resident = libtorch_ext::process::rss();
        let available = room::Meter::new(self.device).and_then(room::Meter::available);
        let host_available = room::available_memory();
        let turn = self.probe(source)?;
        let roles: Vec<RolePlan> =
            self.players.iter().map(|p| of_role(p.role, &p.state())).collect();
        let method = size(&self.method.state(), "");
        let counted = method + roles.iter().map(RolePlan::total).sum::<u64>();
        let on_host = if self.device == Device::Cpu { counted } else { 0 };
        Ok(Plan {
            label: self.label.clone(),
            batch: self.images_at_once(),
            device: self.device,
            gradients: self.largest_gradients(&roles),
            roles,
            method,
            rest: resident.map(|resident| resident.saturating_sub(on_host)),
            turn,
            snapshot: self.checkpoints.as_ref().map_or(0, |_| counted),
            available,
            host_available,
            disk: self.plan_disk(counted),
        })
    }

    fn largest_gradients(&self, roles: &[RolePlan]) -> u64 {
        let weights =
            |role: &Role| roles.iter().find(|of| of.role == *role).map_or(0, |of| of.weights);
        let turns = self.method.turns(self.progress);
        turns.iter().map(|turn| turn.trains.iter().map(weights).sum()).max().unwrap_or(0)
    }

    fn plan_disk(&self, each: u64) -> Option<DiskPlan> {
        let folder = self.checkpoints.as_ref()?;
        let every = (self.config.checkpoint_kimg * 1000.0).round().max(1.0) as u64;
        let written = self.config.total_images().saturating_sub(self.progress.images) / every + 1;
        let beyond =
            (folder.capacity() as u64).saturating_add(1).saturating_sub(folder.count() as u64);
        Some(DiskPlan {
            path: folder.path().into(),
            each,
            checkpoints: written.min(beyond.max(1)),
            free: room::free_disk(folder.path()),
        })
    }
}

fn of_role(role: Role, state: &State) -> RolePlan {
    let values = |(name, tensor): (&String, &tch::Tensor)| {
        name.starts_with("weights.").then(|| tensor.numel() as u64)
    };
    RolePlan {
        role,
        parameters: state.tensors.iter().filter_map(values).sum(),
        weights: size(state, "weights."),
        optimizer: size(state, "optimizer."),
        averages: size(state, "ema"),
    }
}

/// Bytes of the tensors whose names begin with `prefix`.
fn size(state: &State, prefix: &str) -> u64 {
    let bytes = |(name, tensor): (&String, &tch::Tensor)| {
        let bytes = (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64;
        name.starts_with(prefix).then_some(bytes)
    };
    state.tensors.iter().filter_map(bytes).sum()
}

impl RolePlan {
    fn total(&self) -> u64 {
        self.weights + self.optimizer + self.averages
    }
}
