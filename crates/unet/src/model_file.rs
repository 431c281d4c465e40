//! Networks in files that say how to build them.

use crate::{Architecture, Error, Result, noise_table};
use diffusion_core::{Noise, Parameters, tensor_file};
use diffusion_schedule::{Network, Preconditioned, Preconditioning, SamplerConfig};
use libtorch_ext::process::release_freed_memory;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Tensor};

/// The metadata entry that holds the configuration.
const CONFIG: &str = "config";

/// Everything about a model but its weights.
///
/// # Example
/// ```
/// use unet::ModelConfig;
/// let json = r#"{
///     "architecture": {"kind": "song-unet", "img_resolution": 8, "model_channels": 8, "num_blocks": 1},
///     "preconditioning": {"kind": "edm"}
/// }"#;
/// let config: ModelConfig = serde_json::from_str(json).unwrap();
/// let network = config.build(&mut diffusion_core::Noise::new(1), tch::Device::Cpu)?;
/// assert!(network.parameters().count() > 10_000);
/// # Ok::<(), unet::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The raw network.
    pub architecture: Architecture,
    /// What it is wrapped in.
    pub preconditioning: Preconditioning,
    /// How it is meant to be sampled, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<SamplerConfig>,
}

impl ModelConfig {
    /// The configuration of a student with the same architecture: its own preconditioning, and how it is sampled.
    #[must_use]
    pub fn for_student(&self, student: &Network, sampler: SamplerConfig) -> Self {
        let preconditioning = student.preconditioning();
        Self { preconditioning, sampler: Some(sampler), ..self.clone() }
    }

    /// A network with fresh weights drawn from `noise`.
    ///
    /// # Errors
    /// If the configuration of architecture or preconditioning is impossible.
    pub fn build(&self, noise: &mut Noise, device: Device) -> Result<Network> {
        self.preconditioning.validate()?;
        let backbone = self.architecture.build(noise, device)?;
        Ok(Preconditioned::new(backbone, self.preconditioning))
    }

    /// Refuses an impossible preconditioning, and a network that is far larger than a file's `tensors`.
    fn check(&self, tensors: &[(String, Tensor)]) -> Result<()> {
        self.preconditioning.validate()?;
        check_size(self.architecture.parameter_count()?, tensors)
    }
}

/// Refuses a network that `needs` more than twice as many values as a file's `tensors` have, before it takes memory.
/// Smaller differences are found, and named, when the tensors are loaded.
pub(crate) fn check_size(needs: u64, tensors: &[(String, Tensor)]) -> Result<()> {
    let holds = tensors.iter().map(|(_, tensor)| tensor.numel() as u64).sum();
    if needs / 2 > holds { Err(Error::TooFewValues { needs, holds }) } else { Ok(()) }
}

/// Writes `parameters` and `config` to the safetensors file `path`, and `config` once more beside it as JSON.
///
/// The file is complete by itself: the configuration is its metadata entry `config`. The JSON file has the same name
/// with the ending `.json` and is for people; [`load`] does not read it. `parameters` may be an average of a network's
/// weights instead of the network's own.
///
/// # Errors
/// [`Error::Core`] if one of the files cannot be written; an existing file is then left as it was.
pub fn save(path: &Path, parameters: &Parameters, config: &ModelConfig) -> Result<()> {
    write_described(path, parameters, config)
}

/// Writes tensors with a configuration, which also goes beside them.
pub(crate) fn write_described(
    path: &Path,
    parameters: &Parameters,
    config: &impl Serialize,
) -> Result<()> {
    let json = serde_json::to_string_pretty(config).expect("a configuration is plain data");
    parameters.save(path, &BTreeMap::from([(CONFIG.to_owned(), json.clone())]))?;
    tensor_file::write_bytes(&path.with_extension("json"), format!("{json}\n").as_bytes())?;
    Ok(())
}

/// Reads tensors with their configuration.
pub(crate) fn read_described<C: DeserializeOwned>(
    path: &Path,
) -> Result<(C, Vec<(String, Tensor)>)> {
    let file = tensor_file::read(path)?;
    let json = file.metadata.get(CONFIG).ok_or_else(|| Error::NoConfig { path: path.into() })?;
    let config = serde_json::from_str(json)
        .map_err(|reason| Error::BadConfig { path: path.into(), reason })?;
    Ok((config, file.tensors))
}

/// Reads a model that [`save`] wrote.
///
/// Official tensors with a configuration added to them are read, too: the table `u` of `iDDPMPrecond`, which `save` does
/// not write, is compared with the preconditioning's and dropped.
///
/// # Errors
/// - [`Error::Core`] if the file cannot be read, is truncated or no safetensors file;
/// - [`Error::NoConfig`] or [`Error::BadConfig`] if its configuration is missing or cannot be understood;
/// - [`Error::BadModel`] if the configuration is impossible or that of a far larger network, names or shapes of the tensors are not
///   its network's, or `u` holds other noise levels than the preconditioning's.
pub fn load(path: &Path, device: Device) -> Result<(Network, ModelConfig)> {
    let (config, mut tensors) = read_described::<ModelConfig>(path)?;
    let filled = config.check(&tensors).and_then(|()| {
        let backbone = config.architecture.zeroed(device)?;
        let network = Preconditioned::new(backbone, config.preconditioning);
        noise_table::take_out(&mut tensors, &config.preconditioning)?;
        network.parameters().load(tensors)?;
        Ok(network)
    });
    let network =
        filled.map_err(|error| Error::BadModel { path: path.into(), reason: Box::new(error) })?;
    release_freed_memory(); // the file's tensors
    Ok((network, config))
}
