//! The networks that diffusers publishes: their configurations, their state dicts, and what cannot be built.

mod autoencoder_kl;
mod published;
mod refused;
mod unet_2d_condition;
