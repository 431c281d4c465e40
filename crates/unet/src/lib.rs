//! Diffusion U-Nets on libtorch with the official state-dict names.
