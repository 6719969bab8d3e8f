"""The capacity probe against other batch size finders, and its predictions against the memory of real steps.

    python benchmarks/capacity.py [steps | models]

Fake steps fail above a size; the loops of Lightning's and accelerate's finders are re-expressed in `batch_finders.py`.
Real steps run on the CPU in a child process each, which may take a limited memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from batch_finders import FINDERS

SIZES = (2, 5, 13, 100, 500, 3000, 8192)
UNSEEN = 1.7  # memory of a step / what its trace predicts, about as measured below
ROWS, SECONDS = 4096, 20.0
LIMITS = {"MLP, 3072-512-512-10": 100, "EfficientNet-Lite0, 224": 1400, "U-Net, ResNet-18, 128": 1000}  # MiB
CAPS = {"EfficientNet-Lite0, 224": 16, "U-Net, ResNet-18, 128": 256, "MLP, 3072-512-512-10": ROWS}


def fake_steps() -> None:
    """Print (answer, trials) of every finder, of the probe up to the limit of memory, and of all its trials."""
    from goldfold.training.capacity.curves import Line
    from goldfold.training.capacity.search import Bounds, Search, find_knee, find_largest

    print(f"{'fits':>6}  " + "  ".join(f"{name:>20}" for name in [*FINDERS, "goldfold", "and its knee"]))
    for largest in SIZES:
        cells = [finder(lambda batch, largest=largest: batch <= largest) for finder in FINDERS.values()]
        fixed, per_sample = 300e6, 40e6
        bounds = Bounds(cap=8192, limit=fixed + per_sample * (largest + 0.5))
        search = Search(partial(_fake, largest, fixed, per_sample), bounds, Line(fixed / UNSEEN, per_sample / UNSEEN))
        cells.append((find_largest(search), len(search.trials)))
        cells.append((find_knee(search), len(search.trials)))
        print(f"{largest:6}  " + "  ".join(f"{f'{answer}/{trials}':>20}" for answer, trials in cells))


def _fake(largest: int, fixed: float, per_sample: float, batch: int):
    import random

    from goldfold.training.capacity.trials import Trial

    if batch > largest:
        return Trial(batch=batch, status="out_of_memory")
    draw = random.Random(batch)
    peak = int((fixed + per_sample * batch) * draw.gauss(1, 0.005))
    rates = tuple(batch / (batch + 20) * draw.gauss(1, 0.02) for _ in range(7))
    return Trial(batch=batch, status="fits", allocated=peak, reserved=peak, rates=rates)


def plan(model: str, batch: int):
    """A plan of one stage over random rows."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from goldfold.competition import Plan, Stage
    from goldfold.nn import backbones
    from goldfold.nn.batches import in_memory

    torch.manual_seed(0)
    if model.startswith("EfficientNet"):
        net = backbones.create("efficientnet_lite0", pretrained=False, num_classes=2).model
        inputs, labels = torch.randn(64, 3, 224, 224), torch.arange(64) % 2
    elif model.startswith("U-Net"):
        import segmentation_models_pytorch as smp

        net = smp.Unet("resnet18", encoder_weights=None, classes=2)
        inputs, labels = torch.randn(256, 3, 128, 128), torch.zeros(256, 128, 128, dtype=torch.long)
    else:
        net = nn.Sequential(nn.Linear(3072, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
        inputs, labels = torch.randn(ROWS, 3072), torch.arange(ROWS) % 10
    stage = Stage(
        name="fit",
        epochs=1,
        batches=in_memory((inputs, labels), batch, seed=0, drop_last=True),
        losses=lambda net, rows: {"cross_entropy": F.cross_entropy(net(rows[0]), rows[1])},
        optimizer=lambda net: torch.optim.AdamW(net.parameters(), 1e-3, fused=True),
    )
    return Plan(model=net, stages=[stage], predict=lambda net, _, rows: net(rows))


def real_trial(model: str, batch: int, limit: float) -> str:
    """Measure a trial in this process, as JSON."""
    import torch

    from goldfold.io import memory
    from goldfold.training.capacity.measured import Request, Subject, measure
    from goldfold.training.capacity.meters import meter
    from goldfold.training.settings import LoopOptions

    memory.keep_freed_memory()
    torch.set_num_threads(1)
    cpu, own = torch.device("cpu"), plan(model, batch)
    rows = next(iter(own.stages[0].batches(0)))[0]

    def validate(net: torch.nn.Module) -> None:
        with torch.no_grad():
            net.eval()(rows)

    request = Request(batch=batch, limit=limit, seconds=SECONDS, timed=("fit",))
    return json.dumps(measure(Subject(own, LoopOptions(), cpu, validate), request, meter(cpu)).facts())


def in_child(model: str, limit: float, batch: int):
    """The trial of a child process; one without an answer ran out of memory."""
    from goldfold.training.capacity.trials import Trial, from_facts

    command = [sys.executable, str(Path(__file__)), "child", model, str(batch), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return from_facts(json.loads(done.stdout.splitlines()[-1]))
    assert done.returncode < 0, done.stderr
    return Trial(batch=batch, status="out_of_memory", code="killed")


def real_steps() -> None:
    """Print what was predicted for the largest batch and what it took, with the number of trials."""
    import torch

    from goldfold.training.capacity.predicted import predict
    from goldfold.training.capacity.search import Bounds, Search, find_largest
    from goldfold.training.settings import LoopOptions

    head = ("model", "limit", "largest", "measured", "predicted", "off by", "traced alone", "off by", "trials")
    print("  ".join(f"{word:>12}" for word in head))
    for model, mebibytes in LIMITS.items():
        limit = mebibytes * 2.0**20
        build: Callable = partial(plan, model)
        told = predict(build, LoopOptions(), torch.device("cpu"), CAPS[model], 1)
        assert told.line, told.why
        search = Search(partial(in_child, model, limit), Bounds(cap=CAPS[model], limit=limit), told.line)
        largest = find_largest(search)
        for batch, trial in search.fitting.items():
            foreseen, traced = search.foreseen[batch], told.line.at(batch)
            cells = [f"{limit / 2**20:,.0f} MiB", str(batch), f"{trial.peak / 2**20:,.0f} MiB"]
            for value in (foreseen, traced):
                cells += [f"{value / 2**20:,.0f} MiB", f"{value / trial.peak - 1:+.1%}"]
            known = str(len(search.trials)) if batch == largest else ""
            print(f"{model}  " + "  ".join(f"{cell:>12}" for cell in [*cells, known]), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        print(real_trial(sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
    else:
        if sys.argv[1:] != ["models"]:
            fake_steps()
        if sys.argv[1:] != ["steps"]:
            real_steps()
