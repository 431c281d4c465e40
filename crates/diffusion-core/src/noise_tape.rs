//! Draws that are made again for another place in the sequence.

use crate::Noise;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tch::Tensor;

/// What a part of a computation has drawn from a [`Noise`], in tensors that stay where they are.
///
/// A recorded sequence of operations (a CUDA graph) reads its random numbers from fixed memory. A computation that draws
/// from [`Noise::taped`] has all its random tensors on the tape; [`NoiseTape::refill`] then overwrites them with what the
/// same computation would draw from another noise, and [`NoiseTape::rewind`] lets the computation itself run again on
/// them. Values are those of the noise without a tape, bit for bit.
///
/// Numbers that are drawn on the host ([`Noise::integers`], [`Noise::permutation`]) decide what is computed, so they cannot
/// be filled in later: [`NoiseTape::is_complete`] then says no.
///
/// # Example
/// ```
/// use diffusion_core::{Noise, NoiseTape};
/// let tape = NoiseTape::new();
/// let mut noise = Noise::new(1);
/// let x = noise.taped(&tape).fork("part").normal(&[3]);
/// let mut other = Noise::new(2);
/// tape.refill(&mut other);
/// assert_eq!(x, Noise::new(2).fork("part").normal(&[3]));
/// assert_eq!(other.state().draw, 1); // as after the draws themselves
/// ```
#[derive(Debug, Clone, Default)]
pub struct NoiseTape(Arc<Mutex<Reel>>);

#[derive(Debug, Default)]
struct Reel {
    entries: Vec<Entry>,
    /// The entry that is drawn next, once the tape is played back.
    next: Option<usize>,
    drawn_on_host: bool,
    /// Draws of the noise that the tape began with.
    root_draws: u64,
}

/// One random tensor: how to come from the first noise to the one that drew it, and where it lies.
#[derive(Debug)]
struct Entry {
    path: Path,
    draw: u64,
    make: Make,
    tensor: Tensor,
}

/// Draws a tensor of a shape.
pub(crate) type Make = fn(&mut Noise, &[i64]) -> Tensor;

/// The way from the first noise of a tape to a noise made of it.
pub(crate) type Path = Vec<Step>;

/// One noise made of another.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Stream(String),
    /// After so many draws.
    Fork(u64, String),
}

impl NoiseTape {
    /// An empty tape.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Overwrites every tensor with the values that it would have if the computation began with `noise`, and moves `noise`
    /// on as the computation would.
    pub fn refill(&self, noise: &mut Noise) {
        let reel = self.reel();
        let _guard = tch::no_grad_guard();
        for Entry { path, draw, make, tensor } in &reel.entries {
            let mut source = noise.follow(path);
            source.skip(*draw);
            tensor.shallow_clone().copy_(&make(&mut source, &tensor.size()));
        }
        noise.skip(reel.root_draws);
    }

    /// From now on draws return the tensors of the tape, from the first one on, instead of making new ones.
    pub fn rewind(&self) {
        self.reel().next = Some(0);
    }

    /// Whether all draws are on the tape.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.reel().drawn_on_host
    }

    pub(crate) fn note_host(&self) {
        self.reel().drawn_on_host = true;
    }

    /// The noise that the tape began with has drawn `count` times.
    pub(crate) fn note_root(&self, count: u64) {
        let mut reel = self.reel();
        reel.root_draws = reel.root_draws.max(count);
    }

    /// The tensor of a draw: that of the tape if it is played back, otherwise a new one that is put on it.
    ///
    /// # Panics
    /// If the computation draws something else than it did.
    pub(crate) fn draw(
        &self,
        path: &Path,
        draw: u64,
        shape: &[i64],
        make: Make,
        value: impl FnOnce() -> Tensor,
    ) -> Tensor {
        let mut reel = self.reel();
        let Some(next) = reel.next else {
            let tensor = value();
            let entry = Entry { path: path.clone(), draw, make, tensor: tensor.shallow_clone() };
            reel.entries.push(entry);
            return tensor;
        };
        reel.next = Some(next + 1);
        let tensor = reel.entries.get(next).map(|entry| entry.tensor.shallow_clone());
        let tensor =
            tensor.unwrap_or_else(|| panic!("the computation draws more than its tape has"));
        assert_eq!(tensor.size(), shape, "the computation draws other shapes than its tape has");
        tensor
    }

    fn reel(&self) -> MutexGuard<'_, Reel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of draw, in streams, forks and clones.
    fn drawn(noise: &mut Noise) -> Vec<Tensor> {
        let mut stream = noise.stream("stream");
        let first = noise.normal(&[3]);
        let mut fork = noise.fork("fork");
        let mut nested = fork.fork("nested");
        let again = nested.clone().normal_f64(&[2, 2]);
        vec![
            first,
            fork.uniform(&[4]),
            nested.normal_f64(&[2, 2]),
            again,
            stream.normal(&[2]),
            noise.dropout_mask(&[50], 0.5),
        ]
    }

    #[test]
    fn a_refilled_tape_holds_what_would_be_drawn() {
        let tape = NoiseTape::new();
        let mut noise = Noise::new(5);
        let _ = noise.normal(&[1]);
        assert_eq!(drawn(&mut noise.clone().taped(&tape)), drawn(&mut noise));
        assert!(tape.is_complete());
        for seed in [7, 8] {
            let mut other = Noise::new(seed).stream("elsewhere");
            let _ = other.fork("earlier");
            let mut root = other.clone();
            tape.refill(&mut root);
            tape.rewind();
            // What is computed of the tensors (a mask) has to be computed again.
            assert_eq!(drawn(&mut other.clone().taped(&tape)), drawn(&mut other));
            assert_eq!(root.state(), other.state());
        }
    }

    #[test]
    fn numbers_on_the_host_are_told() {
        for draw in [
            |noise: &mut Noise| drop(noise.integers(1, 2)),
            |noise: &mut Noise| {
                drop(noise.permutation(2));
            },
        ] {
            let tape = NoiseTape::new();
            draw(&mut Noise::new(1).taped(&tape).fork("below"));
            assert!(!tape.is_complete());
        }
    }

    #[test]
    #[should_panic(expected = "other shapes")]
    fn another_computation_is_refused() {
        let tape = NoiseTape::new();
        let _ = Noise::new(1).taped(&tape).normal(&[3]);
        tape.rewind();
        let _ = Noise::new(1).taped(&tape).normal(&[4]);
    }
}
