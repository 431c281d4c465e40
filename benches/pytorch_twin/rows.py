"""What is timed: for each kind of row a function that makes the function to repeat."""

import safetensors.torch
import torch
import torch.nn.functional as F

from . import losses
from .network import Denoiser
from .players import Player, follow


class Setting:
    """A job's network, data and configuration."""

    def __init__(self, job):
        self.job, self.config = job, job["network"]
        self.adam, self.compile = job["configuration"]["adam"], job["configuration"]["compile"]
        channels_last = job["configuration"]["channels_last"]
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        batch, side = job["batch"], self.config["img_resolution"]
        self.batch = batch
        self.images = self.randn().clamp(-1, 1)
        classes = self.config["label_dim"]
        self.labels = F.one_hot(torch.arange(batch) % classes, classes).float() if classes else None

    def network(self, sigma_min=0.0, trained=False):
        network = Denoiser(self.config, sigma_min)
        network.load_state_dict(safetensors.torch.load_file(self.job["weights"]))
        network.to(memory_format=self.format).requires_grad_(trained).train(trained)
        if self.compile:
            network.compile()
        return network

    def player(self, network, **options):
        return Player(network, self.adam, **options)

    def randn(self):
        side = self.config["img_resolution"]
        noise = torch.randn(self.job["batch"], self.config["img_channels"], side, side)
        return noise.contiguous(memory_format=self.format)

    def precision(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=self.job["precision"] == "bf16")


def forward(setting, scale=1.0):
    network, z = setting.network(), setting.randn()
    sigma = torch.full([setting.batch], scale)

    @torch.inference_mode()
    def once():
        with setting.precision():
            return network(z * scale, sigma, setting.labels)

    return once


def generate(setting):
    return forward(setting, losses.GENERATOR_SIGMA)


def teacher(setting):
    player = setting.player(setting.network(trained=True), ema_decay=0.999)

    def once():
        sigma, noise = losses.log_normal(setting.batch), setting.randn()
        with setting.precision():
            loss = losses.denoising(player.network, setting.images, sigma, noise, setting.labels)
        player.descend(loss)
        player.update_average()

    return once


def consistency(setting):
    trained = setting.network(losses.SIGMA_MIN, trained=True).eval()
    target, teacher = setting.network(losses.SIGMA_MIN), setting.network()
    student = setting.player(trained, ema_decay=0.9999)
    targets = list(target.parameters())

    def once():
        levels, noise = losses.adjacent_levels(setting.batch), setting.randn()
        with setting.precision():
            images, labels = setting.images, setting.labels
            loss = losses.consistency(trained, target, teacher, images, levels, noise, labels)
        student.descend(loss)
        follow(targets, student.parameters, 0.0, loop=setting.adam == "default")
        student.update_average()

    return once


def score_identity(setting):
    betas = (0.0, 0.999)
    teacher = setting.network()
    generator = setting.player(setting.network(trained=True), betas=betas, ema_decay=0.999)
    fake_score = setting.player(setting.network(trained=True), betas=betas)
    start = torch.full([setting.batch], losses.GENERATOR_SIGMA)

    def pictures():
        return generator.network(setting.randn() * losses.GENERATOR_SIGMA, start, setting.labels)

    def fake_turn():
        generator.network.eval().requires_grad_(False)
        fake_score.network.train().requires_grad_(True)
        with setting.precision():
            with torch.no_grad():
                images = pictures()
            sigma, noise = losses.log_normal(setting.batch), setting.randn()
            loss = losses.denoising(fake_score.network, images, sigma, noise, setting.labels)
        fake_score.descend(loss)

    def generator_turn():
        generator.network.train().requires_grad_(True)
        fake_score.network.eval().requires_grad_(False)
        with setting.precision():
            images = pictures()
            sigma, noise = losses.karras_uniform(setting.batch), setting.randn()
            both = teacher, fake_score.network
            loss = losses.score_identity(*both, images, sigma, noise, setting.labels)
        generator.descend(100 * loss)

    def once():
        fake_turn()
        generator_turn()
        generator.update_average()

    return once


def optimizer(setting):
    """Clipping, Adam and the average alone; the gradients stay what they are."""
    player = setting.player(setting.network(trained=True), ema_decay=0.999)
    for parameter in player.parameters:
        parameter.grad = parameter.detach() * 2
    foreach = None if setting.adam == "default" else True

    def once():
        torch.nn.utils.clip_grad_norm_(player.parameters, 1.0, foreach=foreach)
        player.optimizer.step()
        player.update_average()

    return once


KINDS = {
    "forward": forward,
    "generate": generate,
    "teacher": teacher,
    "cd": consistency,
    "sid": score_identity,
    "optimizer": optimizer,
}
