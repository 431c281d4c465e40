//! How good the student is, while it learns and at the end.

use anyhow::{Context, Result, ensure};
use fewstep::backbones::{LeNet, LeNetOutput, PublishedFeatures, recipe_features, weight_file};
use fewstep::distill_trainer::Better;
use fewstep::distill_trainer::observer::{Evaluate, MeasureError};
use fewstep::metrics::{Direction, Evaluation, FeatureFrechet, Recipe, ReferenceStats, Report};
use fewstep::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The table `evaluation` of the settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvaluationSettings {
    /// Measure the student every so many thousand images; 0 only compares at the end.
    pub(crate) every_kimg: f64,
    /// Images of one measurement.
    pub(crate) images: i64,
    /// A network of `08_mnist_classifier` that measures, too.
    pub(crate) classifier: PathBuf,
    /// A published distance that is measured, too, such as `EDM FID`.
    pub(crate) recipe: String,
    /// The weights of the recipe's network; empty for the published file in the cache.
    pub(crate) weights: PathBuf,
    /// Statistics of real images by the recipe, .npz or .safetensors; empty for the images that are held out.
    pub(crate) reference: PathBuf,
    /// The label of the metric, such as `LeNet-FD`, by which the best checkpoint is kept; empty for none.
    pub(crate) keep_best: String,
}

impl Default for EvaluationSettings {
    fn default() -> Self {
        Self {
            every_kimg: 0.0,
            images: 1024,
            classifier: PathBuf::new(),
            recipe: String::new(),
            weights: PathBuf::new(),
            reference: PathBuf::new(),
            keep_best: String::new(),
        }
    }
}

/// What measures the student while it learns.
pub(crate) struct Watch {
    evaluation: Evaluation<'static>,
    /// What it says of real images that are not among those it compares with.
    pub(crate) floor: String,
    /// Which values are the good ones, if checkpoints are kept by one.
    pub(crate) best: Option<Better>,
}

impl Watch {
    pub(crate) fn new(
        settings: &EvaluationSettings,
        reference: &Batch,
        real: &Batch,
        batch: i64,
        device: Device,
    ) -> Result<Self> {
        let mut evaluation = settings.build(reference, batch, device)?;
        let report = evaluation.labeled("real", &real.images, &real.cond)?;
        let values = report.measurements.iter().map(|m| format!("{} {:.4}", m.info.label, m.value));
        let floor = values.collect::<Vec<_>>().join("  ");
        Ok(Self { evaluation, floor, best: settings.criterion(&report)? })
    }

    /// Measures the student by the same latents every time; others than those of the comparison at the end.
    pub(crate) fn observer(
        self,
        settings: &EvaluationSettings,
        noise: Noise,
    ) -> Evaluate<impl FnMut(&dyn Generator) -> Measured + 'static> {
        let (mut evaluation, images) = (self.evaluation, settings.images);
        let judge = move |student: &dyn Generator| -> Measured {
            Ok(evaluation.run("student", student, images, &noise)?.report.values())
        };
        Evaluate::new(judge).every_kimg(settings.every_kimg)
    }
}

type Measured = Result<BTreeMap<String, f64>, MeasureError>;

impl EvaluationSettings {
    pub(crate) fn check(&self) -> Result<()> {
        let Self { every_kimg, images, keep_best, .. } = self;
        ensure!(
            *every_kimg == 0.0 || *every_kimg >= 0.001,
            "`evaluation.every_kimg` is {every_kimg}; it must be 0, or an image at least: 0.001"
        );
        ensure!(*images >= 2, "`evaluation.images` is {images}; at least 2 are needed");
        ensure!(
            keep_best.is_empty() || *every_kimg > 0.0,
            "`evaluation.keep_best` needs `evaluation.every_kimg`: without measurements nothing is best"
        );
        Ok(())
    }

    /// Everything that is measured, against real images.
    pub(crate) fn build(
        &self,
        real: &Batch,
        batch: i64,
        device: Device,
    ) -> Result<Evaluation<'static>> {
        let mut evaluation = Evaluation::new(real, batch, device)?;
        if let Some(file) = given(&self.classifier) {
            let lenet = LeNet::open(file, device)?;
            let of = |output| recipe_features(lenet.recipe(output), file, device);
            let features = of(LeNetOutput::Features)?;
            let frechet = FeatureFrechet::from_images(features, &real.images, batch)?;
            evaluation = evaluation.with_metric(frechet).with_classifier(of(LeNetOutput::Logits)?);
        }
        if !self.recipe.is_empty() {
            evaluation = evaluation.with_metric(self.published(real, batch, device)?);
        }
        Ok(evaluation)
    }

    fn published(
        &self,
        real: &Batch,
        batch: i64,
        device: Device,
    ) -> Result<FeatureFrechet<PublishedFeatures>> {
        let recipe = Recipe::named(&self.recipe).with_context(|| {
            let names: Vec<_> = Recipe::NAMED.iter().map(|recipe| &*recipe.name).collect();
            format!(
                "`evaluation.recipe`: there is no `{}`; there are {}",
                self.recipe,
                names.join(", ")
            )
        })?;
        let weights = match given(&self.weights) {
            Some(path) => path.to_path_buf(),
            None => weight_file(&recipe)?.in_cache()?,
        };
        let features = recipe_features(recipe.clone(), &weights, device)?;
        Ok(match given(&self.reference) {
            None => FeatureFrechet::from_images(features, &real.images, batch)?,
            Some(path) => {
                let is_numpy = path.extension().is_some_and(|extension| extension == "npz");
                let stats = match is_numpy {
                    true => ReferenceStats::read_npz(path, recipe)?,
                    false => ReferenceStats::read_safetensors(path)?,
                };
                FeatureFrechet::from_reference(features, &stats)?
            }
        })
    }

    /// By what checkpoints are judged, once it is known what is measured.
    fn criterion(&self, measured: &Report) -> Result<Option<Better>> {
        if self.keep_best.is_empty() {
            return Ok(None);
        }
        let infos = measured.measurements.iter().map(|measurement| &measurement.info);
        let found = infos.clone().find(|info| info.label == self.keep_best);
        let info = found.with_context(|| {
            let labels: Vec<_> = infos.map(|info| info.label.as_str()).collect();
            let wanted = &self.keep_best;
            format!("`evaluation.keep_best` is `{wanted}`; measured are {}", labels.join(", "))
        })?;
        Ok(Some(match info.direction {
            Direction::LowerIsBetter => Better::Lower,
            Direction::HigherIsBetter => Better::Higher,
        }))
    }
}

fn given(path: &Path) -> Option<&Path> {
    (!path.as_os_str().is_empty()).then_some(path)
}
