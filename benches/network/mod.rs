//! What several benches share: a small network, and the names of sizes.

mod build;
mod tiny;

pub(crate) use build::build;
pub(crate) use tiny::tiny;

use fewstep::prelude::*;
use fewstep::tch::Cuda;

/// The part of an id that names the sizes, such as `16x16/c16/b2`.
pub(crate) fn size(config: &SongUnetConfig, batch: i64) -> String {
    let SongUnetConfig { img_resolution: side, model_channels: channels, .. } = config;
    format!("{side}x{side}/c{channels}/b{batch}")
}

/// One class label per image, in turn; nothing for a network without classes.
pub(crate) fn classes(config: &SongUnetConfig, batch: i64, device: Device) -> Cond {
    let labels: Vec<i64> = (0..batch).map(|i| i % config.label_dim.max(1)).collect();
    Cond::classes(&labels, config.label_dim, device)
        .expect("labels are below the number of classes")
}

/// Waits until the device has done all it was asked to do.
pub(crate) fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}
