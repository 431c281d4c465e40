//! What is measured, by name.

use anyhow::{Result, bail, ensure};
use fewstep::metrics::{Boundary, Recipe, ScoreSplits, SetStatistic};
use fewstep::prelude::*;

/// The neighbor of precision and recall in Kynkäänniemi et al. and in StyleGAN, ADM, torch-fidelity.
const K_PRECISION: i64 = 3;
/// The neighbor of density and coverage in Naeem et al.
const K_DENSITY: i64 = 5;

/// One number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wanted {
    /// Of features, against a reference.
    Statistic(SetStatistic),
    /// Of a classifier's outputs.
    Score(ScoreSplits),
    /// The mean LPIPS of pairs.
    LpipsDiversity,
}

struct Named {
    name: &'static str,
    make: fn(k: Option<i64>) -> Wanted,
}

const METRICS: &[Named] = &[
    Named { name: "fid", make: |_| Wanted::Statistic(SetStatistic::Frechet) },
    Named {
        name: "fd-infinity",
        make: |_| {
            let drawn_from = Noise::new(0).state();
            Wanted::Statistic(SetStatistic::FdInfinity { drawn_from })
        },
    },
    Named { name: "kid", make: |_| Wanted::Statistic(SetStatistic::TORCH_FIDELITY_KID) },
    Named { name: "kid-stylegan", make: |_| Wanted::Statistic(SetStatistic::style_gan_kid(0)) },
    Named { name: "cmmd", make: |_| Wanted::Statistic(SetStatistic::Cmmd) },
    Named {
        name: "precision",
        make: |k| {
            let (k, boundary) = (k.unwrap_or(K_PRECISION), Boundary::Inside);
            Wanted::Statistic(SetStatistic::Precision { k, boundary })
        },
    },
    Named {
        name: "recall",
        make: |k| {
            let (k, boundary) = (k.unwrap_or(K_PRECISION), Boundary::Inside);
            Wanted::Statistic(SetStatistic::Recall { k, boundary })
        },
    },
    Named {
        name: "density",
        make: |k| Wanted::Statistic(SetStatistic::Density { k: k.unwrap_or(K_DENSITY) }),
    },
    Named {
        name: "coverage",
        make: |k| Wanted::Statistic(SetStatistic::Coverage { k: k.unwrap_or(K_DENSITY) }),
    },
    Named { name: "is", make: |_| Wanted::Score(ScoreSplits::TORCH_FIDELITY) },
    Named { name: "is-stylegan", make: |_| Wanted::Score(ScoreSplits::STYLE_GAN) },
    Named { name: "is-adm", make: |_| Wanted::Score(ScoreSplits::ADM) },
    Named { name: "lpips-diversity", make: |_| Wanted::LpipsDiversity },
];

impl Wanted {
    /// What the names ask for; without any, what the recipe is known for.
    pub(crate) fn parse(names: &[String], recipe: &Recipe, k: Option<i64>) -> Result<Vec<Self>> {
        let usual = match &*recipe.name {
            "CMMD" => "cmmd",
            "Inception Score" => "is",
            _ => "fid",
        };
        let names: Vec<&str> = match names {
            [] => vec![usual],
            names => names.iter().map(String::as_str).collect(),
        };
        let mut all = Vec::new();
        for name in names {
            let Some(named) = METRICS.iter().find(|named| named.name == name) else {
                let known: Vec<_> = METRICS.iter().map(|named| named.name).collect();
                bail!("there is no metric `{name}`; there are {}", known.join(", "));
            };
            let wanted = (named.make)(k);
            if wanted == Self::Statistic(SetStatistic::Cmmd) {
                let same = recipe.require_same(&Recipe::CMMD).is_ok();
                ensure!(same, "`cmmd` is one of CLIP embeddings: give `--recipe CMMD`");
            }
            if !all.contains(&wanted) {
                all.push(wanted);
            }
        }
        Ok(all)
    }

    /// The statistic, if it is one.
    pub(crate) fn statistic(self) -> Option<SetStatistic> {
        match self {
            Self::Statistic(statistic) => Some(statistic),
            _ => None,
        }
    }

    /// Whether features of all images must be kept for it.
    pub(crate) fn keeps_features(self) -> bool {
        match self {
            Self::Statistic(statistic) => statistic != SetStatistic::Frechet,
            Self::Score(_) => true,
            Self::LpipsDiversity => false,
        }
    }
}
