//! Logged scalars between two ticks.

use crate::Result;
use diffusion_core::State;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Sums of logged scalars since the last tick; they stay on the device until then.
///
/// The scalars of a turn are kept in one tensor, so that a turn costs two kernels, however much it logs.
#[derive(Default)]
pub(crate) struct Ledger {
    /// By names: the sums, and behind them how often they were added to.
    sums: BTreeMap<Vec<String>, Tensor>,
}

impl Ledger {
    /// Adds the scalars of a turn. Where `count` is given it is 1, or 0 if the turn does not count, whatever its values.
    pub(crate) fn add(
        &mut self,
        terms: Vec<(String, Tensor)>,
        count: Option<&Tensor>,
    ) -> Result<()> {
        let (names, mut values): (Vec<String>, Vec<Tensor>) = terms
            .into_iter()
            .map(|(name, value)| (name, value.detach().reshape([0i64; 0])))
            .unzip();
        let Some(first) = values.first() else { return Ok(()) };
        let device = first.device(); // of the loss; a method may log numbers from the host beside it
        values.push(first.ones_like());
        let values: Vec<Tensor> = values.iter().map(|value| value.to_device(device)).collect();
        let mut row = Tensor::f_stack(&values, 0).map_err(diffusion_core::Error::Torch)?;
        if let Some(count) = count {
            row = row.where_self(&count.gt(0.0), &row.zeros_like());
        }
        match self.sums.get_mut(&names) {
            Some(sums) => *sums += row,
            None => drop(self.sums.insert(names, row.to_kind(Kind::Double))),
        }
        Ok(())
    }

    /// The means by name; the sums start anew. What never counted has no mean.
    pub(crate) fn means(&mut self) -> BTreeMap<String, f64> {
        let mut totals: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for (names, sums) in std::mem::take(&mut self.sums) {
            let sums = Vec::<f64>::try_from(sums).expect("sums are a vector of numbers");
            for (index, name) in names.into_iter().enumerate() {
                let total = totals.entry(name).or_default();
                *total = (total.0 + sums[index], total.1 + sums[sums.len() - 1]);
            }
        }
        totals.retain(|_, (_, count)| *count > 0.0);
        totals.into_iter().map(|(name, (sum, count))| (name, sum / count)).collect()
    }

    /// The sums by number, and their names.
    pub(crate) fn state(&self) -> State {
        let mut state = State::default();
        for (index, (names, sums)) in self.sums.iter().enumerate() {
            state.tensors.insert(format!("sums.{index}"), sums.shallow_clone());
            state.set(&format!("names.{index}"), names.clone());
        }
        state
    }

    /// Continues from saved sums on `device`.
    pub(crate) fn load_state(&mut self, state: &State, device: Device) -> Result<()> {
        let mut sums = BTreeMap::new();
        for index in 0.. {
            let Some(row) = state.tensors.get(&format!("sums.{index}")) else { break };
            sums.insert(state.get(&format!("names.{index}"))?, row.to_device(device));
        }
        self.sums = sums;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(terms: &[(&str, f64)]) -> Vec<(String, Tensor)> {
        terms.iter().map(|(name, value)| (name.to_string(), Tensor::from(*value))).collect()
    }

    #[test]
    fn means_are_of_what_counted() {
        let mut ledger = Ledger::default();
        ledger.add(terms(&[("a", 1.0), ("b", 5.0)]), None).unwrap();
        ledger.add(terms(&[("a", 2.0), ("b", 7.0)]), Some(&Tensor::from(1f32))).unwrap();
        ledger.add(terms(&[("a", f64::NAN), ("b", 0.0)]), Some(&Tensor::from(0f32))).unwrap();
        ledger.add(terms(&[("a", 6.0)]), None).unwrap(); // a turn may log less at times
        ledger.add(terms(&[("c", f64::NAN)]), Some(&Tensor::from(0f32))).unwrap();
        ledger.add(terms(&[]), None).unwrap();
        let means = ledger.means();
        assert_eq!(means, BTreeMap::from([("a".into(), 3.0), ("b".into(), 6.0)]));
        assert!(ledger.means().is_empty());
    }

    #[test]
    fn unfinished_means_go_on() {
        let mut ledger = Ledger::default();
        ledger.add(terms(&[("a", 1.0), ("b", 5.0)]), None).unwrap();
        ledger.add(terms(&[("c", 2.0)]), None).unwrap();
        let mut resumed = Ledger::default();
        resumed.load_state(&ledger.state(), Device::Cpu).unwrap();
        resumed.add(terms(&[("a", 3.0), ("b", 7.0)]), None).unwrap();
        let expected = [("a", 2.0), ("b", 6.0), ("c", 2.0)];
        assert_eq!(resumed.means(), expected.map(|(name, mean)| (name.into(), mean)).into());
    }
}
