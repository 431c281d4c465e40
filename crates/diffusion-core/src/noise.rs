//! Where every random number comes from.

use crate::NoiseTape;
use crate::noise_tape::{Make, Path, Step};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;
use tch::{Device, Kind, Tensor};

/// Words of the `ChaCha` stream reserved for one draw: a draw never runs into the next one.
const WORDS_PER_DRAW_LOG2: u32 = 36;

/// The whole state of a [`Noise`]: three integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoiseState {
    /// The seed of the run.
    pub seed: u64,
    /// Which independent sequence.
    pub stream: u64,
    /// How many draws were made.
    pub draw: u64,
}

/// A counter-based random generator: draw number `draw` of stream `stream` under seed `seed` is always the same tensor.
///
/// Values are made on the CPU with `ChaCha8` and portable logarithms and cosines, so they are bit-identical on every
/// machine and device, in any thread. (libtorch's own generator is one per process and cannot be saved.) A clone
/// repeats the draws of the original: two network passes that must share dropout masks get two clones.
///
/// # Example
/// ```
/// use diffusion_core::Noise;
/// let mut noise = Noise::new(7);
/// let (a, b) = (noise.clone().normal(&[3]), noise.normal(&[3]));
/// assert_eq!(a, b); // a clone repeats
/// assert_ne!(a, noise.normal(&[3])); // the next draw differs
/// assert_ne!(a, Noise::new(7).stream("dropout").normal(&[3])); // so does another stream
/// ```
#[derive(Debug, Clone)]
pub struct Noise {
    state: NoiseState,
    device: Device,
    tape: Option<OnTape>,
}

/// The place of a noise on a tape.
#[derive(Debug, Clone)]
struct OnTape {
    tape: NoiseTape,
    path: Path,
    /// The draw at which it begins.
    begin: u64,
}

impl Noise {
    /// The main stream of a seed, on the CPU.
    pub fn new(seed: u64) -> Self {
        Self::from_state(NoiseState { seed, stream: 0, draw: 0 })
    }

    /// Continues from a saved state, on the CPU.
    pub fn from_state(state: NoiseState) -> Self {
        Self { state, device: Device::Cpu, tape: None }
    }

    /// The same generator delivering to `device`; the values do not change.
    #[must_use]
    pub fn on(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// An independent stream named by `label`, from its beginning.
    ///
    /// Depends on the seed, this stream and the label, not on how much was drawn.
    #[must_use]
    pub fn stream(&self, label: &str) -> Self {
        let stream = fnv1a(self.state.stream.to_le_bytes().into_iter().chain(label.bytes()));
        self.child(stream, || Step::Stream(label.into()))
    }

    /// A new independent stream each time: spends one draw of this one and starts at its own beginning.
    ///
    /// For a part of a computation that draws an unknown number of times, such as the dropout of a network.
    #[must_use]
    pub fn fork(&mut self, label: &str) -> Self {
        let parent = [self.state.stream.to_le_bytes(), self.state.draw.to_le_bytes()].concat();
        let stream = fnv1a(parent.into_iter().chain(label.bytes()));
        let child = self.child(stream, || Step::Fork(self.drawn(), label.into()));
        self.skip(1);
        child
    }

    /// The same generator, whose random tensors and those of all that is made of it are put on `tape`, or come from it once
    /// it is [rewound](NoiseTape::rewind).
    #[must_use]
    pub fn taped(&self, tape: &NoiseTape) -> Self {
        let begin = self.state.draw;
        let tape = Some(OnTape { tape: tape.clone(), path: Path::new(), begin });
        Self { tape, ..self.clone() }
    }

    /// The state to save.
    pub fn state(&self) -> NoiseState {
        self.state
    }

    /// The device that tensors are delivered to.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Standard normal values, `f32`.
    pub fn normal(&mut self, shape: &[i64]) -> Tensor {
        self.draw(shape, |noise, shape| {
            let mut rng = noise.next_draw();
            let values = normals(count(shape), || rng.next_u64());
            let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
            Tensor::from_slice(&values).view(shape).to_device(noise.device)
        })
    }

    /// Standard normal values, `f64`; not the `f32` ones at higher precision.
    pub fn normal_f64(&mut self, shape: &[i64]) -> Tensor {
        self.draw(shape, |noise, shape| {
            let mut rng = noise.stream("f64").at(noise.state.draw).next_draw();
            noise.state.draw += 1;
            Tensor::from_slice(&normals(count(shape), || rng.next_u64()))
                .view(shape)
                .to_device(noise.device)
        })
    }

    /// Uniform values in `[0, 1)`, `f32`, multiples of 2⁻²⁴.
    pub fn uniform(&mut self, shape: &[i64]) -> Tensor {
        self.draw(shape, |noise, shape| {
            let mut rng = noise.next_draw();
            let value = |_| (rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32;
            let values: Vec<f32> = (0..count(shape)).map(value).collect();
            Tensor::from_slice(&values).view(shape).to_device(noise.device)
        })
    }

    /// `n` integers in `0..bound`, on the host.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn integers(&mut self, n: usize, bound: u64) -> Vec<u64> {
        assert!(bound > 0, "`integers` needs a bound of at least 1");
        let mut rng = self.next_draw_on_host();
        (0..n).map(|_| bounded(&mut rng, bound)).collect()
    }

    /// The numbers `0..n` in random order, on the host.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut rng = self.next_draw_on_host();
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, bounded(&mut rng, i as u64 + 1) as usize);
        }
        order
    }

    /// A dropout mask: 0 with probability `p`, else `1 / (1 - p)`.
    ///
    /// # Panics
    /// If `p` is not in `[0, 1)`.
    pub fn dropout_mask(&mut self, shape: &[i64], p: f64) -> Tensor {
        assert!((0.0..1.0).contains(&p), "dropout probability {p} is not in [0, 1)");
        self.uniform(shape).ge(p).to_kind(Kind::Float) / (1.0 - p)
    }

    /// A noise made of this one.
    fn child(&self, stream: u64, step: impl FnOnce() -> Step) -> Self {
        let tape = self.tape.as_ref().map(|OnTape { tape, path, .. }| {
            let path = path.iter().cloned().chain([step()]).collect();
            OnTape { tape: tape.clone(), path, begin: 0 }
        });
        Self { state: NoiseState { stream, draw: 0, ..self.state }, device: self.device, tape }
    }

    /// The noise at the end of a path, without a tape.
    pub(crate) fn follow(&self, path: &Path) -> Self {
        let start = Self { tape: None, ..self.clone() };
        path.iter().fold(start, |mut noise, step| match step {
            Step::Stream(label) => noise.stream(label),
            Step::Fork(draws, label) => {
                noise.skip(*draws);
                noise.fork(label)
            }
        })
    }

    /// Draws since the tape began, or since this noise did.
    fn drawn(&self) -> u64 {
        self.state.draw - self.tape.as_ref().map_or(0, |on| on.begin)
    }

    /// Goes on as if there had been `draws` more.
    pub(crate) fn skip(&mut self, draws: u64) {
        self.state.draw += draws;
        if let Some(on) = self.tape.as_ref().filter(|on| on.path.is_empty()) {
            on.tape.note_root(self.state.draw - on.begin);
        }
    }

    /// A random tensor, from the tape or onto it if there is one.
    fn draw(&mut self, shape: &[i64], make: Make) -> Tensor {
        let Some(on) = self.tape.clone() else { return make(self, shape) };
        let drawn = self.drawn();
        let mut bare = Self { tape: None, ..self.clone() };
        self.skip(1);
        on.tape.draw(&on.path, drawn, shape, make, || make(&mut bare, shape))
    }

    fn at(mut self, draw: u64) -> Self {
        self.state.draw = draw;
        self
    }

    fn next_draw_on_host(&mut self) -> ChaCha8Rng {
        if let Some(on) = &self.tape {
            on.tape.note_host();
        }
        self.next_draw()
    }

    fn next_draw(&mut self) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.state.seed);
        rng.set_stream(self.state.stream);
        rng.set_word_pos(u128::from(self.state.draw) << WORDS_PER_DRAW_LOG2);
        self.skip(1);
        rng
    }
}

/// The 64-bit FNV-1a hash.
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

fn count(shape: &[i64]) -> usize {
    shape.iter().product::<i64>() as usize
}

/// `n` standard normal values by Box and Muller's transform.
fn normals(n: usize, mut bits: impl FnMut() -> u64) -> Vec<f64> {
    let unit = |word: u32| (f64::from(word) + 0.5) / 4_294_967_296.0;
    let mut values = Vec::with_capacity(n + 1);
    while values.len() < n {
        let word = bits();
        let (u, v) = (unit((word >> 32) as u32), unit(word as u32));
        let radius = libm::sqrt(-2.0 * libm::log(u));
        let (sin, cos) = libm::sincos(TAU * v);
        values.extend([radius * cos, radius * sin]);
    }
    values.truncate(n);
    values
}

/// A uniform integer in `0..bound`, without bias.
fn bounded(rng: &mut impl Rng, bound: u64) -> u64 {
    let zone = u64::MAX - u64::MAX % bound;
    loop {
        let value = rng.next_u64();
        if value < zone {
            return value % bound;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_stable() {
        let mut noise = Noise::new(42);
        let normal = Vec::<f32>::try_from(noise.normal(&[3])).unwrap();
        let uniform = Vec::<f32>::try_from(noise.uniform(&[2])).unwrap();
        assert_eq!(noise.state(), NoiseState { seed: 42, stream: 0, draw: 2 });
        assert_eq!(normal, STABLE_NORMAL);
        assert_eq!(uniform, STABLE_UNIFORM);
    }

    const STABLE_NORMAL: [f32; 3] = [0.141_881_42, 0.863_496, 0.193_547_92];
    const STABLE_UNIFORM: [f32; 2] = [0.402_445_38, 0.484_739_54];

    #[test]
    fn a_saved_state_continues_with_the_same_values() {
        let mut noise = Noise::new(1).stream("data");
        let _ = noise.normal(&[5]);
        let mut resumed = Noise::from_state(noise.state());
        assert_eq!(noise.normal(&[4, 2]), resumed.normal(&[4, 2]));
    }

    #[test]
    fn forks_differ_and_repeat() {
        let mut noise = Noise::new(1);
        let mut again = noise.clone();
        let (mut a, mut b) = (noise.fork("dropout"), noise.fork("dropout"));
        let first = a.normal(&[3]);
        assert_ne!(first, b.normal(&[3]));
        assert_eq!(first, again.fork("dropout").normal(&[3]));
    }

    #[test]
    fn moments_are_those_of_a_standard_normal() {
        let n = 200_000.0_f64;
        let x = Noise::new(3).normal_f64(&[n as i64]);
        let moment = |k: f64| x.pow_tensor_scalar(k).mean(Kind::Double).double_value(&[]);
        assert!(moment(1.0).abs() < 5.0 / n.sqrt());
        assert!((moment(2.0) - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
        assert!((moment(4.0) - 3.0).abs() < 5.0 * (96.0 / n).sqrt());
    }

    #[test]
    fn a_permutation_holds_every_index_once() {
        let mut order = Noise::new(5).permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_dropout_mask_keeps_the_mean() {
        let mask = Noise::new(9).dropout_mask(&[100_000], 0.25);
        assert!((mask.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.01);
        assert_eq!(mask.count_nonzero_dim_intlist([0]).int64_value(&[]) / 1000, 75);
    }
}
