"""What all programs measure: two folders of pictures, and one file of Inception's weights."""

import os

import numpy as np
import torch
from PIL import Image
from pytorch_fid.inception import FIDInceptionA, FIDInceptionC, FIDInceptionE_1, FIDInceptionE_2, _inception_v3


def pictures(folder, count, size, seed):
    """Smooth color fields with noise on top: PNG files such as `00000.png`."""
    os.makedirs(folder)
    random = np.random.default_rng(seed)
    for index in range(count):
        coarse = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((size, size), Image.BICUBIC), dtype=np.float32)
        picture = smooth + random.normal(0, 4 + 12 * seed, smooth.shape)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(os.path.join(folder, f"{index:05}.png"))


def weights(file):
    """Random weights under the published names; statistics of the norms are measured, so that activations keep their scale."""
    torch.manual_seed(0)
    network = _inception_v3(num_classes=1008, aux_logits=False, weights=None)
    network.Mixed_5b = FIDInceptionA(192, pool_features=32)
    network.Mixed_5c = FIDInceptionA(256, pool_features=64)
    network.Mixed_5d = FIDInceptionA(288, pool_features=64)
    network.Mixed_6b = FIDInceptionC(768, channels_7x7=128)
    network.Mixed_6c = FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6d = FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6e = FIDInceptionC(768, channels_7x7=192)
    network.Mixed_7b = FIDInceptionE_1(1280)
    network.Mixed_7c = FIDInceptionE_2(2048)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(8, 3, 299, 299) * 2 - 1)
    # The published features are about this large. pytorch-fid takes rounding for an error where they are larger.
    for module in network.Mixed_7c.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.fill_(0.3)
    tensors = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    torch.save(tensors, file)
