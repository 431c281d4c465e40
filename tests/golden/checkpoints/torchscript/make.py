"""Writes the files of this folder: `python make.py` with PyTorch 2.11 and safetensors."""

import io
import json
import zipfile
from enum import Enum
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
from safetensors.torch import save_file
from torch import nn


class Color(Enum):
    RED = 1
    BLUE = 2


class Pair(NamedTuple):
    weight: torch.Tensor
    count: int


class Leaf(nn.Module):
    """Tensors and attributes of every type that TorchScript has."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).view(2, 3).t())
        self.bias: Optional[torch.Tensor] = None
        self.register_buffer("mean", torch.tensor([0.5, -2.0]).half())
        self.register_buffer("resolution", torch.tensor(224))
        self.tensors: List[torch.Tensor] = [torch.ones(1), torch.zeros(2).bfloat16()]
        self.named: Dict[str, torch.Tensor] = {"k": torch.ones(3) > 0}
        self.pair: Tuple[torch.Tensor, int] = Pair(torch.full((2,), 7), 4)
        self.n: int = 3
        self.large: int = 2**40
        self.eps: float = 1e-3
        self.name: str = "leaf"
        self.sizes: List[int] = [1, 2]
        self.scales: List[float] = [0.25, 2.0]
        self.flags: List[bool] = [True, False]
        self.words: List[str] = ["a", "b"]
        self.labels: Dict[int, str] = {1: "one"}
        self.missing: Optional[int] = None
        self.device: torch.device = torch.device("cpu")
        self.color = Color.BLUE
        self.complex: complex = 1 + 2j

    def forward(self, x):
        return x @ self.weight + self.mean.float().sum() + self.n


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.leaf = Leaf()
        self.layers = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.BatchNorm1d(2))
        self.list = nn.ModuleList([nn.Linear(2, 2).half()])
        self.tied = self.layers[0]
        self.register_buffer("view", self.layers[0].weight.detach()[1])
        self.register_buffer("left_out", torch.ones(1), persistent=False)

    def forward(self, x):
        for layer in self.list:
            x = layer(x.half()).float()
        return self.tied(self.layers(x)) + self.leaf(x).sum() + self.left_out


class Plain(nn.Module):
    """What can be traced, frozen and quantized."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.convs = nn.Sequential(nn.Conv1d(1, 2, 1), nn.BatchNorm1d(2))

    def forward(self, x):
        return self.convs(self.linear(x)[:, None]) + torch.ones(2)


class Buffer(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.register_buffer("value", value)

    def forward(self, x):
        return x


class OwnState(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    @torch.jit.export
    def __getstate__(self):
        return (self.linear.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: Tuple[torch.Tensor, bool]):
        self.training = state[1]

    def forward(self, x):
        return x


def save(module, name):
    """Saves without the notes for debuggers, which hold the paths of the machine's source files."""
    whole = io.BytesIO()
    torch.jit.save(module, whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(name, "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                data = source.read(entry)
                target.writestr(zipfile.ZipInfo(entry.filename), data, entry.compress_type)


def twin(name, extra=lambda module: {}):
    """The tensors of the file as PyTorch reads it again."""
    module = torch.jit.load(name)
    tensors = {**module.state_dict(), **extra(module)}
    tensors = {key: tensor.detach().clone().contiguous() for key, tensor in tensors.items()}
    save_file(tensors, name.replace(".pt", ".expected.safetensors"), {"case": json.dumps({})})


def attributes(module):
    leaf = module.leaf
    tensors = {f"leaf.tensors.{i}": tensor for i, tensor in enumerate(leaf.tensors)}
    return {**tensors, "leaf.named.k": leaf.named["k"], "leaf.pair.0": leaf.pair[0]}


torch.manual_seed(0)
torch.backends.quantized.engine = "qnnpack"
plain = Plain().eval()
save(torch.jit.script(Net().eval()), "scripted.pt")
twin("scripted.pt", attributes)
save(torch.jit.trace(plain, torch.ones(1, 2)), "traced.pt")
twin("traced.pt")
save(torch.jit.freeze(torch.jit.script(plain)), "frozen.pt")
quantized = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear})
save(torch.jit.script(quantized), "quantized.pt")
save(torch.jit.script(Buffer(torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8))), "quantized_tensor.pt")
save(torch.jit.script(Buffer(torch.eye(3).to_sparse())), "sparse_tensor.pt")
save(torch.jit.script(OwnState()), "own_state.pt")
