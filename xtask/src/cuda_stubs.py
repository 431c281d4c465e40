"""Lets the PyTorch of PyPI start without NVIDIA's libraries, for use on the CPU: `cuda_stubs.py COMPILER`,
run by the Python that has it.

The wheel's CUDA half is linked against 2 GB of libraries that a program on the CPU never calls. For each of them this
writes a library of the same name whose functions all return an error, so that the loader is content.
"""

import collections
import importlib.util
import pathlib
import re
import subprocess
import sys
import tempfile

CUDA_HALF = ["libtorch_cuda.so", "libtorch_python.so", "libtorch_nvshmem.so", "libc10_cuda.so"]
# The CUDA runtime and CUPTI are installed: the CPU half is linked against them.
ABSENT = re.compile(r"(cublas|cudnn|cufft|curand|cusparse|cuFile|nccl|nvshmem)\w*(@+(?P<version>\S+))?$")
UNVERSIONED = ["libcufile.so.0", "libcurand.so.10", "libcusparseLt.so.0", "libnccl.so.2"]
VERSIONED = {
    "NVSHMEM": "libnvshmem_host.so.3",
    **{name: name for name in ["libcublas.so.13", "libcublasLt.so.13", "libcudnn.so.9", "libcufft.so.12", "libcusparse.so.12"]},
}


def wanted(lib):
    """The functions that the CUDA half expects, by the version they must carry; no version is the empty one."""
    by_version = collections.defaultdict(set)
    for name in CUDA_HALF:
        table = subprocess.run(["nm", "-D", "--undefined-only", lib / name], check=True, capture_output=True, text=True)
        for line in table.stdout.split("\n"):
            symbol = line.split()[-1] if line.split() else ""
            if match := ABSENT.match(symbol):
                by_version[match["version"] or ""].add(symbol.split("@")[0])
    return by_version


def build(compiler, target, functions, version):
    with tempfile.TemporaryDirectory() as folder:
        source, script = pathlib.Path(folder, "stub.c"), pathlib.Path(folder, "stub.map")
        source.write_text("".join(f"int {name}(void) {{ return 1; }}\n" for name in sorted(functions)))
        options = ["-shared", "-fPIC", "-w", f"-Wl,-soname,{target.name}"]
        if version:
            script.write_text(f"{version} {{ global: *; }};\n")
            options.append(f"-Wl,--version-script,{script}")
        subprocess.run([compiler, "-x", "c", *options, "-o", target, source], check=True)


def main():
    compiler = sys.argv[1]
    # It cannot be imported yet.
    torch = pathlib.Path(importlib.util.find_spec("torch").submodule_search_locations[0])
    target = torch.parent / "nvidia/cu13/lib"
    functions = wanted(torch / "lib")
    unknown = set(functions) - set(VERSIONED) - {""}
    if unknown:
        sys.exit(f"this PyTorch expects libraries that are not known here: {sorted(unknown)}")
    for version, library in VERSIONED.items():
        build(compiler, target / library, functions[version], version)
    for library in UNVERSIONED:
        # It does not matter which library an unversioned function is found in.
        build(compiler, target / library, functions[""] if library == UNVERSIONED[-1] else (), "")


if __name__ == "__main__":
    main()
