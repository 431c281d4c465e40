//! What a run will take, before its first step.

mod probe;
mod room;
mod table;

pub use probe::TurnMemory;
pub(crate) use table::bytes;

use crate::{DistillMethod, Error, Result, Role, Trainer};
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
    /// Images of a step.
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
    /// Costs the time of about five images of a step.
    ///
    /// # Errors
    /// If the source has no batch, or a turn fails.
    pub fn plan(&mut self, source: &mut dyn BatchSource) -> Result<Plan> {
        release_freed_memory();
        let resident = room::resident();
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
            batch: self.config.batch,
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
        let every = (self.config.checkpoint_kimg * 1000.0).max(1.0) as u64;
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

impl Plan {
    /// Bytes that a step takes on the device beyond what is there now.
    pub fn step(&self) -> u64 {
        self.turn.map_or(self.gradients, |turn| turn.at(self.batch))
    }

    /// Bytes that the run will take on the device beyond what is there now.
    pub fn to_come(&self) -> u64 {
        self.step() + if self.device == Device::Cpu { self.snapshot } else { 0 }
    }

    /// The largest size of the process on a CPU; `None` on other devices, and if the system does not say.
    pub fn peak(&self) -> Option<u64> {
        let counted = self.method + self.roles.iter().map(RolePlan::total).sum::<u64>();
        let rest = self.rest.filter(|_| self.device == Device::Cpu)?;
        Some(rest + counted + self.to_come())
    }

    /// Refuses a run that cannot fit.
    ///
    /// # Errors
    /// [`Error::Memory`] or [`Error::Disk`], with numbers and advice.
    pub fn check(&self) -> Result<()> {
        self.check_memory(&table::device(self.device), self.to_come(), self.available)?;
        if self.device != Device::Cpu {
            self.check_memory("cpu", self.snapshot, self.host_available)?;
        }
        match &self.disk {
            Some(DiskPlan { path, each, checkpoints, free: Some(free) })
                if each.saturating_mul(*checkpoints) > *free =>
            {
                let (path, checkpoints) = (path.clone(), *checkpoints);
                Err(Error::Disk { path, checkpoints, each: *each, free: *free })
            }
            _ => Ok(()),
        }
    }

    fn check_memory(&self, device: &str, needed: u64, available: Option<u64>) -> Result<()> {
        match available.filter(|available| needed > *available) {
            None => Ok(()),
            Some(available) => {
                let (device, advice) = (device.to_owned(), self.advice(available));
                Err(Error::Memory { device, needed, available, advice })
            }
        }
    }

    /// What would make the run fit into so many bytes.
    fn advice(&self, available: u64) -> String {
        let others = self.to_come() - self.step();
        let fits = self.turn.map_or(0, |turn| turn.batch_within(available.saturating_sub(others)));
        let batch = match fits {
            0 => "a smaller batch alone does not help".to_owned(),
            fits => format!("a batch of {fits} fits"),
        };
        format!(
            "{batch}; or try a smaller network, fewer averages, or bf16, or an option of the method that saves memory"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn plan() -> Plan {
        let role = RolePlan {
            role: Role("student"),
            parameters: 1_000_000,
            weights: 4_000_000,
            optimizer: 8_000_000,
            averages: 4_000_000,
        };
        Plan {
            label: "toy".into(),
            batch: 64,
            device: Device::Cpu,
            roles: vec![role],
            method: 4_000_000,
            rest: Some(200_000_000),
            gradients: 4_000_000,
            turn: Some(TurnMemory { fixed: 4e6, per_image: 10e6 }),
            snapshot: 20_000_000,
            available: Some(1_000_000_000),
            host_available: Some(1_000_000_000),
            disk: Some(DiskPlan {
                path: "runs/toy".into(),
                each: 20_000_000,
                checkpoints: 3,
                free: Some(60_000_000),
            }),
        }
    }

    #[test]
    fn what_fits_is_let_through() {
        let plan = plan();
        assert_eq!(plan.to_come(), 664_000_000);
        assert_eq!(plan.peak(), Some(884_000_000));
        plan.check().unwrap();
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_batch_that_does() {
        let plan = Plan { available: Some(500_000_000), ..plan() };
        let message = plan.check().unwrap_err().to_string();
        assert!(message.contains("664.0 MB more memory on cpu, but 500.0 MB"), "{message}");
        assert!(message.contains("a batch of 47 fits"), "{message}");
        Plan { batch: 47, ..plan.clone() }.check().unwrap();
        Plan { batch: 48, ..plan }.check().unwrap_err();
    }

    #[test]
    fn a_full_disk_is_foreseen() {
        let mut plan = plan();
        plan.disk.as_mut().unwrap().free = Some(59_999_999);
        let message = plan.check().unwrap_err().to_string();
        assert!(
            message.contains("3 checkpoints of 20.0 MB") && message.contains("runs/toy"),
            "{message}"
        );
    }

    #[test]
    fn on_cuda_the_copy_is_in_main_memory() {
        let plan = Plan { device: Device::Cuda(1), host_available: Some(19_999_999), ..plan() };
        assert_eq!((plan.to_come(), plan.peak()), (644_000_000, None));
        let error = plan.check().unwrap_err();
        assert!(matches!(error, Error::Memory { needed: 20_000_000, .. }), "{error}");
    }
}
