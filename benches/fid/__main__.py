"""Times fewstep's FID beside pytorch-fid and torch-fidelity: README.md says how."""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from fid import programs, subject


def run(program, folder, cores):
    """Seconds, the largest resident memory in MiB, and the value."""
    environment = {**os.environ, **program.environment, "OMP_NUM_THREADS": str(len(cores))}
    environment.pop("LD_LIBRARY_PATH", None)  # every side brings its own libtorch
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as complaints:
        start = time.monotonic()
        child = subprocess.Popen(
            program.command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=complaints,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        output.seek(0)
        text = output.read()
        complaints.seek(0)
        if status != 0:
            sys.exit(f"{program.name} failed with status {status}: {' '.join(program.command)}\n{complaints.read()}")
    return seconds, usage.ru_maxrss / 1024, program.value(text)


def pairs(binary, folder, batch, workers):
    """Ours and theirs, by the same recipe."""
    yield programs.ours(binary, "pytorch-fid", folder, batch), programs.pytorch_fid(folder, batch, workers)
    yield programs.ours(binary, "torch-fidelity", folder, batch), programs.torch_fidelity(folder, batch, workers)


def compare(arguments, folder, cores):
    workers = 0 if len(cores) == 1 else arguments.workers
    measured = {}
    for _ in range(arguments.rounds):
        for pair in pairs(arguments.evaluate, folder, arguments.batch, workers):
            for program in pair:  # both sides take turns
                result = run(program, folder, cores)
                measured.setdefault((pair[1].name, program.name), []).append(result)
                print(f"{program.name:34} {len(cores)} threads {result[0]:8.2f} s {result[1]:8.0f} MiB  FID {result[2]:.9g}", flush=True)
    names = sorted({theirs for theirs, _ in measured})
    for theirs in names:
        (ours,) = [rows for (other, name), rows in measured.items() if other == theirs and name != theirs]
        peer = measured[theirs, theirs]
        yield theirs, len(cores), summary(ours), summary(peer)


def summary(rows):
    """Median of seconds, largest memory, the value."""
    return statistics.median(row[0] for row in rows), max(row[1] for row in rows), rows[0][2]


def table(lines, count):
    text = "| beside | threads | images/s, ours | theirs | times as fast | MiB, ours | theirs | share | FID, ours | theirs | difference |\n"
    text += "|---|---|---|---|---|---|---|---|---|---|---|\n"
    for name, threads, (seconds, memory, value), (their_seconds, their_memory, their_value) in lines:
        text += f"| {name} | {threads} | {2 * count / seconds:.1f} | {2 * count / their_seconds:.1f} | {their_seconds / seconds:.2f} "
        text += f"| {memory:.0f} | {their_memory:.0f} | {memory / their_memory:.2f} "
        text += f"| {value:.7g} | {their_value:.7g} | {abs(value / their_value - 1):.0e} |\n"
    return text


def main():
    parser = argparse.ArgumentParser(prog="cargo xtask bench-fid", description=__doc__)
    parser.add_argument("--evaluate", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--images", type=int, default=256, help="pictures of each set [256]")
    parser.add_argument("--size", type=int, default=32, help="their height and width [32]")
    parser.add_argument("--batch", type=int, default=50, help="images at a time [50, as pytorch-fid]")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, len(os.sched_getaffinity(0))], help="numbers of cores [1 and all]")
    parser.add_argument("--workers", type=int, default=2, help="processes that read pictures for pytorch-fid, beside one core: 0 [2]")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each program, by turns [3]")
    arguments = parser.parse_args()
    arguments.evaluate = os.path.abspath(arguments.evaluate)
    folder = tempfile.mkdtemp(prefix="fid-")
    try:
        for name, seed in [("a", 1), ("b", 2)]:
            subject.pictures(os.path.join(folder, name), arguments.images, arguments.size, seed)
        subject.weights(os.path.join(folder, programs.PUBLISHED))
        cores = sorted(os.sched_getaffinity(0))
        lines = [line for threads in sorted(set(arguments.threads)) for line in compare(arguments, folder, cores[:threads])]
    finally:
        shutil.rmtree(folder)
    print("\n" + table(lines, arguments.images))


if __name__ == "__main__":
    main()
