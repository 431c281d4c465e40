"""The objectives and their noise levels, from the papers.

Sources: Karras et al. 2022, arXiv:2206.00364; Song et al. 2023, arXiv:2303.01469; Zhou et al. 2024, arXiv:2404.04057.
"""

import torch

SIGMA_MIN, SIGMA_MAX, RHO, SIGMA_DATA = 0.002, 80.0, 7.0, 0.5
GENERATOR_SIGMA, ALPHA = 2.5, 1.2


def expand(per_image):
    return per_image.view(-1, 1, 1, 1)


def karras(position):
    """The grid's level at a position between 0 (the largest level) and 1."""
    high, low = SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO)
    return (high + position * (low - high)) ** RHO


def log_normal(batch):
    return (torch.randn(batch) * 1.2 - 1.2).exp()


def karras_uniform(batch):
    return karras(1 - 0.8 * torch.rand(batch))


def adjacent_levels(batch, scales=18):
    index = torch.randint(scales - 1, [batch])
    return karras(index / (scales - 1)), karras((index + 1) / (scales - 1))


def denoising(network, images, sigma, noise, labels):
    denoised = network(images + expand(sigma) * noise, sigma, labels)
    weight = (sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2
    return (weight * (denoised - images).square().sum(dim=(1, 2, 3))).mean()


@torch.no_grad()
def heun(network, x, start, end, labels):
    width = expand(end - start)
    slope = (x - network(x, start, labels)) / expand(start)
    euler = x + width * slope
    return x + width * 0.5 * (slope + (euler - network(euler, end, labels)) / expand(end))


def consistency(student, target, teacher, images, levels, noise, labels):
    high, low = levels
    x_high = images + expand(high) * noise
    x_low = heun(teacher, x_high, high, low, labels)
    with torch.no_grad():
        goal = target(x_low, low, labels)
    return (student(x_high, high, labels) - goal).square().mean()


def score_identity(teacher, fake_score, images, sigma, noise, labels):
    x = images + expand(sigma) * noise
    real, fake = teacher(x, sigma, labels), fake_score(x, sigma, labels)
    with torch.no_grad():
        weight = (images - real).abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-5)
    gap = real - fake
    return (gap * ((real - images) - ALPHA * gap) / weight).sum(dim=(1, 2, 3)).mean()
