//! What a classifier says of images.

use crate::gaussian_stats::{common_dim, feature_dim};
use crate::{
    Direction, Error, FeatureExtractor, FeatureSet, InceptionScore, Measurement, MetricInfo,
    Result, ScoreSplits,
};
use tch::{Kind, Tensor};

/// Measures images by a classifier of the data set that they should look like.
///
/// | label | what | best |
/// |---|---|---|
/// | `score` | the formula of the Inception Score with this classifier, in one split: is it sure, and of many classes? | the number of classes |
/// | `classes` | [`predicted_classes`]: how many classes are there, whether it is sure or not? | the number of classes |
/// | `agreement` | [`label_agreement`]: does an image show the class it was made for? Only for images with labels | 1 |
///
/// None of them sees whether images of a class differ: a generator that knows one image for each class is perfect by all
/// three. They belong beside a distance, not in its place.
///
/// # Example
/// A classifier that tells bright images from dark ones:
/// ```
/// use diffusion_core::Cond;
/// use metrics::{Classifier, FeatureExtractor, Result};
/// use tch::{Device, Kind, Tensor};
///
/// struct Brightness;
/// impl FeatureExtractor for Brightness {
///     fn features(&self, images: &Tensor) -> Result<Tensor> {
///         let mean = images.mean_dim(&[1i64, 2, 3][..], false, Kind::Float);
///         Ok(Tensor::stack(&[&mean * -50.0, &mean * 50.0], 1))
///     }
///     fn frechet_name(&self) -> [String; 2] {
///         ["brightness-FD".into(), "brightness-FD".into()]
///     }
///     fn recipe(&self) -> String {
///         "mean brightness".into()
///     }
/// }
/// let images = Tensor::from_slice(&[-1f32, -1.0, 1.0, 1.0]).view([4, 1, 1, 1]);
/// let labels = Cond::classes(&[0, 1, 1, 1], 2, Device::Cpu)?.labels; // the second one is wrong
/// let values = Classifier::new(Brightness).measure(&images, labels.as_ref(), 2)?;
/// let values: Vec<f64> = values.iter().map(|m| m.value).collect();
/// assert!((values[0] - 2.0).abs() < 1e-9 && (values[1] - 2.0).abs() < 1e-9);
/// assert_eq!(values[2], 0.75);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Classifier<E> {
    logits: E,
}

impl<E: FeatureExtractor> Classifier<E> {
    /// The features of `logits` are a classifier's outputs before the softmax.
    pub fn new(logits: E) -> Self {
        Self { logits }
    }

    /// `score`, `classes` and, if there are labels (one-hot, `[N, classes]`), `agreement` of images `[N, C, H, W]` in
    /// `[-1, 1]`, classified `batch` at a time.
    ///
    /// # Errors
    /// What the classifier reports; [`Error::Dimension`] for labels of other classes than the classifier's;
    /// [`Error::NotPositive`] for `batch < 1`.
    pub fn measure(
        &self,
        images: &Tensor,
        labels: Option<&Tensor>,
        batch: i64,
    ) -> Result<Vec<Measurement>> {
        if batch < 1 {
            return Err(Error::NotPositive { what: "batch", value: batch });
        }
        let mut set = FeatureSet::new(&self.logits).with_max_images(images.size()[0]);
        images.split(batch, 0).iter().try_for_each(|part| set.update(part))?;
        let logits = set.features()?;
        let splits = ScoreSplits::Equal { count: 1, shuffle: None };
        let score = InceptionScore::of_logits(&logits, splits)?.mean;
        let effective = "effective number of classes";
        let mut measurements = vec![
            self.measurement(
                "classifier score (the formula of the Inception Score)",
                "score",
                effective,
                score,
            ),
            self.measurement(
                "predicted classes",
                "classes",
                effective,
                predicted_classes(&logits)?,
            ),
        ];
        if let Some(labels) = labels {
            let agreement = label_agreement(&logits, labels)?;
            measurements.push(self.measurement(
                "agreement with the labels",
                "agreement",
                "share",
                agreement,
            ));
        }
        Ok(measurements)
    }

    fn measurement(&self, name: &str, label: &str, unit: &str, value: f64) -> Measurement {
        let [name, label, unit] = [name, label, unit].map(String::from);
        let recipe = format!("{}; f64", self.logits.recipe());
        let direction = Direction::HigherIsBetter;
        Measurement { info: MetricInfo { name, label, unit, direction, recipe }, value }
    }
}

/// The share of images whose most probable class is the one of their label.
///
/// # Shapes
/// `logits` and `labels` (one-hot): `[N, classes]`, on any device.
///
/// # Errors
/// [`Error::NotFeatures`] for unusable logits; [`Error::Pairs`], [`Error::Dimension`] for other shapes of labels.
///
/// # Example
/// ```
/// use tch::Tensor;
/// let logits = Tensor::from_slice(&[3f32, 1.0, 0.0, 2.0]).view([2, 2]);
/// let labels = Tensor::from_slice(&[1f32, 0.0, 1.0, 0.0]).view([2, 2]);
/// assert_eq!(metrics::label_agreement(&logits, &labels)?, 0.5);
/// # Ok::<(), metrics::Error>(())
/// ```
pub fn label_agreement(logits: &Tensor, labels: &Tensor) -> Result<f64> {
    common_dim(logits, labels)?;
    let [images, texts] = [logits, labels].map(|tensor| tensor.size()[0]);
    if images != texts {
        return Err(Error::Pairs { images, texts });
    }
    let made_for = labels.argmax(1, false).to_device(logits.device());
    let agree = logits.argmax(1, false).eq_tensor(&made_for);
    Ok(agree.to_kind(Kind::Double).mean(Kind::Double).double_value(&[]))
}

/// The effective number of classes among images: the exponential of the entropy of their most probable classes.
///
/// It is `n` if `n` classes are equally frequent, and 1 if there is only one.
///
/// # Shapes
/// `[N, classes]`.
///
/// # Errors
/// [`Error::NotFeatures`] for unusable logits, [`Error::TooFew`] for none.
///
/// # Example
/// ```
/// use tch::{Device, Kind, Tensor};
/// let logits = Tensor::eye(5, (Kind::Float, Device::Cpu));
/// assert!((metrics::predicted_classes(&logits)? - 5.0).abs() < 1e-12);
/// # Ok::<(), metrics::Error>(())
/// ```
pub fn predicted_classes(logits: &Tensor) -> Result<f64> {
    let classes = feature_dim(logits)?;
    let n = logits.size()[0];
    if n == 0 {
        return Err(Error::TooFew { found: 0, needed: 1 });
    }
    let counts = logits.argmax(1, false).bincount(None::<Tensor>, classes).to_kind(Kind::Double);
    let share = counts / n as f64;
    let entropy = -share.xlogy(&share).sum(Kind::Double).double_value(&[]);
    Ok(entropy.exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;
    use tch::Device;

    #[test]
    fn the_number_of_classes_weighs_rare_ones_less() {
        let of = |classes: &[i64]| {
            let logits = Tensor::from_slice(classes).one_hot(4).to_kind(Kind::Float);
            predicted_classes(&logits).unwrap()
        };
        assert!((of(&[2; 9]) - 1.0).abs() < 1e-12);
        assert!((of(&[0, 1, 2, 3, 3, 2, 1, 0]) - 4.0).abs() < 1e-12);
        let entropy = -(0.75f64 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
        assert!((of(&[1, 1, 3, 1]) - entropy.exp()).abs() < 1e-12);
    }

    #[test]
    fn labels_of_others_are_refused() {
        let logits = Noise::new(1).normal(&[4, 3]);
        let labels = |n: i64, classes: i64| Tensor::zeros([n, classes], (Kind::Float, Device::Cpu));
        let error = label_agreement(&logits, &labels(4, 2)).unwrap_err();
        assert!(matches!(error, Error::Dimension { expected: 3, found: 2 }));
        let error = label_agreement(&logits, &labels(5, 3)).unwrap_err();
        assert!(matches!(error, Error::Pairs { images: 4, texts: 5 }));
        assert!(matches!(
            predicted_classes(&logits.narrow(0, 0, 0)),
            Err(Error::TooFew { found: 0, needed: 1 })
        ));
    }
}
