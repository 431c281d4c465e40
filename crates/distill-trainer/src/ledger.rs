//! Logged scalars between two ticks.

use diffusion_core::{Result, State};
use std::collections::BTreeMap;
use tch::{Device, Tensor};

/// Sums of logged scalars since the last tick; they stay on the device until then.
#[derive(Default)]
pub(crate) struct Ledger {
    sums: BTreeMap<String, (Tensor, u64)>,
}

impl Ledger {
    pub(crate) fn add(&mut self, name: String, value: &Tensor) {
        match self.sums.get_mut(&name) {
            Some((sum, count)) => (*sum, *count) = (&*sum + value, *count + 1),
            None => drop(self.sums.insert(name, (value.detach().copy(), 1))),
        }
    }

    /// The means by name; the sums start anew.
    pub(crate) fn means(&mut self) -> BTreeMap<String, f64> {
        std::mem::take(&mut self.sums)
            .into_iter()
            .map(|(name, (sum, count))| (name, sum.double_value(&[]) / count as f64))
            .collect()
    }

    /// The sums, and the counts under the same names.
    pub(crate) fn state(&self) -> State {
        let mut state = State::default();
        for (name, (sum, count)) in &self.sums {
            state.tensors.insert(name.clone(), sum.shallow_clone());
            state.set(&format!("count.{name}"), *count);
        }
        state
    }

    /// Continues from saved sums on `device`.
    pub(crate) fn load_state(&mut self, state: &State, device: Device) -> Result<()> {
        let entry = |(name, sum): (&String, &Tensor)| {
            let count = state.get(&format!("count.{name}"))?;
            Ok((name.clone(), (sum.to_device(device), count)))
        };
        self.sums = state.tensors.iter().map(entry).collect::<Result<_>>()?;
        Ok(())
    }
}
