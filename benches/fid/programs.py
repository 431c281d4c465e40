"""The programs that are compared, as their users start them."""

import json
import os
import sys

PUBLISHED = "pt_inception-2015-12-05-6726825d.pth"


class Program:
    """A command, its environment, and how its value is found."""

    def __init__(self, name, command, environment, value):
        self.name = name
        self.command = command
        self.environment = environment
        self.value = value


def last_number(text):
    return float(text.split()[-1])


def first_row(file):
    def read(_text):
        with open(file) as rows:
            return json.loads(rows.readline())["value"]

    return read


def ours(binary, recipe, folder, batch):
    """The example of this repository."""
    out = os.path.join(folder, f"{recipe}.jsonl")
    if os.path.exists(out):
        os.remove(out)  # it would not measure again what is in there
    command = [binary, "a", "--reference", "b", "--recipe", recipe, "--weights", PUBLISHED]
    command += ["--batch", str(batch), "--device", "cpu", "--out", out]
    return Program(f"fewstep, recipe {recipe}", command, {}, first_row(out))


def pytorch_fid(folder, batch, workers):
    """pytorch-fid, which looks for the weights where PyTorch downloads them to."""
    cache = os.path.join(folder, "torch", "hub", "checkpoints")
    os.makedirs(cache, exist_ok=True)
    link = os.path.join(cache, PUBLISHED)
    if not os.path.exists(link):
        os.symlink(os.path.join(folder, PUBLISHED), link)
    command = [sys.executable, "-m", "pytorch_fid", "a", "b", "--device", "cpu"]
    command += ["--batch-size", str(batch), "--num-workers", str(workers)]
    return Program("pytorch-fid", command, {"TORCH_HOME": os.path.join(folder, "torch")}, last_number)


def torch_fidelity(folder, batch, workers):
    """torch-fidelity; it chooses the number of workers itself, and has none where it saves memory."""
    command = [sys.executable, "-m", "torch_fidelity.fidelity", "--input1", "a", "--input2", "b", "--fid", "--cpu", "--json"]
    command += ["--silent", "--no-cache", "--batch-size", str(batch), "--feature-extractor-weights-path", PUBLISHED]
    command += [] if workers else ["--save-cpu-ram"]

    def value(text):
        return json.loads(text)["frechet_inception_distance"]

    return Program("torch-fidelity", command, {}, value)
