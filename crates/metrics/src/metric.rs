//! What every metric is.

use crate::Result;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// A streaming measure of a set of images.
///
/// A metric that compares with real images owns its reference from construction on. Images arrive in batches of any
/// size; statistics are kept in f64.
///
/// # Example
/// ```
/// use diffusion_core::Noise;
/// use metrics::{Metric, PixelSlicedWasserstein};
/// let mut noise = Noise::new(0);
/// let real = noise.normal(&[64, 1, 8, 8]) * 0.3;
/// let mut metric: Box<dyn Metric> = Box::new(PixelSlicedWasserstein::new(&real, 32, &mut noise)?);
/// metric.update(&real.narrow(0, 0, 40))?;
/// metric.update(&real.narrow(0, 40, 24))?;
/// assert!(metric.value()? < 1e-12);
/// # Ok::<(), metrics::Error>(())
/// ```
pub trait Metric {
    /// Takes in more images: `[B, C, H, W]`, floating point, in `[-1, 1]`, on any device.
    ///
    /// # Errors
    /// If the images are not usable: wrong shape, kind or channel count, another size than those before, NaN. The
    /// metric is then as it was before the call.
    fn update(&mut self, images: &Tensor) -> Result<()>;

    /// The value for the images taken in since the start or the last [`Metric::reset`].
    ///
    /// # Errors
    /// If there are too few images.
    fn value(&self) -> Result<f64>;

    /// Forgets the images taken in; the reference stays.
    fn reset(&mut self);

    /// What the value is and how it is computed.
    fn info(&self) -> MetricInfo;
}

impl<M: Metric + ?Sized> Metric for Box<M> {
    fn update(&mut self, images: &Tensor) -> Result<()> {
        (**self).update(images)
    }

    fn value(&self) -> Result<f64> {
        (**self).value()
    }

    fn reset(&mut self) {
        (**self).reset();
    }

    fn info(&self) -> MetricInfo {
        (**self).info()
    }
}

/// What a value is and how it came about: two values are comparable only if their recipes are equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricInfo {
    /// Full name.
    pub name: String,
    /// Short name for a column of a table.
    pub label: String,
    /// The unit of the value.
    pub unit: String,
    /// Which values are good.
    pub direction: Direction,
    /// Everything that decides the value: preprocessing, features, estimator, reference.
    pub recipe: String,
}

/// Which values of a metric are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Small values are good: distances.
    LowerIsBetter,
    /// Large values are good: scores, precision, recall.
    HigherIsBetter,
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LowerIsBetter => "lower is better",
            Self::HigherIsBetter => "higher is better",
        })
    }
}
