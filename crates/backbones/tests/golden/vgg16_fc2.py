"""Writes `vgg16_fc2.safetensors`: features of torch-fidelity's extractor `vgg16` with weights by formula.

`python vgg16_fc2.py` with torch-fidelity 0.4.0, torchvision 0.26 and PyTorch 2.11.
"""

import tempfile
import zlib

import numpy as np
import torch
import torchvision
from safetensors.torch import save_file
from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16


def unit(name, count):
    """The numbers in [-1, 1) that belong to a name: `testkit::formula`."""
    z = np.arange(count, dtype=np.uint64) + np.uint64(((zlib.crc32(name.encode()) << 32) + 0x9E3779B97F4A7C15) % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return 2.0 * ((z >> np.uint64(40)) / 16777216.0) - 1.0


def value(name, tensor):
    """Matrices that keep the variance behind an activation, small biases."""
    u = unit(name, tensor.numel())
    if tensor.dim() > 1:
        matrix = (u * np.sqrt(3.0 / (tensor.numel() // tensor.shape[0]))).astype(np.float32)
        u = matrix.astype(np.float64) * np.sqrt(2.0)
    else:
        u = 0.1 * u
    return torch.from_numpy(u.astype(np.float32)).view(tensor.shape)


model = torchvision.models.vgg16()
weights = {name: value(name, tensor) for name, tensor in model.state_dict().items()}
with tempfile.NamedTemporaryFile() as file:
    torch.save(weights, file.name)
    layers = ["fc2", "fc2_relu"]
    extractor = FeatureExtractorVGG16("vgg16", layers, feature_extractor_weights_path=file.name)
images = torch.from_numpy((unit("images", 2 * 3 * 40 * 56) * 128 + 128).astype(np.uint8)).view(2, 3, 40, 56)
with torch.no_grad():
    before, after = extractor(images)
print(before.std(), after.std(), (before[0] - before[1]).std())
save_file({"images": images, "fc2_relu": after}, "vgg16_fc2.safetensors")
