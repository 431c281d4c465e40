//! Distances between image distributions, and latency.
//!
//! A distance between sets of images is only as good as its recipe: how images become bytes, which network makes the
//! features, how many images there are, which estimator is used. Every value here therefore comes with its recipe
//! ([`MetricInfo`]), and values of different recipes never share a column of a [`table`].
//!
//! - A [`Metric`] streams: images arrive in batches, statistics are f64, the reference is fixed at construction.
//! - [`FeatureFrechet`] is the Fréchet distance in the features of any [`FeatureExtractor`]. The one extractor that
//!   needs no download is [`RandomConvFeatures`]; its distance, [`RandomFeatureFrechet`], ranks generators on small
//!   data and **is not FID**.
//! - A [`Recipe`] says how the features of a published distance are made ([`Recipe::EDM_FID`], [`Recipe::CLEAN_FID`],
//!   …); with the network it names it is an extractor, [`RecipeFeatures`]. [`ReferenceStats`] are statistics of real
//!   images in files, refused if another recipe made them.
//! - A [`FeatureSet`] keeps features, so that one pass of the network gives every [`SetStatistic`] (KID, precision and
//!   recall, density and coverage, CMMD, FD∞) and the [`InceptionScore`].
//! - A [`Classifier`] of the data set says whether it knows what it sees, how many classes there are, and whether images
//!   show what they were made for.
//! - [`PixelSlicedWasserstein`] compares pixels, without any network.
//! - The parts are functions on tensors, for use with other features: [`GaussianStats`], [`frechet_distance`],
//!   [`FdInfinity`], [`KernelDistance`], [`PrecisionRecall`], [`DensityCoverage`], [`cmmd`], [`clip_score`], [`sliced_wasserstein`], [`Diversity`]; and
//!   for use with other networks: [`ByteRule`], [`ByteScale`], [`Resize`], [`Scaling`].
//! - [`measure`] times a generator; [`Evaluation`] generates, times and measures, and yields a [`Report`].
//!
//! This crate knows nothing of the networks that are trained: it sees a generator through
//! [`diffusion_core::Generator`].
//!
//! # Which distance?
//!
//! The sliced Wasserstein distance of pixels sees colors and layout, is an honest distance (zero only for equal
//! distributions) and costs a sort; it is nearly blind to fine texture. The Fréchet distance sees the mean and the
//! covariance of features; what they miss, it misses. Both are biased upwards for finite sets: always measure
//! held-out real images in equal number too ([`Evaluation::real`]). Their value is the floor.
//!
//! # Example
//! ```
//! use diffusion_core::Noise;
//! use metrics::{Metric, RandomConvFeatures, RandomFeatureFrechet, PixelSlicedWasserstein};
//! use tch::Device;
//!
//! let mut noise = Noise::new(0);
//! let real = noise.uniform(&[96, 3, 16, 16]) - 0.5;
//! let fake = noise.uniform(&[64, 3, 16, 16]) * 0.5 - 0.5; // darker, with less contrast
//!
//! let net = RandomConvFeatures::new(Device::Cpu);
//! let metrics: [Box<dyn Metric>; 2] = [
//!     Box::new(RandomFeatureFrechet::from_images(net, &real, 32)?),
//!     Box::new(PixelSlicedWasserstein::new(&real, 64, &mut noise)?),
//! ];
//! for mut metric in metrics {
//!     for batch in fake.split(32, 0) {
//!         metric.update(&batch)?;
//!     }
//!     let far = metric.value()?;
//!     metric.reset();
//!     metric.update(&real)?;
//!     assert!(metric.value()? < 1e-6 && far > 0.05, "{}: {far}", metric.info().name);
//! }
//! # Ok::<(), metrics::Error>(())
//! ```
#![forbid(unsafe_code)]

mod byte_rule;
mod byte_scale;
mod classifier;
mod clip_score;
mod diversity;
mod divisor;
mod error;
mod evaluation;
mod fd_infinity;
mod feature_extractor;
mod feature_frechet;
mod feature_set;
mod frechet;
mod gaussian_mmd;
mod gaussian_stats;
mod image_shape;
mod inception_score;
mod kernel_distance;
mod latency;
mod manifold;
mod metric;
mod neighbors;
mod numpy_random;
mod pairwise;
mod pixel_sliced_wasserstein;
mod precision_recall;
mod random_features;
mod recipe;
mod reference;
mod report;
mod resize;
mod screened;
mod set_statistic;
mod sliced_wasserstein;
mod statistic_info;

pub use byte_rule::ByteRule;
pub use byte_scale::ByteScale;
pub use classifier::{Classifier, label_agreement, predicted_classes};
pub use clip_score::clip_score;
pub use diversity::{Diversity, DiversityPairs};
pub use divisor::Divisor;
pub use error::{Error, Result};
pub use evaluation::{Evaluated, Evaluation};
pub use fd_infinity::{FD_INFINITY_POINTS, FdInfinity, fd_infinity_sizes, fd_infinity_subsets};
pub use feature_extractor::FeatureExtractor;
pub use feature_frechet::FeatureFrechet;
pub use feature_set::FeatureSet;
pub use frechet::{FrechetReference, frechet_distance, frechet_distance_of_moments};
pub use gaussian_mmd::{CMMD_SIGMA, cmmd};
pub use gaussian_stats::GaussianStats;
pub use image_shape::ImageShape;
pub use inception_score::{InceptionScore, ScoreSplits};
pub use kernel_distance::{KernelDistance, KernelSubsets, polynomial_mmd};
pub use latency::{Latency, measure};
pub use manifold::Boundary;
pub use metric::{Direction, Metric, MetricInfo};
pub use neighbors::neighbor_radii;
pub use numpy_random::{NumpyRandom, edm_subset};
pub use pixel_sliced_wasserstein::PixelSlicedWasserstein;
pub use precision_recall::{DensityCoverage, PrecisionRecall};
pub use random_features::{RandomConvFeatures, RandomFeatureFrechet};
pub use recipe::{FeatureNetwork, Recipe, RecipeFeatures, Scaling};
pub use reference::{ReferenceProblem, ReferenceStats};
pub use report::{Measurement, Report, table};
pub use resize::Resize;
pub use set_statistic::SetStatistic;
pub use sliced_wasserstein::{
    Order, random_directions, sliced_wasserstein, sliced_wasserstein_approximation,
};
