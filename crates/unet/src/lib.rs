//! Diffusion U-Nets on libtorch with the official state-dict names.
//!
//! | network | published as |
//! |---|---|
//! | [`SongUnet`] | DDPM++ and NCSN++ by EDM, SiD, GDD |
//! | [`DhariwalUnet`] | ADM by EDM |
//! | [`GuidedUnet`] | ADM by guided-diffusion and `consistency_models` |
//! | [`ShiftUnet`] | the student of SFERD and PDAE |
//! | [`Unet2d`], [`Unet2dCondition`] | DDPM, Stable Diffusion 1, 2, XL and LCM by diffusers |
//! | [`AutoencoderKl`], [`SemanticEncoder`], [`MlpSkipNet`], [`Get`] | networks that are no denoisers: [`Module`] |
//!
//! The first five rows are raw networks `F(x, c_noise)`; a preconditioning from `diffusion-schedule` around one makes a
//! denoiser. [`ModelConfig`] names such a pair, and [`save`] and [`load`] keep it in one safetensors file that says how to
//! build it again; [`save_module`] and [`load_module`] do that for the others. Features can be seen
//! ([`FeatureTaps`](diffusion_core::FeatureTaps)), attention maps seen and replaced
//! ([`AttentionTaps`](diffusion_core::AttentionTaps)).
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
mod capabilities;
mod check;
mod dhariwal_unet;
mod diffusers;
mod embedded;
mod error;
mod get;
mod guided_unet;
mod log_var;
mod mlp_skip_net;
mod model_file;
mod module_file;
mod noise_table;
mod semantic_encoder;
mod shift_unet;
mod song_unet;
mod trunk;
mod unet_2d;
mod unet_2d_condition;
mod with_target;

pub use architecture::Architecture;
pub use autoencoder_kl::{AutoencoderKl, AutoencoderKlConfig, LatentDistribution};
pub use dhariwal_unet::{DhariwalUnet, DhariwalUnetConfig};
pub use diffusers::{PerBlock, TimeScaleShift};
pub use embedded::Embedded;
pub use error::{Error, Result};
pub use get::{FixedPoint, Get, GetConfig, Solution};
pub use guided_unet::{GuidedFlavor, GuidedUnet, GuidedUnetConfig};
pub use log_var::WithLogVar;
pub use mlp_skip_net::{MlpSkipNet, MlpSkipNetConfig};
pub use model_file::{ModelConfig, load, save};
pub use module_file::{Module, load_module, save_module};
pub use semantic_encoder::{SemanticEncoder, SemanticEncoderConfig};
pub use shift_unet::{ShiftUnet, ShiftUnetConfig};
pub use song_unet::{EmbeddingType, SongUnet, SongUnetConfig};
pub use trunk::{DecoderType, EncoderType};
pub use unet_2d::{Unet2d, Unet2dConfig};
pub use unet_2d_condition::{Unet2dCondition, Unet2dConditionConfig};
pub use with_target::WithTarget;
