"""Answers requests, a line of JSON each, until its standard input ends: see README.md."""

import json
import os
import platform
import re
import sys
import time
import traceback
import warnings

warnings.filterwarnings("ignore", message="Failed to initialize NumPy")

import torch

from .check import check
from .rows import KINDS, Setting


def memory(entry):
    """Bytes of the process's `VmHWM` (peak) or `VmRSS` (now)."""
    with open("/proc/self/status") as status:
        return int(re.search(rf"{entry}:\s+(\d+) kB", status.read())[1]) * 1024


class Server:
    def __init__(self):
        self.once = None

    def hello(self, request):
        torch.set_num_threads(request["threads"])
        torch.manual_seed(0)
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        return {**versions, "threads": torch.get_num_threads()}

    def prepare(self, request):
        job = request["job"]
        self.base = memory("VmRSS")
        self.once = KINDS[job["kind"]](Setting(job))
        return {}

    def run(self, request):
        seconds = []
        for _ in range(request["iterations"]):
            start = time.perf_counter()
            self.once()
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds}

    def peak(self, request):
        return {"base": self.base, "peak": memory("VmHWM")}

    def check(self, request):
        arguments = (request[name] for name in ("network", "teacher", "student", "values"))
        return {"differences": check(*arguments)}


def main():
    # Whatever else prints must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    server = Server()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(server, request["do"])(request)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
