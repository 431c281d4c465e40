//! Networks that are no denoisers, in files that say how to build them.

use crate::builder::Builder;
use crate::model_file::{check_size, read_described, write_described};
use crate::{
    AutoencoderKl, AutoencoderKlConfig, Error, Get, GetConfig, MlpSkipNet, MlpSkipNetConfig,
    Result, SemanticEncoder, SemanticEncoderConfig,
};
use diffusion_core::Parameters;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use tch::Device;

/// A network that is no denoiser: an autoencoder, an encoder, a generator of its own kind.
pub trait Module: Sized {
    /// What makes it.
    type Config: Serialize + DeserializeOwned;
    /// What its architecture is called in a file.
    const KIND: &'static str;

    /// A network whose weights are zero.
    ///
    /// # Errors
    /// If the configuration is impossible.
    fn zeroed(config: &Self::Config, device: Device) -> Result<Self>;

    /// Number of trained values, found without taking memory for them.
    ///
    /// # Errors
    /// If the configuration is impossible.
    fn parameter_count(config: &Self::Config) -> Result<u64>;

    /// The configuration it was built with.
    fn config(&self) -> &Self::Config;

    /// The named tensors, in the official order.
    fn parameters(&self) -> &Parameters;
}

/// Writes a module to the safetensors file `path`, and its configuration once more beside it as JSON: see
/// [`save`](crate::save).
///
/// # Errors
/// [`Error::Core`] if one of the files cannot be written; an existing file is then left as it was.
pub fn save_module<M: Module>(path: &Path, module: &M) -> Result<()> {
    let mut architecture = json!(module.config());
    architecture["kind"] = M::KIND.into();
    write_described(path, module.parameters(), &json!({ "architecture": architecture }))
}

/// Reads a module that [`save_module`] or the example `05_import_checkpoint` wrote.
///
/// # Errors
/// As [`load`](crate::load), and [`Error::OtherKind`] for the file of another network.
///
/// # Example
/// ```no_run
/// use unet::AutoencoderKl;
/// let path = std::path::Path::new("vae.safetensors");
/// let vae: AutoencoderKl = unet::load_module(path, tch::Device::Cpu)?;
/// # Ok::<(), unet::Error>(())
/// ```
pub fn load_module<M: Module>(path: &Path, device: Device) -> Result<M> {
    let (mut config, tensors) = read_described::<Value>(path)?;
    let mut architecture = config["architecture"].take();
    let kind = architecture.as_object_mut().and_then(|fields| fields.remove("kind"));
    if kind.as_ref().and_then(Value::as_str) != Some(M::KIND) {
        let found = kind.unwrap_or_default().to_string();
        return Err(Error::OtherKind { path: path.into(), found, expected: M::KIND });
    }
    let config: M::Config = serde_json::from_value(architecture)
        .map_err(|reason| Error::BadConfig { path: path.into(), reason })?;
    let fits = M::parameter_count(&config).and_then(|needs| check_size(needs, &tensors));
    let filled = fits.and_then(|()| {
        let module = M::zeroed(&config, device)?;
        module.parameters().load(tensors)?;
        Ok(module)
    });
    filled.map_err(|error| Error::BadModel { path: path.into(), reason: Box::new(error) })
}

macro_rules! modules {
    ($($kind:literal: $network:ident, $config:ident;)*) => {$(
        impl Module for $network {
            type Config = $config;
            const KIND: &'static str = $kind;

            fn zeroed(config: &$config, device: Device) -> Result<Self> {
                $network::zeroed(config, device)
            }

            fn parameter_count(config: &$config) -> Result<u64> {
                Ok($network::build(config, Builder::outline())?.parameters().count() as u64)
            }

            fn config(&self) -> &$config {
                $network::config(self)
            }

            fn parameters(&self) -> &Parameters {
                $network::parameters(self)
            }
        }
    )*};
}

modules! {
    "autoencoder-kl": AutoencoderKl, AutoencoderKlConfig;
    "semantic-encoder": SemanticEncoder, SemanticEncoderConfig;
    "mlp-skip-net": MlpSkipNet, MlpSkipNetConfig;
    "get": Get, GetConfig;
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::{Noise, tensor_file};
    use std::collections::BTreeMap;
    use tch::Tensor;

    #[test]
    fn a_module_comes_back_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latent.safetensors");
        let config = MlpSkipNetConfig { input_channel: 4, model_channel: 8, ..Default::default() };
        let network = MlpSkipNet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
        save_module(&path, &network).unwrap();
        let read: MlpSkipNet = load_module(&path, Device::Cpu).unwrap();
        let (x, t) = (Noise::new(2).normal(&[1, 4]), Tensor::from_slice(&[7f32]));
        assert_eq!(read.forward(&x, &t, None), network.forward(&x, &t, None));
        let error = load_module::<Get>(&path, Device::Cpu).unwrap_err();
        assert!(matches!(error, Error::OtherKind { expected: "get", .. }), "{error}");
        assert!(error.to_string().contains("mlp-skip-net"), "{error}");
        assert!(matches!(crate::load(&path, Device::Cpu), Err(Error::BadConfig { .. })));
    }

    #[test]
    fn a_configuration_of_a_huge_module_takes_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latent.safetensors");
        let architecture =
            json!({"kind": "mlp-skip-net", "model_channel": 1 << 16, "num_layers": 1 << 10}); // 18 TB
        let config = json!({ "architecture": architecture }).to_string();
        let tensors = [("w", &Noise::new(1).normal(&[2]))];
        tensor_file::write(&path, tensors, &BTreeMap::from([("config".into(), config)])).unwrap();
        let error = load_module::<MlpSkipNet>(&path, Device::Cpu).unwrap_err();
        assert!(error.to_string().contains("but the tensors have 2"), "{error}");
    }
}
