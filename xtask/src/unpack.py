"""Unpacks what libtorch needs from the wheels in a folder: unpack.py WHEELS TARGET cpu|cuda."""
import pathlib
import sys
import zipfile

wheels, target, which = sys.argv[1:]

# Nothing here is written in Python, and the small set-up has no CUDA.
PYTHON = ("libtorch_python", "libtorch_global_deps", "libshm")
CUDA = ("libtorch_cuda", "libc10_cuda", "libtorch_nvshmem", "libcaffe2_nvrtc")
LEFT_OUT = PYTHON if which == "cuda" else PYTHON + CUDA


def is_needed(name):
    if name.startswith("torch/lib/"):
        return not name[len("torch/lib/"):].startswith(LEFT_OUT)
    return name.startswith(("torch/include/", "nvidia/")) or name == "torch/version.py"


for wheel in sorted(pathlib.Path(wheels).glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if is_needed(name)]
        archive.extractall(target, names)
        print(f"  {wheel.name}: {len(names)} files", flush=True)
    # Frees the space for the next one.
    wheel.unlink()
