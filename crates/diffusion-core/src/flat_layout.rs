//! Where tensors lie in one buffer.

use crate::Parameter;
use tch::{Device, Kind, Tensor};

/// Places in a flat buffer start at multiples of so many elements: 64 bytes of `f32`, which vector units and cuDNN like.
const ALIGNMENT: i64 = 16;

/// The place of one tensor in a flat buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The tensor's name.
    pub name: String,
    /// Its shape.
    pub size: Vec<i64>,
    /// Its strides: those it had, if it filled its memory without gaps, otherwise contiguous ones.
    pub stride: Vec<i64>,
    /// Where it begins, in elements.
    pub offset: i64,
}

impl Place {
    fn numel(&self) -> i64 {
        self.size.iter().product()
    }

    /// Where the next place begins.
    fn end(&self) -> i64 {
        (self.offset + self.numel() + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
    }
}

/// Where each of several named tensors lies in one contiguous buffer.
///
/// Strides are kept, so a channels-last weight stays channels-last; weights, gradients, moments and averages of one
/// layout lie element by element at the same offsets, and a kernel may walk the buffers from end to end. Between two
/// places there is padding up to the next multiple of 64 bytes; it stays zero under every update.
///
/// # Example
/// ```
/// use diffusion_core::Parameters;
/// use tch::{Device, Kind, Tensor};
/// let mut params = Parameters::new(Device::Cpu);
/// let _ = params.trainable("a", Tensor::ones([2, 3], (Kind::Float, Device::Cpu)));
/// let _ = params.trainable("b", Tensor::ones([4], (Kind::Float, Device::Cpu)));
/// let flat = params.flatten(|_| true)?;
/// let buffer = flat.layout().zeros(Device::Cpu);
/// let views = flat.layout().views(&buffer);
/// let _ = views[1].shallow_clone().fill_(2.0);
/// assert_eq!(buffer.sum(Kind::Float).double_value(&[]), 8.0);
/// # Ok::<(), diffusion_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlatLayout {
    places: Vec<Place>,
    kind: Kind,
    len: i64,
}

impl FlatLayout {
    /// The tensors one after the other.
    pub(crate) fn of<'a>(parameters: impl Iterator<Item = &'a Parameter>, kind: Kind) -> Self {
        let mut layout = Self { places: Vec::new(), kind, len: 0 };
        for Parameter { name, tensor, .. } in parameters {
            let (size, stride) = (tensor.size(), tensor.stride());
            let stride = if is_dense(&size, &stride) { stride } else { contiguous(&size) };
            layout.push(Place { name: name.clone(), size, stride, offset: 0 });
        }
        layout
    }

    /// Those of the places that `keep` accepts, closed up.
    pub(crate) fn part(&self, keep: impl Fn(&str) -> bool) -> Self {
        let mut part = Self { places: Vec::new(), kind: self.kind, len: 0 };
        self.places.iter().filter(|p| keep(&p.name)).for_each(|p| part.push(p.clone()));
        part
    }

    fn push(&mut self, place: Place) {
        let place = Place { offset: self.len, ..place };
        self.len = place.end();
        self.places.push(place);
    }

    /// Every place, in order.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|place| place.name.as_str())
    }

    /// Elements of a buffer, padding included.
    pub fn len(&self) -> i64 {
        self.len
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The kind of the tensors.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// A buffer of zeros.
    pub fn zeros(&self, device: Device) -> Tensor {
        Tensor::zeros([self.len], (self.kind, device))
    }

    /// The tensors that lie in `buffer`, without a graph.
    ///
    /// # Shapes
    /// `buffer`: `[len]` or longer, one-dimensional and contiguous; it may itself be a view.
    ///
    /// # Panics
    /// If `buffer` is too short.
    pub fn views(&self, buffer: &Tensor) -> Vec<Tensor> {
        let _guard = tch::no_grad_guard();
        let view = |place: &Place| {
            let own = buffer.narrow(0, place.offset, place.numel());
            own.as_strided(&place.size, &place.stride, None::<i64>)
        };
        self.places.iter().map(view).collect()
    }

    /// The stretches of `part` that are consecutive here too: for each its start here, its start there, its length.
    pub(crate) fn runs(&self, part: &Self) -> Vec<[i64; 3]> {
        let mut runs: Vec<[i64; 3]> = Vec::new();
        let mut ours = self.places.iter();
        for place in &part.places {
            let found =
                ours.find(|own| own.name == place.name).expect("a part holds no other names");
            let length = place.end() - place.offset;
            match runs.last_mut() {
                Some([here, _, n]) if *here + *n == found.offset => *n += length,
                _ => runs.push([found.offset, place.offset, length]),
            }
        }
        runs
    }
}

/// Whether a tensor of these strides fills a stretch of memory without gaps or overlaps.
fn is_dense(size: &[i64], stride: &[i64]) -> bool {
    let mut axes: Vec<(i64, i64)> =
        stride.iter().copied().zip(size.iter().copied()).filter(|(_, n)| *n != 1).collect();
    axes.sort_unstable();
    let mut expected = 1;
    axes.iter().all(|(stride, n)| {
        let fits = *stride == expected;
        expected *= n;
        fits
    })
}

fn contiguous(size: &[i64]) -> Vec<i64> {
    (1..=size.len()).map(|axis| size[axis..].iter().product()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_told_from_permutations() {
        assert!(is_dense(&[2, 3, 4], &[12, 4, 1]));
        assert!(is_dense(&[2, 3, 4, 5], &[60, 1, 15, 3])); // channels-last
        assert!(is_dense(&[], &[]) && is_dense(&[1, 7], &[99, 1]));
        assert!(
            !is_dense(&[3], &[2]) && !is_dense(&[3, 2], &[1, 1]) && !is_dense(&[4, 2], &[0, 1])
        );
        assert_eq!(contiguous(&[2, 3, 4]), [12, 4, 1]);
    }
}
