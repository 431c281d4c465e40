//! Noise levels of diffusion models and moving between them: grids, densities, weightings, preconditionings, solvers, samplers.
