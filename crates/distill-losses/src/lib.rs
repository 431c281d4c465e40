//! Diffusion distillation methods: each loss a formula, each method one file.
