"""Writes `inception_style_gan.safetensors` and `../state_dicts/inception_style_gan.txt`.

Inception-v3 with the names of NVIDIA's `inception-2015-12-05.pt`, which follow the TensorFlow graph, and weights by formula:
its features of images of bytes, resized inside as TensorFlow 1 did. `python inception_style_gan.py [MODULE.pt]` with
PyTorch 2.11; with an argument the traced module is saved there, as that file was.
"""

import sys
from collections import OrderedDict

import torch
import torch.nn.functional as F
from formula import pictures, value
from safetensors.torch import save_file
from torch import nn


class Layer(nn.Module):
    def __init__(self, channels, to, size, stride=1, same=True):
        super().__init__()
        height, width = size if isinstance(size, tuple) else (size, size)
        self.stride = stride
        self.padding = (height // 2, width // 2) if same else (0, 0)
        self.weight = nn.Parameter(torch.empty(to, channels, height, width))
        for name in ["beta", "mean", "var"]:
            self.register_buffer(name, torch.empty(to))

    def forward(self, x):
        x = F.conv2d(x, self.weight, stride=self.stride, padding=self.padding)
        return F.batch_norm(x, self.mean, self.var, bias=self.beta, eps=1e-3).relu()


class Tower(nn.Sequential):
    """Layers `conv`, `conv_1`, …, each `(channels, size)` and further arguments of the layer; perhaps a pooling before."""

    def __init__(self, channels, rows, pool=None):
        layers = OrderedDict([("pool", pool)] if pool else [])
        for number, (to, size, *more) in enumerate(rows):
            layers[f"conv_{number}" if number else "conv"] = Layer(channels, to, size, *more)
            channels = to
        super().__init__(layers)


class Towers(nn.Module):
    """A layer `conv`, then towers `tower`, `tower_1`, …, or a tower for each list of rows, then a pooling."""

    def __init__(self, channels, conv, towers, tail):
        super().__init__()
        if conv:
            self.conv = Layer(channels, *conv)
        for number, rows in enumerate(towers):
            pool = mean_pool() if tail == "tower" and number == len(towers) - 1 else None
            self.add_module(f"tower_{number}" if number else "tower", Tower(channels, rows, pool))
        if tail == "pool":
            self.pool = nn.MaxPool2d(3, 2)

    def forward(self, x):
        return torch.cat([child(x) for child in self.children()], 1)


class Fork(nn.Module):
    def __init__(self, channels, pool):
        super().__init__()
        self.conv = Layer(channels, 320, 1)
        self.tower_conv = Layer(channels, 384, 1)
        self.tower_mixed_conv = Layer(384, 384, (1, 3))
        self.tower_mixed_conv_1 = Layer(384, 384, (3, 1))
        self.tower_1_conv = Layer(channels, 448, 1)
        self.tower_1_conv_1 = Layer(448, 384, 3)
        self.tower_1_mixed_conv = Layer(384, 384, (1, 3))
        self.tower_1_mixed_conv_1 = Layer(384, 384, (3, 1))
        self.tower_2_pool = pool
        self.tower_2_conv = Layer(channels, 192, 1)

    def forward(self, x):
        a, b = self.tower_conv(x), self.tower_1_conv_1(self.tower_1_conv(x))
        forks = [self.tower_mixed_conv(a), self.tower_mixed_conv_1(a), self.tower_1_mixed_conv(b), self.tower_1_mixed_conv_1(b)]
        return torch.cat([self.conv(x), *forks, self.tower_2_conv(self.tower_2_pool(x))], 1)


def mean_pool():
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def fine(channels, pooled):
    towers = [[(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)], [(pooled, 1)]]
    return Towers(channels, (64, 1), towers, "tower")


def middle(n):
    wide, tall = (1, 7), (7, 1)
    double = [(n, 1), (n, tall), (n, wide), (n, tall), (192, wide)]
    return Towers(768, (192, 1), [[(n, 1), (n, wide), (192, tall)], double, [(192, 1)]], "tower")


def fine_to_middle():
    return Towers(288, (384, 3, 2, False), [[(64, 1), (96, 3), (96, 3, 2, False)]], "pool")


def middle_to_coarse():
    second = [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2, False)]
    return Towers(768, None, [[(192, 1), (320, 3, 2, False)], second], "pool")


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        stem = [Layer(3, 32, 3, 2, False), Layer(32, 32, 3, 1, False), Layer(32, 64, 3), Layer(64, 80, 1), Layer(80, 192, 3, 1, False)]
        blocks = [fine(192, 32), fine(256, 64), fine(288, 64), fine_to_middle(), *map(middle, [128, 160, 160, 192])]
        blocks += [middle_to_coarse(), Fork(1280, mean_pool()), Fork(2048, nn.MaxPool2d(3, 1, 1))]
        layers = [(f"conv_{i}" if i else "conv", layer) for i, layer in enumerate(stem)]
        layers.insert(3, ("pool0", nn.MaxPool2d(3, 2)))
        layers.append(("pool1", nn.MaxPool2d(3, 2)))
        layers += [(f"mixed_{i}" if i else "mixed", block) for i, block in enumerate(blocks)]
        self.layers = nn.Sequential(OrderedDict(layers))
        self.output = nn.Linear(2048, 1008)

    def forward(self, images):
        x = images.float()
        shift = torch.tensor([1 / x.shape[3] - 1 / 299, 1 / x.shape[2] - 1 / 299])
        grid = torch.cat([torch.eye(2), shift[:, None]], 1)[None].repeat(x.shape[0], 1, 1)
        grid = F.affine_grid(grid, [x.shape[0], 3, 299, 299], align_corners=False)
        x = F.grid_sample(x, grid, "bilinear", "border", align_corners=False)
        features = self.layers((x - 128) / 128).mean([2, 3])
        return features, F.linear(features, self.output.weight)


network = Inception().eval()
network.load_state_dict({name: value(name, tensor) for name, tensor in network.state_dict().items()})
images = pictures()
with torch.no_grad():
    features, logits = network(images)
print(features.std(), (features[0] - features[1]).std(), logits.std())
golden = {"images": images, "pool3": features, "logits_without_bias": logits}
save_file(golden, "inception_style_gan.safetensors")
with open("../state_dicts/inception_style_gan.txt", "w") as file:
    for name, tensor in network.state_dict().items():
        file.write(f"{name} {list(tensor.shape)} float32\n")
if len(sys.argv) > 1:
    torch.jit.save(torch.jit.trace(network, images), sys.argv[1])
