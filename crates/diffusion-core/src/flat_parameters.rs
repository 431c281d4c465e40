//! Trained tensors in one stretch of memory.

use crate::FlatLayout;
use tch::{Device, Tensor};

/// Trained tensors of a network that are views of one flat buffer; made by
/// [`Parameters::flatten`](crate::Parameters::flatten).
///
/// An update walks [`weights`](Self::weights) beside the runs of its own buffers instead of hundreds of tensors, and the
/// network sees it, because its tensors lie in that memory.
///
/// If some tensors are left out, the weights that are not consist of several runs. Everything else (gradients, moments,
/// averages) has a buffer of [`layout`](Self::layout), where the tensors that are left out take no room;
/// [`runs`](Self::runs) cuts such a buffer into pieces that fit the weights' ones.
///
/// # Example
/// ```
/// use diffusion_core::Parameters;
/// use tch::{Device, Kind, Tensor};
/// let mut params = Parameters::new(Device::Cpu);
/// let names = ["a", "b", "c"];
/// names.map(|name| params.trainable(name, Tensor::zeros([2], (Kind::Float, Device::Cpu))));
/// let flat = params.flatten(|name| name != "b")?;
/// assert_eq!(flat.weights().len(), 2); // before and behind `b`
/// let step = flat.layout().zeros(Device::Cpu) + 1.0;
/// for (weights, step) in flat.weights().iter().zip(flat.runs(&step)) {
///     let _ = weights.shallow_clone().g_add_(&step);
/// }
/// assert_eq!(names.map(|name| params.get(name).unwrap().double_value(&[1])), [1.0, 0.0, 1.0]);
/// # Ok::<(), diffusion_core::Error>(())
/// ```
#[derive(Debug)]
pub struct FlatParameters {
    layout: FlatLayout,
    tensors: Vec<Tensor>,
    weights: Vec<Tensor>,
    /// Start and length of every run in a buffer of `layout`.
    runs: Vec<[i64; 2]>,
    device: Device,
}

impl FlatParameters {
    /// Of `tensors`, which lie in `buffer` as `whole` says, those of `part`.
    pub(crate) fn new(
        whole: &FlatLayout,
        buffer: &Tensor,
        part: FlatLayout,
        tensors: Vec<Tensor>,
    ) -> Self {
        let runs = whole.runs(&part);
        let weights = runs.iter().map(|&[here, _, n]| buffer.narrow(0, here, n)).collect();
        let runs = runs.into_iter().map(|[_, there, n]| [there, n]).collect();
        Self { layout: part, tensors, weights, runs, device: buffer.device() }
    }

    /// The device of the tensors.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Where the tensors lie in buffers other than the weights'.
    pub fn layout(&self) -> &FlatLayout {
        &self.layout
    }

    /// Handles of the tensors themselves, in the layout's order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The memory of the weights, one-dimensional and without a graph: one run, or more if tensors are left out.
    pub fn weights(&self) -> &[Tensor] {
        &self.weights
    }

    /// The pieces of a buffer of [`layout`](Self::layout) that belong to the runs of [`weights`](Self::weights).
    ///
    /// # Panics
    /// If `buffer` is too short.
    pub fn runs(&self, buffer: &Tensor) -> Vec<Tensor> {
        self.runs.iter().map(|&[start, length]| buffer.narrow(0, start, length)).collect()
    }

    /// The weights as they stand, in a new buffer of [`layout`](Self::layout).
    pub fn snapshot(&self) -> Tensor {
        let _guard = tch::no_grad_guard();
        match &self.weights[..] {
            [] => self.layout.zeros(self.device),
            [whole] => whole.copy(),
            runs => Tensor::cat(runs, 0),
        }
    }

    /// Overwrites the weights with a buffer of [`layout`](Self::layout).
    ///
    /// # Panics
    /// If `buffer` is too short.
    pub fn overwrite(&self, buffer: &Tensor) {
        let _guard = tch::no_grad_guard();
        for (weights, values) in self.weights.iter().zip(self.runs(buffer)) {
            weights.shallow_clone().copy_(&values);
        }
    }
}
