//! Statistics of real images, in files.

mod compare;
mod npy;
mod npz;
mod problem;

pub use problem::ReferenceProblem;

use crate::gaussian_stats::feature_dim;
use crate::sliced_wasserstein::on_host;
use crate::{Error, FrechetReference, GaussianStats, Recipe, Result};
use diffusion_core::tensor_file;
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

const RECIPE: &str = "recipe";
const COUNT: &str = "n";
const FEATURES: &str = "features";

/// Mean and covariance of the features of real images, with the recipe they were made by.
///
/// Published files say nothing of how they were made: whoever reads one states the recipe. Files of this crate carry it.
///
/// # Example
/// ```
/// use metrics::{GaussianStats, Recipe, ReferenceStats};
/// let recipe = Recipe { dim: 4, ..Recipe::EDM_FID };
/// let stats = GaussianStats::of(&diffusion_core::Noise::new(0).normal_f64(&[50, 4]))?;
/// let reference = ReferenceStats::of(&stats, recipe.clone())?;
///
/// let folder = tempfile::tempdir()?;
/// let (ours, numpy) = (folder.path().join("ref.safetensors"), folder.path().join("ref.npz"));
/// reference.write_safetensors(&ours)?;
/// reference.write_npz(&numpy)?; // for EDM's fid.py; without the recipe
/// assert_eq!(ReferenceStats::read_safetensors(&ours)?.count, Some(50));
/// assert_eq!(ReferenceStats::read_npz(&numpy, recipe)?.mean, stats.mean()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ReferenceStats {
    /// How the features were made.
    pub recipe: Recipe,
    /// The mean, `[D]`, f64.
    pub mean: Tensor,
    /// The covariance, `[D, D]`, f64.
    pub covariance: Tensor,
    /// The features themselves, `[N, D]`, f32, for statistics that mean and covariance do not decide. They may be those of
    /// other images than mean and covariance.
    pub features: Option<Tensor>,
    /// How many images there were, if that is known.
    pub count: Option<i64>,
    /// Where the statistics come from, for the recipe of a value.
    pub origin: String,
}

impl ReferenceStats {
    /// The statistics of features by `recipe`.
    ///
    /// # Errors
    /// [`Error::TooFew`] for fewer vectors than a covariance needs; [`Error::Dimension`] for vectors of another length than
    /// the recipe's.
    pub fn of(stats: &GaussianStats, recipe: Recipe) -> Result<Self> {
        let (mean, covariance) = (stats.mean()?, stats.covariance_by(recipe.divisor)?);
        let origin = format!("{} reference images", stats.count());
        let (features, count) = (None, Some(stats.count()));
        Self { recipe, mean, covariance, features, count, origin }.checked()
    }

    /// The same reference with the features of real images, `[N, D]`: 8 KiB for each image of an FID.
    ///
    /// # Errors
    /// [`Error::NotFeatures`], [`Error::Dimension`], [`Error::NonFiniteFeatures`] for unusable features.
    pub fn with_features(self, features: &Tensor) -> Result<Self> {
        let (expected, found) = (self.recipe.dim, feature_dim(features)?);
        if expected != found {
            return Err(Error::Dimension { expected, found });
        }
        let features = on_host(features)?.to_kind(Kind::Float);
        Ok(Self { features: Some(features), ..self })
    }

    /// Reads the arrays `mu` and `sigma` of a NumPy archive, as EDM, pytorch-fid and ADM publish them.
    ///
    /// Nothing in the file is run, and no more is read than a covariance of 8,192 dimensions.
    ///
    /// # Errors
    /// [`Error::Reference`] for a file that cannot be read; [`Error::Dimension`], [`Error::NonFiniteMoments`] for
    /// statistics that cannot be of this recipe.
    pub fn read_npz(path: impl AsRef<Path>, recipe: Recipe) -> Result<Self> {
        let path = path.as_ref();
        let (mean, covariance) = npz::read(path).map_err(|problem| bad(path, problem))?;
        let origin = file_name(path);
        Self { recipe, mean, covariance, features: None, count: None, origin }.checked()
    }

    /// Writes a NumPy archive for other programs. It does not carry the recipe.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn write_npz(&self, path: impl AsRef<Path>) -> Result<()> {
        npz::write(path.as_ref(), &self.mean, &self.covariance)
    }

    /// Reads a file of [`ReferenceStats::write_safetensors`].
    ///
    /// # Errors
    /// As [`ReferenceStats::read_npz`].
    pub fn read_safetensors(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = tensor_file::read(path).map_err(|error| bad(path, error.into()))?;
        let missing = |key| bad(path, ReferenceProblem::NoMetadata { key });
        let entry = |key| file.metadata.get(key).ok_or_else(|| missing(key));
        let recipe = serde_json::from_str(entry(RECIPE)?).map_err(|_| missing(RECIPE))?;
        let count = entry(COUNT)?.parse().map_err(|_| missing(COUNT))?;
        let tensor = |name| match file.tensors.iter().find(|(found, _)| found == name) {
            Some((_, tensor)) => Ok(tensor.to_kind(Kind::Double)),
            None => {
                let found = file.tensors.iter().map(|(name, _)| name.clone()).collect();
                Err(bad(path, ReferenceProblem::Missing { name, found }))
            }
        };
        let (mean, covariance) = (tensor("mu")?, tensor("sigma")?);
        let features = file.tensors.iter().find(|(found, _)| found == FEATURES);
        let origin = format!("{}, {count} reference images", file_name(path));
        let stats = Self { recipe, mean, covariance, features: None, count: Some(count), origin };
        let stats = stats.checked()?;
        match features {
            Some((_, features)) => stats.with_features(features),
            None => Ok(stats),
        }
    }

    /// Writes the statistics with their recipe: tensors `mu`, `sigma` and, if there are any, `features`; metadata `recipe` (JSON) and `n`.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written; [`Error::TooFew`] if the number of images is not known.
    pub fn write_safetensors(&self, path: impl AsRef<Path>) -> Result<()> {
        let least = self.recipe.divisor.least();
        let count = self.count.ok_or(Error::TooFew { found: 0, needed: least })?;
        let recipe = serde_json::to_string(&self.recipe).expect("a recipe is plain data");
        let metadata = BTreeMap::from([(RECIPE.into(), recipe), (COUNT.into(), count.to_string())]);
        let features = self.features.iter().map(|features| (FEATURES, features));
        let tensors = [("mu", &self.mean), ("sigma", &self.covariance)].into_iter().chain(features);
        Ok(tensor_file::write(path.as_ref(), tensors, &metadata)?)
    }

    /// The Gaussian to compare with.
    ///
    /// # Errors
    /// [`Error::OtherRecipe`] unless these statistics were made by `recipe`; those of [`FrechetReference::new`].
    pub fn for_recipe(&self, recipe: &Recipe) -> Result<FrechetReference> {
        recipe.require_same(&self.recipe)?;
        FrechetReference::new(&self.mean, &self.covariance)
    }

    fn checked(self) -> Result<Self> {
        let [mean, covariance] = [&self.mean, &self.covariance].map(Tensor::size);
        let expected = self.recipe.dim;
        match (&mean[..], &covariance[..]) {
            (&[d], &[rows, columns]) if (rows, columns) == (d, d) && d == expected => {}
            (&[found], &[rows, columns]) if (rows, columns) == (found, found) => {
                return Err(Error::Dimension { expected, found });
            }
            _ => return Err(Error::MomentShapes { mean, covariance }),
        }
        for (what, moment) in [("mean", &self.mean), ("covariance", &self.covariance)] {
            if moment.isfinite().all().int64_value(&[]) == 0 {
                return Err(Error::NonFiniteMoments { what });
            }
        }
        let host = |t: &Tensor| t.to_device(Device::Cpu);
        Ok(Self { mean: host(&self.mean), covariance: host(&self.covariance), ..self })
    }
}

fn bad(path: &Path, problem: ReferenceProblem) -> Error {
    Error::Reference { path: path.into(), problem: problem.into() }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into()
}
