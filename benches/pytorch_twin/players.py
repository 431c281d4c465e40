"""A network with its optimizer and moving average."""

import copy

import torch

# Small, so that any number of steps from random weights stays finite.
RATE = 1e-6
ADAM = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}


class Player:
    """`adam`: a key of `ADAM`. With "default" the average is the loop over parameters that most code has."""

    def __init__(self, network, adam, betas=(0.9, 0.999), ema_decay=None):
        self.network, self.adam, self.ema_decay = network, adam, ema_decay
        self.parameters = list(network.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=RATE, betas=betas, **ADAM[adam])
        if ema_decay is not None:
            self.average = list(copy.deepcopy(network).requires_grad_(False).parameters())

    def descend(self, loss):
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def update_average(self):
        follow(self.average, self.parameters, self.ema_decay, loop=self.adam == "default")


@torch.no_grad()
def follow(average, parameters, decay, loop):
    """`average = decay · average + (1 − decay) · parameters`."""
    if loop:
        for a, p in zip(average, parameters):
            a.mul_(decay).add_(p, alpha=1 - decay)
    else:
        torch._foreach_lerp_(average, parameters, 1 - decay)
