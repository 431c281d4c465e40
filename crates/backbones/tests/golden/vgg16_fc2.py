"""Writes `vgg16_fc2.safetensors`: features of torch-fidelity's extractor `vgg16` with weights by formula.

`python vgg16_fc2.py` with torch-fidelity 0.4.0, torchvision 0.26 and PyTorch 2.11.
"""

import tempfile

import torch
import torchvision
from formula import pictures, value
from safetensors.torch import save_file
from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16


model = torchvision.models.vgg16()
weights = {name: value(name, tensor) for name, tensor in model.state_dict().items()}
with tempfile.NamedTemporaryFile() as file:
    torch.save(weights, file.name)
    layers = ["fc2", "fc2_relu"]
    extractor = FeatureExtractorVGG16("vgg16", layers, feature_extractor_weights_path=file.name)
images = pictures()
with torch.no_grad():
    before, after = extractor(images)
print(before.std(), after.std(), (before[0] - before[1]).std())
save_file({"images": images, "fc2_relu": after}, "vgg16_fc2.safetensors")
