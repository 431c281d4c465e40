"""DDPM++ inside its preconditioning. Names and shapes in the state dict are those of fewstep's weight files.

Sources: Song et al. 2021, arXiv:2011.13456; Karras et al. 2022, arXiv:2206.00364; Song et al. 2023, arXiv:2303.01469.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


class Embedding(nn.Module):
    """Sines and cosines of the noise argument at frequencies from 1 down to 1/10,000."""

    def __init__(self, channels):
        super().__init__()
        exponents = torch.arange(channels // 2) / (channels // 2 - 1)
        self.register_buffer("freqs", 10000.0**-exponents, persistent=False)

    def forward(self, c_noise):
        angles = torch.outer(c_noise, self.freqs)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class Conv(nn.Conv2d):
    """A convolution that halves ("down") or doubles ("up") the resolution first, if asked to."""

    def __init__(self, channels_in, channels_out, kernel=3, resample=None):
        super().__init__(channels_in, channels_out, kernel, padding=kernel // 2)
        self.resample = resample
        if resample:
            self.register_buffer("resample_filter", torch.full([1, 1, 2, 2], 0.25))

    def forward(self, x):
        if self.resample == "down":
            x = F.avg_pool2d(x, 2)
        elif self.resample == "up":
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        return super().forward(x)


def group_norm(channels):
    return nn.GroupNorm(min(32, channels // 4), channels, eps=1e-6)


class Block(nn.Module):
    """A residual block with the embedding added between its convolutions; self-attention follows if asked for."""

    def __init__(self, channels_in, channels_out, emb, dropout, resample=None, attention=False):
        super().__init__()
        self.norm0 = group_norm(channels_in)
        self.conv0 = Conv(channels_in, channels_out, resample=resample)
        self.affine = nn.Linear(emb, channels_out)
        self.norm1 = group_norm(channels_out)
        self.dropout = nn.Dropout(dropout)
        self.conv1 = Conv(channels_out, channels_out)
        needs_skip = resample or channels_in != channels_out
        self.skip = Conv(channels_in, channels_out, 1, resample) if needs_skip else None
        self.attention = attention
        if attention:
            self.norm2 = group_norm(channels_out)
            self.qkv = Conv(channels_out, 3 * channels_out, 1)
            self.proj = Conv(channels_out, channels_out, 1)

    def forward(self, x, emb):
        h = self.conv0(F.silu(self.norm0(x)))
        h = h + self.affine(emb)[:, :, None, None]
        h = self.conv1(self.dropout(F.silu(self.norm1(h))))
        x = (h + (self.skip(x) if self.skip is not None else x)) * math.sqrt(0.5)
        if self.attention:
            x = (self.attend(self.norm2(x)) + x) * math.sqrt(0.5)
        return x

    def attend(self, x):
        b, c, h, w = x.shape
        # The channels of `qkv` run over (channel, query | key | value), the last fastest; there is one head.
        query, key, value = self.qkv(x).reshape(b, 1, c, 3, h * w).permute(3, 0, 1, 4, 2)
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.proj(attended.transpose(2, 3).reshape(b, c, h, w))


class SongUnet(nn.Module):
    """The raw network `F(x, c_noise, labels)` of a fewstep `SongUnetConfig`."""

    def __init__(self, config):
        super().__init__()
        base, blocks, dropout = config["model_channels"], config["num_blocks"], config["dropout"]
        mults, colors = config["channel_mult"], config["img_channels"]
        sides = [config["img_resolution"] >> level for level in range(len(mults))]
        emb = base * config["channel_mult_emb"]
        self.label_dim = config["label_dim"]
        self.embedding = Embedding(base)
        self.map_label = nn.Linear(self.label_dim, base) if self.label_dim else None
        # Without augmentation its labels are zeros; the layer is there for the weights' sake.
        augment = config["augment_dim"]
        self.map_augment = nn.Linear(augment, base, bias=False) if augment else None
        self.map_layer0 = nn.Linear(base, emb)
        self.map_layer1 = nn.Linear(emb, emb)

        def block(channels_in, channels_out, **options):
            return Block(channels_in, channels_out, emb, dropout, **options)

        self.enc = nn.ModuleDict()
        channels, skips = base, [base]
        for side, mult in zip(sides, mults):
            name, attends = f"{side}x{side}", side in config["attn_resolutions"]
            if side == sides[0]:
                self.enc[f"{name}_conv"] = Conv(colors, base)
            else:
                self.enc[f"{name}_down"] = block(channels, channels, resample="down")
                skips.append(channels)
            for index in range(blocks):
                self.enc[f"{name}_block{index}"] = block(channels, mult * base, attention=attends)
                channels = mult * base
                skips.append(channels)

        self.dec = nn.ModuleDict()
        for side, mult in reversed(list(zip(sides, mults))):
            name, attends = f"{side}x{side}", side in config["attn_resolutions"]
            if side == sides[-1]:
                self.dec[f"{name}_in0"] = block(channels, channels, attention=True)
                self.dec[f"{name}_in1"] = block(channels, channels)
            else:
                self.dec[f"{name}_up"] = block(channels, channels, resample="up")
            for index in range(blocks + 1):
                attention = attends and index == blocks
                self.dec[f"{name}_block{index}"] = block(channels + skips.pop(), mult * base, attention=attention)
                channels = mult * base
        self.dec[f"{sides[0]}x{sides[0]}_aux_norm"] = group_norm(channels)
        self.dec[f"{sides[0]}x{sides[0]}_aux_conv"] = Conv(channels, colors)

    def forward(self, x, c_noise, labels=None):
        emb = self.embedding(c_noise)
        if self.map_label is not None:
            emb = emb + self.map_label(labels * math.sqrt(self.label_dim))
        emb = F.silu(self.map_layer1(F.silu(self.map_layer0(emb))))
        skips = []
        for layer in self.enc.values():
            x = layer(x, emb) if isinstance(layer, Block) else layer(x)
            skips.append(x)
        for name, layer in self.dec.items():
            if name.endswith("_aux_norm"):
                x = F.silu(layer(x))
            elif name.endswith("_aux_conv"):
                x = layer(x)
            else:
                x = torch.cat([x, skips.pop()], dim=1) if "_block" in name else x
                x = layer(x, emb)
        return x


class Denoiser(nn.Module):
    """`D(x; sigma)`: EDM's preconditioning, or with `sigma_min` its shifted form for consistency models."""

    def __init__(self, config, sigma_min=0.0, sigma_data=0.5):
        super().__init__()
        self.model = SongUnet(config)
        self.sigma_min, self.sigma_data = sigma_min, sigma_data

    def forward(self, x, sigma, labels=None):
        s = sigma.view(-1, 1, 1, 1)
        shifted, variance = s - self.sigma_min, s**2 + self.sigma_data**2
        c_skip = self.sigma_data**2 / (shifted**2 + self.sigma_data**2)
        c_out = shifted * self.sigma_data / variance.sqrt()
        residual = self.model(x / variance.sqrt(), sigma.log() / 4, labels)
        return c_skip * x + c_out * residual.float()
