"""Whether both sides compute the same: the same weights and inputs, the outputs compared."""

import safetensors.torch
import torch

from . import losses
from .network import Denoiser


def denoiser(config, weights, sigma_min=0.0):
    network = Denoiser(config, sigma_min)
    network.load_state_dict(safetensors.torch.load_file(weights))
    return network.eval().requires_grad_(False)


def check(config, teacher_weights, student_weights, path):
    """The largest difference of each tensor in the file `path` from what it is here, relative to its largest value."""
    given = safetensors.torch.load_file(path)
    images, noise, labels = given["images"], given["noise"], given.get("labels")
    sigma, levels = given["sigma"], (given["high"], given["low"])
    teacher = denoiser(config, teacher_weights)
    student = denoiser(config, student_weights, losses.SIGMA_MIN).requires_grad_(True)
    edm_student = denoiser(config, student_weights).requires_grad_(True)
    target = denoiser(config, teacher_weights, losses.SIGMA_MIN)
    fake = denoiser(config, student_weights)
    batch = given["images"], sigma, noise, labels

    def generator_loss():
        pictures = edm_student(noise * losses.GENERATOR_SIGMA, torch.full_like(sigma, losses.GENERATOR_SIGMA), labels)
        return losses.score_identity(teacher, fake, pictures, sigma, noise, labels)

    found = {"denoised": teacher(images, sigma, labels), "boundary": target(images, sigma, labels)}
    objectives = {
        "teacher": (edm_student, lambda: losses.denoising(edm_student, *batch)),
        "cd": (student, lambda: losses.consistency(student, target, teacher, images, levels, noise, labels)),
        "sid": (edm_student, generator_loss),
    }
    for name, (network, objective) in objectives.items():
        network.zero_grad()
        loss = objective()
        loss.backward()
        found[f"{name}.loss"] = loss.detach()
        for parameter, value in network.named_parameters():
            if value.grad is not None:
                found[f"{name}.grad.{parameter}"] = value.grad
    expected = {name: tensor for name, tensor in given.items() if name in found}
    missing = sorted(set(given) - set(found) - {"images", "noise", "labels", "sigma", "high", "low"})
    if missing:
        raise ValueError(f"not computed here: {missing[:5]}")
    return summary(expected, found)


def summary(expected, found):
    """The largest relative difference of each group: outputs by name, losses, the gradients of each loss together."""
    groups = {}
    for name, tensor in expected.items():
        group = name.split(".grad.")[0] + ".grad" if ".grad." in name else name
        error, size = groups.get(group, (0.0, 0.0))
        difference = (tensor - found[name]).abs().max().item()
        groups[group] = max(error, difference), max(size, tensor.abs().max().item())
    return {group: error / max(size, 1e-30) for group, (error, size) in groups.items()}
