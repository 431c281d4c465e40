//! What the statistics of two sets of features are.

use crate::{Boundary, Direction, Divisor, FD_INFINITY_POINTS, SetStatistic};
use diffusion_core::NoiseState;

impl SetStatistic {
    /// Full name and column label.
    pub fn name(self) -> [&'static str; 2] {
        match self {
            Self::Frechet => ["Fréchet distance", "FD"],
            Self::FdInfinity { .. } => ["Fréchet distance for infinitely many images", "FD∞"],
            Self::TorchFidelityKid { .. } => ["kernel distance (torch-fidelity)", "KID"],
            Self::StyleGanKid { .. } => ["kernel distance (StyleGAN)", "KID"],
            Self::Cmmd => ["maximum mean discrepancy with a Gaussian kernel", "CMMD"],
            Self::Precision { .. } => ["precision", "precision"],
            Self::Recall { .. } => ["recall", "recall"],
            Self::Density { .. } => ["density", "density"],
            Self::Coverage { .. } => ["coverage", "coverage"],
        }
    }

    /// The unit of the value.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Frechet | Self::FdInfinity { .. } => "squared feature value",
            Self::TorchFidelityKid { .. } | Self::StyleGanKid { .. } => "squared kernel mean",
            Self::Cmmd => "thousandth of a squared kernel mean",
            Self::Density { .. } => "balls over k",
            Self::Precision { .. } | Self::Recall { .. } | Self::Coverage { .. } => "share",
        }
    }

    /// Which values are good.
    pub fn direction(self) -> Direction {
        match self {
            Self::Precision { .. }
            | Self::Recall { .. }
            | Self::Density { .. }
            | Self::Coverage { .. } => Direction::HigherIsBetter,
            Self::Frechet
            | Self::FdInfinity { .. }
            | Self::TorchFidelityKid { .. }
            | Self::StyleGanKid { .. }
            | Self::Cmmd => Direction::LowerIsBetter,
        }
    }

    /// Everything beside the features that decides the value, with covariances by `divisor`.
    pub fn recipe(self, divisor: Divisor) -> String {
        match self {
            Self::Frechet => {
                format!("f64 covariances with divisor {divisor}, symmetric eigenvalues")
            }
            Self::FdInfinity { drawn_from } => format!(
                "f64 covariances with divisor {divisor}, line over 1 / n through {FD_INFINITY_POINTS} subsets {}",
                drawn(drawn_from)
            ),
            Self::TorchFidelityKid { subsets, size, seed } => {
                format!(
                    "(x·y / D + 1)³, unbiased; {subsets} subsets of {size}, NumPy seed {seed}; f64"
                )
            }
            Self::StyleGanKid { subsets, max_size, drawn_from } => format!(
                "(x·y / D + 1)³, unbiased; {subsets} subsets of at most {max_size} {}; f64",
                drawn(drawn_from)
            ),
            Self::Cmmd => "Gaussian kernel of width 10, with the diagonals; f64".into(),
            Self::Precision { k, boundary } | Self::Recall { k, boundary } => {
                format!("neighbor {k}, {boundary}; f64")
            }
            Self::Density { k } | Self::Coverage { k } => {
                format!("neighbor {k}, {}; f64", Boundary::Outside)
            }
        }
    }
}

fn drawn(NoiseState { seed, stream, draw }: NoiseState) -> String {
    format!("(seed {seed}, stream {stream:#x}, draw {draw})")
}
