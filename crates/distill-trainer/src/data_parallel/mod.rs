//! One run in several processes: each takes its part of every batch, and all take the same step.

mod agreement;
mod gradients;
mod trainer;

use crate::{Error, Flow, Result};
use agreement::numbers;
use diffusion_core::{Noise, NoiseState, State};
use libtorch_ext::distributed::World;
use std::collections::BTreeMap;
use std::ops::Range;
use tch::Tensor;

/// The part of a checkpoint that holds what differs between the processes.
pub(crate) const PART: &str = "ranks";
const NOISE: &str = "noise";

/// What a process of a run shares with the others. In a world of one, nothing here costs anything.
#[derive(Debug)]
pub(crate) struct DataParallel {
    world: World,
    /// The share of the processes that were asked to end, as exchanged in the last turn.
    interrupted: Option<Tensor>,
}

impl Default for DataParallel {
    fn default() -> Self {
        Self { world: World::alone(), interrupted: None }
    }
}

impl DataParallel {
    pub(crate) fn is_alone(&self) -> bool {
        self.world.size() == 1
    }

    /// Whether this process writes and reports.
    pub(crate) fn is_first(&self) -> bool {
        self.world.is_first()
    }

    /// Which images of a batch are this process's.
    pub(crate) fn part(&self, batch: usize) -> Range<usize> {
        let share = batch / self.world.size();
        self.world.rank() * share..(self.world.rank() + 1) * share
    }

    /// Whether some process was asked to end.
    fn interrupted(&self) -> bool {
        self.interrupted.as_ref().is_some_and(|share| share.double_value(&[]) > 0.0)
    }

    /// This process's own sequence of random numbers.
    fn own(&self, noise: &Noise) -> Noise {
        noise.stream(&format!("rank {}", self.world.rank()))
    }

    /// The means over the processes of scalars that all of them have.
    pub(crate) fn mean_terms(
        &self,
        mut terms: BTreeMap<String, f64>,
    ) -> Result<BTreeMap<String, f64>> {
        if self.is_alone() {
            return Ok(terms);
        }
        let names: Vec<u8> = terms.keys().flat_map(|name| name.bytes().chain([0])).collect();
        self.agree("the names of the logged scalars", crc32fast::hash(&names))?;
        let values: Vec<f64> = terms.values().copied().collect();
        let means = Tensor::from_slice(&values);
        self.world.all_reduce_mean(&means)?;
        for (index, value) in terms.values_mut().enumerate() {
            *value = means.double_value(&[index as i64]);
        }
        Ok(terms)
    }

    /// What the first process's observers answered, in every process.
    ///
    /// # Errors
    /// In the first process its own error, in the others [`Error::FirstProcess`].
    pub(crate) fn verdict(&self, reported: Result<Flow>) -> Result<Flow> {
        if self.is_alone() {
            return reported;
        }
        let code = match &reported {
            Ok(Flow::Continue) => 0i64,
            Ok(Flow::Stop) => 1,
            Err(_) => 2,
        };
        let told = Tensor::from_slice(&[code]);
        self.world.broadcast(&told)?;
        match (reported, told.int64_value(&[0])) {
            (Err(error), _) => Err(error),
            (_, 0) => Ok(Flow::Continue),
            (_, 1) => Ok(Flow::Stop),
            _ => Err(Error::FirstProcess),
        }
    }

    /// What a checkpoint keeps of the processes; nothing for one.
    pub(crate) fn state(&self, noise: NoiseState) -> Result<Option<State>> {
        if self.is_alone() {
            return Ok(None);
        }
        let bits = [noise.seed, noise.stream, noise.draw].map(u64::cast_signed);
        let states = self.world.all_gather(&Tensor::from_slice(&bits))?;
        let states = states.iter().map(numbers).map(|bits| match bits.as_slice() {
            &[seed, stream, draw] => NoiseState { seed, stream, draw },
            _ => unreachable!("three numbers were sent"),
        });
        let mut state = State::default();
        let written = state.set_serialized(NOISE, &states.collect::<Vec<_>>());
        written.expect("integers can be written");
        Ok(Some(state))
    }

    /// This process's noise in a checkpoint whose part [`PART`] is `state` and whose first process had `first`.
    ///
    /// # Errors
    /// [`Error::ConfigDrift`] if the checkpoint is one of another number of processes.
    pub(crate) fn saved_noise(&self, state: &State, first: NoiseState) -> Result<NoiseState> {
        let saved: Vec<NoiseState> =
            if state.values.is_empty() { vec![first] } else { state.get(NOISE)? };
        let (saved_size, size) = (saved.len(), self.world.size());
        if saved_size != size {
            return Err(Error::ConfigDrift(vec![format!(
                "processes was {saved_size}, now {size}"
            )]));
        }
        Ok(saved[self.world.rank()])
    }

    /// Waits for the others at the end of a run, so that nobody leaves while another still needs it.
    pub(crate) fn leave(&self) -> Result<()> {
        Ok(self.world.barrier()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_takes_the_whole_batch_and_keeps_nothing_more() {
        let alone = DataParallel::default();
        assert_eq!(alone.part(6), 0..6);
        let noise = Noise::new(3).state();
        assert!(alone.state(noise).unwrap().is_none());
        assert_eq!(alone.saved_noise(&State::default(), noise).unwrap(), noise);
    }

    #[test]
    fn a_checkpoint_of_two_processes_is_refused_by_one() {
        let mut state = State::default();
        let noise = Noise::new(3).state();
        state.set_serialized(NOISE, &[noise, noise]).unwrap();
        let error = DataParallel::default().saved_noise(&state, noise).unwrap_err();
        let Error::ConfigDrift(drift) = error else { panic!("{error}") };
        assert_eq!(drift, ["processes was 2, now 1"]);
    }
}
