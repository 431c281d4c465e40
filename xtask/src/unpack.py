"""Unpacks what libtorch needs from the wheels in a folder: unpack.py WHEELS TARGET cpu|cuda."""
import pathlib
import sys
import zipfile

wheels, target, which = sys.argv[1:]

LEFT_OUT = ("libtorch_python", "libtorch_cuda", "libc10_cuda", "libtorch_nvshmem", "libcaffe2_nvrtc")


def is_needed(name):
    if name.startswith("nvidia/"):
        return True
    if not name.startswith(("torch/lib/", "torch/include/", "torch/version.py")):
        return False
    library = name.rpartition("/")[2]
    # Nothing here is written in Python, and the small set-up has no CUDA.
    return not library.startswith(LEFT_OUT[:1] if which == "cuda" else LEFT_OUT)


for wheel in sorted(pathlib.Path(wheels).glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if is_needed(name)]
        archive.extractall(target, names)
        print(f"  {wheel.name}: {len(names)} files", flush=True)
    # Frees the space for the next one.
    wheel.unlink()
