//! Diffusion U-Nets on libtorch with the official state-dict names.
//!
//! [`SongUnet`] is the raw network `F(x, c_noise)`; a preconditioning from `diffusion-schedule` around it makes a
//! denoiser. [`ModelConfig`] names such a pair, and [`save`] and [`load`] keep it in one safetensors file that says how
//! to build it again.
//!
//! # Example
//! ```
//! use diffusion_core::{Backbone, Cond, Noise};
//! use tch::{Device, Kind, Tensor};
//! use unet::{SongUnet, SongUnetConfig};
//!
//! let config = SongUnetConfig {
//!     img_resolution: 8,
//!     model_channels: 16,
//!     channel_mult: vec![1, 2],
//!     num_blocks: 1,
//!     attn_resolutions: vec![4],
//!     ..SongUnetConfig::default()
//! };
//! let network = SongUnet::new(&config, &mut Noise::new(1), Device::Cpu)?;
//! let x = Noise::new(2).normal(&[2, 3, 8, 8]);
//! let c_noise = Tensor::zeros([2], (Kind::Float, Device::Cpu));
//! assert_eq!(network.forward(&x, &c_noise, &Cond::none(), None).size(), [2, 3, 8, 8]);
//! # Ok::<(), unet::Error>(())
//! ```
#![forbid(unsafe_code)]

mod architecture;
mod autoencoder_kl;
mod blocks;
mod builder;
mod check;
mod diffusers;
mod error;
mod model_file;
mod song_unet;
mod unet_2d;
mod unet_2d_condition;

pub use architecture::Architecture;
pub use autoencoder_kl::{AutoencoderKl, AutoencoderKlConfig, LatentDistribution};
pub use diffusers::{PerBlock, TimeScaleShift};
pub use error::{Error, Result};
pub use model_file::{ModelConfig, load, save};
pub use song_unet::{DecoderType, EmbeddingType, EncoderType, SongUnet, SongUnetConfig};
pub use unet_2d::{Unet2d, Unet2dConfig};
pub use unet_2d_condition::{Unet2dCondition, Unet2dConditionConfig};
