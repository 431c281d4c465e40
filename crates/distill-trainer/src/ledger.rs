//! Logged scalars between two ticks.

use std::collections::BTreeMap;
use tch::Tensor;

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
}
