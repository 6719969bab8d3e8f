"""A run whose OpenMP threads spin while they wait, and the same run with sleeping ones, idle and beside busy processes.

    .venv/bin/python benchmarks/threads.py [--repeats 3]

Two folds of the digits are trained for an epoch with as many threads as there are cores, first on the machine as it is,
then beside as many busy processes as there are cores. It is asserted first that the out-of-fold predictions are equal
to the bit; then come wall and CPU seconds of whole commands as medians of interleaved repeats.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
POLICIES = {"spinning": "ACTIVE", "sleeping": "PASSIVE"}
CORES = os.cpu_count() or 1


def project(folder: Path) -> Path:
    """A project with the digits alone, prepared."""
    shutil.copytree(ROOT / "competitions", folder / "competitions")
    (folder / "configs" / "digits").mkdir(parents=True)
    (folder / "configs" / "digits" / "short.yaml").write_text("recipe: image_classifier\nepochs: 1\nfolds: [0, 1]\n")
    subprocess.run([sys.executable, "-m", "goldfold", "prepare", "--comp", "digits"], cwd=folder, check=True)
    return folder


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Processes that compute until the end."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def trained(folder: Path, policy: str) -> tuple[float, float, bytes]:
    """Wall and CPU seconds of the command, and its out-of-fold predictions."""
    for kept in ("runs", "submissions"):
        shutil.rmtree(folder / kept, ignore_errors=True)
    command = [sys.executable, "-m", "goldfold", "train", "--comp", "digits", "--config", "short", "--quiet"]
    environment = {**os.environ, "OMP_WAIT_POLICY": policy, "OMP_NUM_THREADS": str(CORES)}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=environment)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, (folder / "runs" / "digits" / "short-r1" / "oof.npy").read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as name:
        folder = project(Path(name))
        expected = trained(folder, "PASSIVE")[2]
        print(f"{CORES} cores, {repeats} interleaved repeats, equal predictions; medians")
        print("busy processes  threads    wall s   CPU s")
        for others in (0, CORES):
            with busy(others):
                found = {told: [] for told in POLICIES}
                for _ in range(repeats):
                    for told, policy in POLICIES.items():
                        *spent, predictions = trained(folder, policy)
                        assert predictions == expected, "results must not depend on how threads wait"
                        found[told].append(spent)
            for told, spent in found.items():
                wall, cpu = (statistics.median(values) for values in zip(*spent, strict=True))
                print(f"{others:14}  {told}  {wall:7.1f} {cpu:7.1f}")


if __name__ == "__main__":
    main()
