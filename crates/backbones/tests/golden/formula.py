"""Weights and images by formula: what `testkit::formula` makes of a name."""

import zlib

import numpy as np
import torch


def unit(name, count):
    """The numbers in [-1, 1) that belong to a name: `testkit::formula`."""
    z = np.arange(count, dtype=np.uint64) + np.uint64(((zlib.crc32(name.encode()) << 32) + 0x9E3779B97F4A7C15) % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return 2.0 * ((z >> np.uint64(40)) / 16777216.0) - 1.0


def value(name, tensor):
    """Matrices that keep the variance behind an activation, variances near 1, the rest near 0."""
    u = unit(name, tensor.numel())
    if tensor.dim() > 1:
        matrix = (u * np.sqrt(3.0 / (tensor.numel() // tensor.shape[0]))).astype(np.float32)
        u = (matrix.astype(np.float64) * np.sqrt(2.0)).astype(np.float32)
    else:
        u = (0.1 * u).astype(np.float32) + np.float32(name.endswith(".var"))
    return torch.from_numpy(u).view(tensor.shape)


def pictures():
    """Two images of bytes, 40 by 56."""
    return torch.from_numpy((unit("images", 2 * 3 * 40 * 56) * 128 + 128).astype(np.uint8)).view(2, 3, 40, 56)
