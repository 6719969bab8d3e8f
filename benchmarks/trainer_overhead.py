"""What a trainer costs beside the loop it replaces: the same work through goldfold, accelerate, Lightning and skorch.

    pip install -r requirements-bench.txt
    python benchmarks/trainer_overhead.py [--regime mlp|cnn] [--repeats 5] [--only goldfold,lightning]

Every contestant (`trainers.py`) starts from the same weights, sees the same rows in the same order, steps AdamW with
the same settings on one thread, and keeps the same history: mean training loss and validation accuracy per epoch. That
these agree is asserted first; then CPU time of the process is taken in interleaved repeats. The clock starts when the
first epoch's order is asked for; what imports and preparations take is shown apart.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
import torch.nn.functional as F
import trainers
from torch import Tensor, nn
from trainers import Clock, Epoch, FixedOrder, Task

from goldfold.nn.batches import epoch_order


@dataclass(frozen=True)
class Row:
    """A row of the table. package: what it needs; fused: its optimizer rounds differently."""

    title: str
    run: Callable[[Task, nn.Module, FixedOrder, Path], list[Epoch]]
    package: str = "torch"
    fused: bool = False


LOOP_IN_MEMORY = partial(trainers.loop, batches=trainers.from_memory)
ROWS = {
    "loop": Row("the loop a user writes: DataLoader, AdamW", trainers.loop),
    "memory": Row("the loop, batches by index from memory", LOOP_IN_MEMORY),
    "fused": Row("the loop, from memory, fused AdamW", partial(LOOP_IN_MEMORY, fused=True), fused=True),
    "goldfold": Row("**goldfold**, from memory, fused AdamW", trainers.goldfold, "goldfold", fused=True),
    "goldfold-default": Row(
        "**goldfold**, and best and last saved",
        partial(trainers.goldfold, save="best and last"),
        "goldfold",
        fused=True,
    ),
    "goldfold-saving": Row(
        "**goldfold**, and every epoch saved", partial(trainers.goldfold, save="every epoch"), "goldfold", fused=True
    ),
    "goldfold-loader": Row("**goldfold**, the loop's DataLoader and AdamW", trainers.goldfold_loader, "goldfold"),
    "skorch": Row("skorch, without its log", trainers.skorch, "skorch"),
    "accelerate": Row("accelerate", trainers.accelerate, "accelerate"),
    "lightning": Row("Lightning, `barebones`", trainers.lightning, "lightning"),
    "lightning-saving": Row("Lightning, and every epoch saved", partial(trainers.lightning, save=True), "lightning"),
}


@dataclass(frozen=True)
class Outcome:
    """What a run took and what came out of it; `final` is the trained model's mean loss over all training rows."""

    took: Clock
    history: list[Epoch]
    final: float


def mlp() -> Task:
    """32-64-2: a step takes so little that the trainer around it is most of the time."""
    direction = torch.randn(32, generator=torch.Generator().manual_seed(1))
    return _task(lambda: nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 2)), direction, 16_000, 1_024, 64, 8)


def cnn() -> Task:
    """Two convolutions on 16 x 16 images: a step that does some work."""

    def model() -> nn.Module:
        first = (nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        second = (nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(32 * 4 * 4, 2))

    left_against_right = torch.ones(1, 16, 16)
    left_against_right[..., 8:] = -1
    return _task(model, left_against_right, 4_000, 512, 32, 4)


def _task(model: Callable, direction: Tensor, rows: int, held_out: int, batch: int, epochs: int) -> Task:
    """White noise, labelled by its side of a plane: were it not learnable, rounding would grow from step to step."""
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(rows + held_out, *direction.shape, generator=draw)
    labels = ((inputs * direction).flatten(1).sum(1) > 0).long()
    orders = [torch.from_numpy(epoch_order(trainers.SEED, epoch, rows)) for epoch in range(epochs)]
    return Task(model, (inputs[:rows], labels[:rows]), (inputs[rows:], labels[rows:]), batch, orders)


def measured(row: Row, task: Task) -> Outcome:
    torch.manual_seed(0)
    model, drawn = task.model(), FixedOrder(task)
    with tempfile.TemporaryDirectory() as folder:
        gc.collect()
        history = row.run(task, model, drawn, Path(folder))
        took = Clock.read().since(drawn.began)
    with torch.no_grad():
        final = F.cross_entropy(model.double()(task.train[0].double()), task.train[1]).item()
    return Outcome(took, history, final)


def assert_same_work(name: str, mine: Outcome, loop: Outcome, task: Task) -> None:
    """Losses equal within rounding, accuracies equal (one row may flip where a fused optimizer rounds differently)."""
    rounding, flips = (1e-4, 1 / len(task.validation[1])) if ROWS[name].fused else (1e-6, 0.0)
    epochs = list(zip(mine.history, loop.history, strict=True))
    losses = [(mine.final, loop.final), *((my.loss, its.loss) for my, its in epochs)]
    worst = max(abs(my / its - 1) for my, its in losses)
    assert worst <= rounding, f"{name}: a loss differs from the loop's by {worst:.1e} of it"
    apart = max(abs(my.accuracy - its.accuracy) for my, its in epochs)
    assert apart <= flips, f"{name}: a validation accuracy differs from the loop's by {apart}"


def one_step(name: str) -> None:
    """Train and validate on one batch, for `startup_seconds`."""
    task = _task(lambda: nn.Linear(2, 2), torch.ones(2), 8, 8, 8, 1)
    with tempfile.TemporaryDirectory() as folder:
        ROWS[name].run(task, task.model(), FixedOrder(task), Path(folder))


def startup_seconds(name: str) -> float:
    """CPU seconds of a fresh interpreter that imports what a contestant needs and makes one step."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-W", "ignore", "-c", f"from trainer_overhead import one_step; one_step('{name}')"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def table(outcomes: dict[str, list[Outcome]], task: Task) -> Iterator[str]:
    steps = len(task.orders) * -(-len(task.orders[0]) // task.batch)
    yield "| | CPU time / the loop's: median (range) | CPU ms per step | wall time / the loop's | start-up, CPU s |"
    yield "|---|---|---|---|---|"
    for name, runs in outcomes.items():
        pairs = list(zip(runs, outcomes["loop"], strict=True))
        cpu = [run.took.cpu / loop.took.cpu for run, loop in pairs]
        wall = statistics.median(run.took.wall / loop.took.wall for run, loop in pairs)
        step = statistics.median(run.took.cpu for run in runs) / steps
        spread = f"{statistics.median(cpu):.2f} ({min(cpu):.2f}-{max(cpu):.2f})"
        yield f"| {ROWS[name].title} | {spread} | {1e3 * step:.3f} | {wall:.2f} | {startup_seconds(name):.1f} |"


def caption(arguments: argparse.Namespace, task: Task, loop: Outcome) -> str:
    """The conditions, in one paragraph."""
    packages = [name for name in ("torch", "lightning", "accelerate", "skorch") if importlib.util.find_spec(name)]
    return (
        f"{arguments.regime}: {len(task.orders)} epochs of {len(task.orders[0]):,} rows in batches of {task.batch}; "
        f"all end at training loss {loop.final:.6f}, validation accuracy {loop.history[-1].accuracy:.4f}. "
        f"{arguments.repeats} interleaved repeats, one thread, {platform.machine()}. "
        f"Python {platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in packages)}."
    )


def available(names: Sequence[str]) -> list[str]:
    """Those of `names` whose package is installed, and the loop, to which all are compared."""
    missing = {name for name in names if importlib.util.find_spec(ROWS[name].package) is None}
    for name in sorted(missing):
        print(f"{name} is left out: pip install -r requirements-bench.txt brings {ROWS[name].package}")
    return [name for name in ROWS if name == "loop" or name in set(names) - missing]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regime", choices=["mlp", "cnn"], default="mlp")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default=",".join(ROWS), help="comma-separated: " + ", ".join(ROWS))
    arguments = parser.parse_args()
    if unknown := set(arguments.only.split(",")) - ROWS.keys():
        parser.error(f"--only knows {', '.join(ROWS)}, not {', '.join(sorted(unknown))}")
    return arguments


def main() -> None:
    arguments = parsed()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")  # advice to use more workers, and the like
    task = {"mlp": mlp, "cnn": cnn}[arguments.regime]()
    names = available(arguments.only.split(","))
    first = {name: measured(ROWS[name], task) for name in names}  # warms everything up, too
    for name, outcome in first.items():
        assert_same_work(name, outcome, first["loop"], task)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
    for repeat in range(arguments.repeats):
        for name in random.Random(repeat).sample(names, len(names)):  # nobody always runs after the same neighbour
            outcomes[name].append(measured(ROWS[name], task))
    print("\n".join(table(outcomes, task)))
    print("\n" + caption(arguments, task, first["loop"]))


if __name__ == "__main__":
    main()
