//! What a network is conditioned on.

use crate::{Error, Result};
use tch::{Device, Kind, Tensor};

/// Conditions of a batch: every one optional, more may come.
///
/// # Example
/// ```
/// use diffusion_core::Cond;
/// let cond = Cond::classes(&[2, 0], 3, tch::Device::Cpu)?;
/// assert_eq!(cond.labels.unwrap().size(), [2, 3]);
/// # Ok::<(), diffusion_core::Error>(())
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Cond {
    /// Class labels, `[B, classes]`, one-hot (all zeros means "no class"), `f32`.
    pub labels: Option<Tensor>,
    /// Augmentation labels, `[B, augment_dim]`, `f32`; zeros and `None` both mean "not augmented".
    pub augment: Option<Tensor>,
    /// Text context, `[B, tokens, width]`, `f32`.
    pub text: Option<Tensor>,
    /// The text as one vector, `[B, width]`, `f32` (SDXL).
    pub pooled_text: Option<Tensor>,
    /// What the image is a cut-out of, in pixels, `[B, 6]`, `f32`: original height and width, top and left of the cut,
    /// height and width wanted (SDXL).
    pub size: Option<Tensor>,
    /// The guidance scale that a guidance-distilled network is to imitate, `[B]`, `f32`.
    pub guidance: Option<Tensor>,
}

impl Cond {
    /// No condition at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// One-hot class labels; with `classes == 0` the same as [`Cond::none`].
    ///
    /// # Errors
    /// [`Error::LabelOutOfRange`] for a label that is not in `0..classes` (any label, when `classes == 0`, is ignored).
    pub fn classes(labels: &[i64], classes: i64, device: Device) -> Result<Self> {
        if classes == 0 {
            return Ok(Self::none());
        }
        if let Some(position) = labels.iter().position(|label| !(0..classes).contains(label)) {
            return Err(Error::LabelOutOfRange { label: labels[position], position, classes });
        }
        let one_hot = Tensor::from_slice(labels).one_hot(classes).to_kind(Kind::Float);
        Ok(Self { labels: Some(one_hot.to_device(device)), ..Self::default() })
    }

    /// The same conditions with augmentation labels.
    #[must_use]
    pub fn with_augment(self, augment: Tensor) -> Self {
        Self { augment: Some(augment), ..self }
    }

    /// The conditions of `length` images from `start` on.
    #[must_use]
    pub fn narrow(&self, start: i64, length: i64) -> Self {
        self.map(|t| t.narrow(0, start, length))
    }

    /// The conditions of the images at `rows`, in that order; rows may repeat.
    ///
    /// # Panics
    /// If a row is out of range.
    #[must_use]
    pub fn select(&self, rows: &[i64]) -> Self {
        let rows = Tensor::from_slice(rows);
        self.map(|t| t.index_select(0, &rows.to_device(t.device())))
    }

    /// The same conditions on another device.
    #[must_use]
    pub fn to_device(&self, device: Device) -> Self {
        self.map(|t| t.to_device(device))
    }

    /// Every condition, changed by `f`.
    #[must_use]
    pub fn map(&self, f: impl Fn(&Tensor) -> Tensor) -> Self {
        Self {
            labels: self.labels.as_ref().map(&f),
            augment: self.augment.as_ref().map(&f),
            text: self.text.as_ref().map(&f),
            pooled_text: self.pooled_text.as_ref().map(&f),
            size: self.size.as_ref().map(&f),
            guidance: self.guidance.as_ref().map(&f),
        }
    }

    /// Every condition in a fixed order, those that are absent included.
    pub fn tensors(&self) -> [Option<&Tensor>; 6] {
        let Self { labels, augment, text, pooled_text, size, guidance } = self;
        [labels, augment, text, pooled_text, size, guidance].map(Option::as_ref)
    }
}

impl Clone for Cond {
    /// Shares the tensors; conditions are never written to.
    fn clone(&self) -> Self {
        self.map(Tensor::shallow_clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_out_of_range_is_named() {
        let error = Cond::classes(&[0, 7], 4, Device::Cpu).unwrap_err();
        assert!(matches!(error, Error::LabelOutOfRange { label: 7, position: 1, classes: 4 }));
        assert!(error.to_string().contains("label 7 at position 1"));
        assert!(Cond::classes(&[-1], 4, Device::Cpu).is_err());
    }

    #[test]
    fn narrow_keeps_the_rows() {
        let cond = Cond::classes(&[0, 1, 2], 3, Device::Cpu).unwrap().narrow(1, 2);
        let argmax = Vec::<i64>::try_from(cond.labels.unwrap().argmax(1, false)).unwrap();
        assert_eq!(argmax, [1, 2]);
    }

    #[test]
    fn select_follows_the_order_and_repeats() {
        let cond = Cond::classes(&[0, 1, 2], 3, Device::Cpu).unwrap().select(&[2, 0, 2]);
        let argmax = Vec::<i64>::try_from(cond.labels.unwrap().argmax(1, false)).unwrap();
        assert_eq!(argmax, [2, 0, 2]);
    }
}
