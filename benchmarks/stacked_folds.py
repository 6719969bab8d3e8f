"""Folds x seeds of a small head: the loop a user writes, goldfold one by one, and goldfold as it chooses by itself.

    python benchmarks/stacked_folds.py [--threads 1] [--models 5,10,40] [--batches 32,64,256] [--repeats 5]

The recipe is `frozen_backbone`'s head (fused AdamW, warm-up and cosine) on rows in memory, trained for a few epochs and
scored after each. All three start from the same weights and see the same rows in the same order; that their
probabilities agree within rounding is asserted first. Then come wall times in interleaved repeats: the loop, goldfold
with `stack=never`, and goldfold with `stack=auto`, each with all it keeps (the loop: nothing but weights). Where one
thread is asked for CPU time is taken, which neighbours on the same machine disturb least. "Training alone" is wall time
between the first batch of an epoch and its last optimizer step, without scoring, checkpoints and predictions.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

if "--threads" in sys.argv:
    os.environ["OMP_NUM_THREADS"] = sys.argv[sys.argv.index("--threads") + 1]

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from goldfold import metrics
from goldfold.batches import in_memory
from goldfold.competition import Competition, Fold, MeanOverRows, Plan, Recipe, Runtime, Stage, Tables
from goldfold.engine.crossval import cross_validate
from goldfold.engine.fits import Experiment, Fit, Protocol, planned
from goldfold.engine.loop import Loop
from goldfold.params import Params
from goldfold.recipes import frozen_backbone
from goldfold.schedules import cosine

EPOCHS = 5
SIZES = {"64-10": (64, 0), "64-64-10": (64, 64), "128-128-10": (128, 128), "768-10": (768, 0), "768-256-10": (768, 256)}
SIZES |= {"1536-10": (1536, 0), "1536-512-10": (1536, 512)}


class Task(Params):
    width: int
    hidden: int
    batch: int
    models: int
    rows: int


def data(task: Task) -> tuple[Tensor, Tensor]:
    """Rows that a plane tells apart: were they not learnable, rounding would grow from step to step."""
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(task.rows, task.width, generator=draw)
    return inputs, (inputs @ torch.randn(task.width, 10, generator=draw)).argmax(1)


def build(inputs: Tensor, labels: Tensor, task: Task, rows: pd.DataFrame, runtime: Runtime) -> Plan:
    own = torch.tensor(rows["id"].to_numpy())
    samples = inputs[own], labels[own]
    params = frozen_backbone.FrozenBackbone(epochs=EPOCHS, batch_size=task.batch)
    stage = Stage(
        name="head",
        epochs=EPOCHS,
        batches=in_memory(samples, task.batch, runtime.seed),
        losses=MeanOverRows(partial(frozen_backbone._losses_of_rows, label_smoothing=0.0)),
        optimizer=partial(frozen_backbone._optimizer, params),
        schedule=partial(cosine, warmup=0.1),
    )
    model = frozen_backbone.Head(samples[0], task.hidden, 10, 0.0)
    return Plan(
        model=model,
        stages=[stage],
        predict=lambda model, _, rows: model(inputs[torch.tensor(rows["id"].to_numpy())]).softmax(-1).numpy(),
    )


def experiment(task: Task, inputs: Tensor, labels: Tensor) -> Experiment:
    """Five folds of `models` / 5 seeds each; the first folds train on a row less than the last."""
    rows = pd.DataFrame({"id": np.arange(task.rows), "label": labels.numpy()})
    parts = np.array_split(np.random.default_rng(0).permutation(task.rows), 5)
    metric = metrics.accuracy(target="label", classes=tuple(range(10)))
    return Experiment(
        competition=Competition(
            slug="x",
            metric=metric,
            targets=("label",),
            recipes={},
            prepare=None,
            load=None,
            split=None,
            submission=None,
        ),
        recipe=Recipe(params=Task, build=partial(build, inputs, labels)),
        params=task,
        loop=Loop(),
        protocol=Protocol(seeds=tuple(range(task.models // 5))),
        tables=Tables(train=rows, test=rows[:50].drop(columns="label"), sample_submission=rows),
        folds=[Fold(np.setdiff1d(np.arange(task.rows), part), np.sort(part)) for part in parts],
        runtime=Runtime(seed=0, device=torch.device("cpu"), cache=Path()),
    )


def bare(found: Experiment, inputs: Tensor, labels: Tensor) -> tuple[list[np.ndarray], float]:
    """The loop a user writes for every fold and seed: each fit's probabilities for its validation rows, and seconds
    of training alone."""
    task, probabilities, seconds = found.params, [], 0.0
    for fold in range(5):
        for seed in found.protocol.seeds:
            plan, _ = planned(found, fold, seed)  # the same weights to start from
            made, spent = _bare_fit(plan.model, plan.stages[0], found.folds[fold], inputs, labels, task)
            probabilities.append(made)
            seconds += spent
    return probabilities, seconds


def _bare_fit(
    model: nn.Module, stage: Stage, fold: Fold, inputs: Tensor, labels: Tensor, task: Task
) -> tuple[np.ndarray, float]:
    shown, answers = inputs[torch.from_numpy(fold.train)], labels[torch.from_numpy(fold.train)]
    validation = inputs[torch.from_numpy(fold.validation)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2, fused=True)
    schedule = cosine(optimizer, EPOCHS, -(-len(shown) // task.batch), warmup=0.1)
    seconds = 0.0
    for epoch in range(EPOCHS):
        started = time.perf_counter()
        visited = np.concatenate(stage.batches(epoch).positions)
        model.train()
        total = 0.0
        for index in torch.from_numpy(visited).split(task.batch):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(shown[index]), answers[index])
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        seconds += time.perf_counter() - started
        model.eval()
        with torch.no_grad():
            probabilities = model(validation).softmax(-1).numpy()
            float((probabilities.argmax(1) == labels[torch.from_numpy(fold.validation)].numpy()).mean())
    return probabilities, seconds


def through_goldfold(found: Experiment, stack: str) -> list[Fit]:
    with tempfile.TemporaryDirectory() as folder:
        return list(cross_validate(replace(found, loop=Loop(stack=stack)), Path(folder)))


def clocked(run: Callable[[], object], one_thread: bool) -> tuple[object, float]:
    """What a way makes, and the seconds it took."""
    read = time.process_time if one_thread else time.perf_counter
    started = read()
    return run(), read() - started


def trained(fits: Sequence[Fit]) -> float:
    """Seconds that the epochs of all fits took, each fit of a stack with its share."""
    return sum(row["seconds"] for fit in fits for row in fit.history)


def measured(task: Task, repeats: int, one_thread: bool) -> str:
    inputs, labels = data(task)
    found = experiment(task, inputs, labels)
    ways = {
        "loop": lambda: bare(found, inputs, labels),
        "never": lambda: through_goldfold(found, "never"),
        "auto": lambda: through_goldfold(found, "auto"),
    }
    loop, never, auto = (way() for way in ways.values())
    for expected, one, other in zip(loop[0], never, auto, strict=True):
        np.testing.assert_allclose(one.validation, expected, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(other.validation, expected, rtol=1e-3, atol=1e-4)
    times: dict[str, list[float]] = {name: [] for name in ways}
    alone: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats):
        for name in np.random.default_rng(repeat).permutation(list(ways)):
            made, seconds = clocked(ways[name], one_thread)
            times[name].append(seconds)
            alone[name].append(made[1] if name == "loop" else trained(made))
    stacks = sorted({fit.facts["head"].get("stacked", 1) for fit in auto})
    over_loop = statistics.median(a / b for a, b in zip(times["loop"], times["auto"], strict=True))
    over_never = statistics.median(a / b for a, b in zip(times["never"], times["auto"], strict=True))
    training = statistics.median(a / b for a, b in zip(alone["loop"], alone["auto"], strict=True))
    seconds = {name: statistics.median(taken) for name, taken in times.items()}
    told = "one by one" if stacks == [1] else "stacks of " + ", ".join(map(str, stacks))
    return (
        f"| {seconds['loop']:.2f} | {seconds['never']:.2f} | {seconds['auto']:.2f} | {over_loop:.2f} | "
        f"{over_never:.2f} | {training:.2f} | {told} |"
    )


def parsed() -> argparse.Namespace:
    def numbers(text: str) -> Sequence[int]:
        return [int(number) for number in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", type=numbers, default=[5, 10, 40])
    parser.add_argument("--batches", type=numbers, default=[32, 64, 256])
    parser.add_argument("--sizes", default=",".join(SIZES), help="comma-separated widths: " + ", ".join(SIZES))
    parser.add_argument("--rows", type=int, default=5002)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    clock = "CPU" if arguments.threads == 1 else "wall"
    print(f"{arguments.threads} threads, {EPOCHS} epochs of {arguments.rows:,} rows, {clock} seconds")
    print(
        "| head | fits | batch | loop, s | one by one, s | automatic, s | loop / automatic | one by one / automatic | "
        "training alone: loop / automatic | |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    grid = itertools.product(arguments.sizes.split(","), arguments.models, arguments.batches)
    for size, models, batch in grid:
        width, hidden = SIZES[size]
        task = Task(width=width, hidden=hidden, batch=batch, models=models, rows=arguments.rows)
        line = measured(task, arguments.repeats, arguments.threads == 1)
        print(f"| {size} | {models} | {batch} {line}", flush=True)


if __name__ == "__main__":
    main()
