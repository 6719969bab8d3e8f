"""A whole run, from command to record, beside the script that people write for the same work.

    .venv/bin/python benchmarks/whole_run.py [--only head,table] [--images 1500] [--repeats 3] [--load 2]

Six parts: `head`, 20 epochs of a linear head on features of a frozen backbone; `labels`, the same with 25 labels and
features that are cached already; `scratch`, the network of digits without augmentation; `finetune`, one fold of a
pretrained network; `table`, logistic regression on a table; `frames`, retrieval: a projector trained with FastAP on
features of a frozen backbone, on CamVid's frames, which needs `GOLDFOLD_SAMPLE_DATA`. Each runs as a process of its own
with one thread, the run through `python -m goldfold train`, the script (`bare_scripts.py`) with the folds, seeds and
batches of the run. It is asserted first that the out-of-fold predictions are equal within rounding. Then come CPU and
wall seconds of whole processes, children included, as medians of interleaved repeats, their peak memory, and the CPU
seconds of each phase.

--load: busy processes beside them. Data is prepared before the clock starts, and audits of its images are cached, as
from the second run on; `head` and `frames` compute their features in every repeat.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threads import busy

from goldfold.io import clock

ROOT = Path(__file__).parent.parent
PARTS = ("head", "labels", "scratch", "finetune", "table", "frames")
APART = 1e-4  # of a probability, or an embedding's value of variance 1: training amplifies how features round


@dataclass(frozen=True)
class Part:
    """What is run. images: of the cells. kept: whether cached features stay between repeats."""

    title: str
    competition: str
    script: str
    config: str
    images: int = 0
    labels: int = 0
    kept: bool = False


@dataclass(frozen=True)
class Took:
    """Seconds and MiB of one process. phases: name -> CPU seconds."""

    wall: float
    cpu: float
    memory: float
    phases: dict[str, float]


def parts(images: int, size: int) -> dict[str, Part]:
    of_head = f"recipe: head\nimage_size: {size}\nepochs: 20\nbatch_size: 64\n"
    tuned = f"recipe: finetune\nimage_size: {size}\nepochs: 1\nbatch_size: 16\nfolds: [0]\n"
    network = "recipe: image_classifier\naugmentation: none\nepochs: 2\nbatch_size: 64\n"
    projector = "recipe: embedder\nsimsiam_epochs: 0\nembedding: projector\nfreeze_backbone: true\n"
    ranked = f"{projector}metric_augmentation: none\nimage_size: 96\nprojector_dim: 512\nmetric_epochs: 10\n"
    return {
        "head": Part(f"head on features of {images:,} images, 5 folds x 20 epochs", "cells", "head", of_head, images),
        "labels": Part("25 labels, features cached", "cells", "head", of_head, images, labels=25, kept=True),
        "scratch": Part("digits from scratch, 5 folds x 2 epochs", "digits", "scratch", network),
        "finetune": Part(f"fine-tuning one fold of {images // 3:,} images", "cells", "finetune", tuned, images // 3),
        "table": Part("logistic regression, 5 folds", "tumors", "table", "recipe: tabular\n"),
        "frames": Part("frames by a FastAP projector, 4 folds x 10 epochs", "frames", "frames", ranked),
    }


def project(part: Part, folder: Path) -> dict[str, str]:
    """A project with the part's competition, prepared; returns the environment of its processes."""
    place = folder / "competitions" / part.competition
    own = Path(__file__).parent / "whole_run_project" / f"{part.competition}.py"
    if own.exists():
        place.mkdir(parents=True)
        shutil.copyfile(own, place / "__init__.py")
    else:
        shutil.copytree(ROOT / "competitions" / part.competition, place)
    (folder / "configs" / part.competition).mkdir(parents=True)
    (folder / "configs" / part.competition / "baseline.yaml").write_text(part.config)
    known = {"OMP_NUM_THREADS": "1", "CELLS": str(part.images), "LABELS": str(part.labels), "CUDA_VISIBLE_DEVICES": ""}
    environment = {**os.environ, **known, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *sys.path])}
    command = [sys.executable, "-m", "goldfold", "prepare", "--comp", part.competition]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return environment


def measured(command: Sequence[str], folder: Path, environment: dict[str, str]) -> tuple[float, float, float, str]:
    """Wall and CPU seconds, MiB and the last line of a process."""
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read().strip().splitlines()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    assert process.returncode == 0, f"{command} failed"
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, said[-1]


def run_once(part: Part, folder: Path, environment: dict[str, str]) -> Took:
    for made in ("runs", "submissions", *([] if part.kept else ["data/cache/features"])):
        shutil.rmtree(folder / made, ignore_errors=True)
    command = [sys.executable, "-m", "goldfold", "train", "--comp", part.competition, "--quiet"]
    wall, cpu, memory, _ = measured(command, folder, environment)
    run = folder / "runs" / part.competition / "baseline-r1"
    spent = clock.total(json.loads(path.read_text()) for path in (run / clock.FILE, *run.glob(f"fold*/{clock.FILE}")))
    return Took(wall, cpu, memory, {name: seconds[1] for name, seconds in spent.items()})


def script_once(part: Part, folder: Path, environment: dict[str, str]) -> Took:
    if not part.kept:
        (folder / "features.npz").unlink(missing_ok=True)
    values = (line.split(": ") for line in part.config.splitlines())
    words = [f"{key}={value}" for key, value in values if key != "recipe"]
    command = [sys.executable, str(Path(__file__).parent / "bare_scripts.py"), part.script]
    run = Path("runs") / part.competition / "baseline-r1"
    wall, cpu, memory, said = measured([*command, str(run), *words], folder, environment)
    return Took(wall, cpu, memory, json.loads(said))


def apart(part: Part, folder: Path) -> float:
    """The largest difference of an out-of-fold probability, or of a value of an embedding."""
    ours = np.load(folder / "runs" / part.competition / "baseline-r1" / "oof.npy")
    theirs = np.load(folder / "oof.npy")
    assert ours.shape == theirs.shape, f"{ours.shape} and {theirs.shape} predictions"
    found = float(np.abs(ours - theirs).max())
    assert found <= APART, f"{part.title}: predictions differ by {found:.1e}"
    return found


def compared(part: Part, repeats: int) -> Iterator[str]:
    """Rows of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = project(part, folder)
        run_once(part, folder, environment), script_once(part, folder, environment)  # caches what stays
        differ = apart(part, folder)
        ours, theirs = [], []
        for _ in range(repeats):
            ours.append(run_once(part, folder, environment))
            theirs.append(script_once(part, folder, environment))
    ratio = statistics.median(our.cpu / their.cpu for our, their in zip(ours, theirs, strict=True))
    for who, runs in (("script", theirs), ("**goldfold**", ours)):
        cpu, wall, memory = (statistics.median(getattr(run, key) for run in runs) for key in ("cpu", "wall", "memory"))
        phases = (
            f"{phase} {statistics.median(run.phases.get(phase, 0) for run in runs):.1f}" for phase in clock.PHASES
        )
        shown = ", ".join(text for text in phases if not text.endswith(" 0.0"))
        told = (part.title, "1.00") if who == "script" else (f"differ by {differ:.0e}", f"{ratio:.2f}")
        yield f"| {told[0]} | {who} | {cpu:.1f} | {told[1]} | {wall:.1f} | {memory:,.0f} MiB | {shown} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="comma-separated: " + ", ".join(PARTS))
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--size", type=int, default=224, help="side of the images, in pixels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--load", type=int, default=0, help="busy processes beside")
    arguments = parser.parse_args()
    known, chosen = parts(arguments.images, arguments.size), arguments.only.split(",")
    if unknown := set(chosen) - known.keys():
        parser.error(f"--only knows {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    print("| work | by | CPU s | / the script's | wall s | peak memory | CPU s of each phase |")
    print("|---|---|---:|---:|---:|---:|---|")
    with busy(arguments.load):
        for name in chosen:
            for row in compared(known[name], arguments.repeats):
                print(row, flush=True)


if __name__ == "__main__":
    main()
