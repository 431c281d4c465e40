//! Distances between image distributions, and latency.
