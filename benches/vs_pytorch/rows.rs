//! What is compared: networks, rows, and the ways to use PyTorch.

use crate::protocol::{Adam, Configuration, Kind};
use crate::small::small;
use crate::tiny::tiny;
use fewstep::unet::SongUnetConfig;

/// A network that rows run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Net {
    /// The quickstart's, 16 × 16, 16 channels, 0.2 M parameters: overhead counts, not arithmetic.
    Tiny,
    /// What two cores can train on CIFAR-10: 32 × 32, 32 channels, 1.8 M parameters.
    Small,
    /// 64 channels, 11 M parameters.
    Medium,
    /// EDM's DDPM++ for CIFAR-10: 128 channels, 55.7 M parameters.
    Full,
}

impl Net {
    pub(crate) const ALL: [Self; 4] = [Self::Tiny, Self::Small, Self::Medium, Self::Full];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Full => "full",
        }
    }

    pub(crate) fn config(self) -> SongUnetConfig {
        match self {
            Self::Tiny => tiny(),
            Self::Small => small(10),
            Self::Medium => {
                SongUnetConfig { model_channels: 64, num_blocks: 3, ..SongUnetConfig::cifar10(0) }
            }
            Self::Full => SongUnetConfig::cifar10(0),
        }
    }
}

/// A line of the comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) net: Net,
    pub(crate) kind: Kind,
    pub(crate) batch: i64,
}

const fn row(net: Net, kind: Kind, batch: i64) -> Row {
    Row { net, kind, batch }
}

pub(crate) const ROWS: [Row; 15] = [
    row(Net::Tiny, Kind::Forward, 2),
    row(Net::Tiny, Kind::Teacher, 2),
    row(Net::Tiny, Kind::Sid, 2),
    row(Net::Tiny, Kind::Cd, 2),
    row(Net::Small, Kind::Forward, 16),
    row(Net::Small, Kind::Teacher, 16),
    row(Net::Small, Kind::Sid, 16),
    row(Net::Small, Kind::Cd, 16),
    row(Net::Small, Kind::Generate, 1),
    row(Net::Medium, Kind::Teacher, 4),
    row(Net::Medium, Kind::Optimizer, 1),
    row(Net::Full, Kind::Forward, 1),
    row(Net::Full, Kind::Generate, 1),
    row(Net::Full, Kind::Teacher, 4),
    row(Net::Full, Kind::Optimizer, 1),
];

impl Row {
    /// Such as `small/teacher/b16`.
    pub(crate) fn name(&self) -> String {
        let kind = format!("{:?}", self.kind).to_lowercase();
        format!("{}/{kind}/b{}", self.net.name(), self.batch)
    }

    /// In the tiny network more threads only wait for each other, on both sides.
    pub(crate) fn threads(&self, asked: usize) -> usize {
        if self.net == Net::Tiny { 1 } else { asked }
    }

    /// Whether the arithmetic of the network plays a part.
    pub(crate) fn has_precision(&self) -> bool {
        self.kind != Kind::Optimizer
    }

    /// The ways to use PyTorch, the one of most programs first.
    pub(crate) fn configurations(&self, compiled: bool) -> Vec<Configuration> {
        let with = |adam, channels_last, compile| Configuration { adam, channels_last, compile };
        let mut all = match self.kind {
            Kind::Forward | Kind::Generate => vec![
                with(Adam::Default, false, false),
                with(Adam::Default, true, false),
                with(Adam::Default, false, true),
                with(Adam::Default, true, true),
            ],
            Kind::Optimizer => vec![
                with(Adam::Default, false, false),
                with(Adam::Foreach, false, false),
                with(Adam::Fused, false, false),
            ],
            Kind::Teacher | Kind::Cd | Kind::Sid => vec![
                with(Adam::Default, false, false),
                with(Adam::Foreach, false, false),
                with(Adam::Fused, false, false),
                with(Adam::Fused, true, false),
                with(Adam::Fused, false, true),
                with(Adam::Fused, true, true),
            ],
        };
        all.retain(|configuration| compiled || !configuration.compile);
        all
    }
}

impl Configuration {
    /// Such as `compile, channels last, fused`.
    pub(crate) fn name(&self, kind: Kind) -> String {
        let mut words = match kind {
            Kind::Optimizer => vec![],
            _ => vec![if self.compile { "compile" } else { "eager" }],
        };
        if self.channels_last {
            words.push("channels last");
        }
        if !matches!(kind, Kind::Forward | Kind::Generate) {
            words.push(match self.adam {
                Adam::Default => "default Adam",
                Adam::Foreach => "foreach",
                Adam::Fused => "fused",
            });
        }
        words.join(", ")
    }
}
