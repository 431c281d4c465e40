//! Whether a run fits.

use super::{DiskPlan, Plan, RolePlan, table};
use crate::{Error, Result};
use tch::Device;

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
pub(super) mod tests {
    use super::*;
    use crate::Role;
    use crate::plan::TurnMemory;

    pub(in crate::plan) fn plan() -> Plan {
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
