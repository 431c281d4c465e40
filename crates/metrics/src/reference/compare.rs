//! Statistics of features against a reference.

use super::ReferenceStats;
use crate::fd_infinity_subsets;
use crate::feature_frechet::frechet_info;
use crate::{
    Error, FdInfinity, GaussianStats, Measurement, MetricInfo, Recipe, Result, SetStatistic,
};
use diffusion_core::Noise;
use tch::Tensor;

impl ReferenceStats {
    /// What `statistic` of `n` images, with features by `recipe`, against this reference is: known before it is measured.
    pub fn info(&self, recipe: &Recipe, statistic: SetStatistic, n: i64) -> MetricInfo {
        if statistic == SetStatistic::Frechet {
            let names = recipe.distance.clone().map(String::from);
            return frechet_info(
                names,
                &recipe.to_string(),
                recipe.dim,
                recipe.divisor,
                &self.origin,
            );
        }
        let [name, label] = statistic.name().map(String::from);
        let estimator = statistic.recipe(recipe.divisor);
        let against = match &self.features {
            Some(features) if statistic.needs_features() => {
                format!("{n} against {} images, {}", features.size()[0], self.origin)
            }
            _ => format!("{n} images, {}", self.origin),
        };
        MetricInfo {
            name,
            label,
            unit: statistic.unit().into(),
            direction: statistic.direction(),
            recipe: format!("{recipe}; {estimator}; {against}"),
        }
    }

    /// Statistics of `features` by `recipe`, `[N, D]`, in their order; those that look for neighbors share one pass over the
    /// pairs.
    ///
    /// # Errors
    /// - [`Error::OtherRecipe`] if this reference was made by another recipe;
    /// - [`Error::MomentsOnly`] for a statistic that needs the features of real images, if the reference has none;
    /// - those of [`SetStatistic::of`].
    ///
    /// # Example
    /// ```
    /// use metrics::{GaussianStats, Recipe, ReferenceStats, SetStatistic};
    /// let recipe = Recipe { dim: 4, ..Recipe::EDM_FID };
    /// let real = diffusion_core::Noise::new(0).normal(&[50, 4]);
    /// let moments = ReferenceStats::of(&GaussianStats::of(&real)?, recipe.clone())?;
    /// let density = SetStatistic::Density { k: 5 };
    /// let error = moments.compare(&recipe, &real, &[density]).unwrap_err();
    /// assert!(error.to_string().contains("density needs the features of the real images"));
    ///
    /// let both = moments.with_features(&real)?.compare(&recipe, &real, &[SetStatistic::Frechet, density])?;
    /// assert!(both[0].value.abs() < 1e-9 && both[1].value == 1.0);
    /// # Ok::<(), metrics::Error>(())
    /// ```
    pub fn compare(
        &self,
        recipe: &Recipe,
        features: &Tensor,
        statistics: &[SetStatistic],
    ) -> Result<Vec<Measurement>> {
        self.require(recipe, statistics)?;
        let n = features.size().first().copied().unwrap_or(0);
        let of_sets: Vec<SetStatistic> =
            statistics.iter().copied().filter(|statistic| statistic.needs_features()).collect();
        let found = match &self.features {
            Some(real) => SetStatistic::all_of(&of_sets, real, features, recipe.divisor)?,
            None => Vec::new(),
        };
        let mut found = found.into_iter();
        let value = |&statistic: &SetStatistic| {
            let value = match statistic.needs_features() {
                true => found.next().expect("every statistic of sets was computed"),
                false => self.of_moments(recipe, features, statistic)?,
            };
            Ok(Measurement { info: self.info(recipe, statistic, n), value })
        };
        statistics.iter().map(value).collect()
    }

    /// Checks that `statistics` of features by `recipe` can be compared with this reference.
    ///
    /// # Errors
    /// [`Error::OtherRecipe`], [`Error::MomentsOnly`].
    pub fn require(&self, recipe: &Recipe, statistics: &[SetStatistic]) -> Result<()> {
        recipe.require_same(&self.recipe)?;
        let wanting = statistics.iter().find(|statistic| statistic.needs_features());
        match wanting.filter(|_| self.features.is_none()) {
            Some(statistic) => Err(Error::MomentsOnly {
                statistic: statistic.name()[1],
                reference: self.origin.clone(),
            }),
            None => Ok(()),
        }
    }

    fn of_moments(
        &self,
        recipe: &Recipe,
        features: &Tensor,
        statistic: SetStatistic,
    ) -> Result<f64> {
        let (real, divisor) = (self.for_recipe(recipe)?, recipe.divisor);
        if let SetStatistic::FdInfinity { drawn_from } = statistic {
            let n = features.size().first().copied().unwrap_or(0);
            let subsets = fd_infinity_subsets(n, &mut Noise::from_state(drawn_from));
            return Ok(FdInfinity::of_subsets(&real, features, &subsets, divisor)?.value);
        }
        let stats = GaussianStats::of(features)?;
        real.distance(&stats.mean()?, &stats.covariance_by(divisor)?)
    }
}
