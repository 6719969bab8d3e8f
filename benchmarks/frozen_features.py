"""What it saves that frozen towers run once per image: five folds x 20 epochs of `icons`, against towers in each epoch.

    python benchmarks/frozen_features.py [--image-size 96] [--epochs 2] [--whole]

goldfold computes the features of each image and text once, for all folds and epochs, and trains the head of the config
`baseline` on them. The script trains the same head from the same start, on the same rows in the same order, and runs
both towers on every batch of every epoch. CPU time of the process on one thread, everything from loading the towers to
the last validation.

A tower rounds differently in batches of another size and with its norms folded, and training amplifies that. So the
script first runs its towers as goldfold does: then training loss and mAP of the first --epochs must agree. It is timed
with whole batches and its norms as they are, as people write it.

The script takes long: by default --epochs of the first fold are measured and multiplied, and the table says so. --whole
measures all five folds.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
import torch.nn.functional as F
from pandas import DataFrame
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from competitions.icons import COMPETITION, data
from goldfold.competition import Fold, Runtime, Tables
from goldfold.experiment import config as configs
from goldfold.experiment.cross_validation import cross_validate
from goldfold.experiment.fits import Experiment
from goldfold.images import reading
from goldfold.io import memory
from goldfold.io.seeding import derive
from goldfold.nn import backbones, feature_cache, folding, text_towers
from goldfold.nn.batches import epoch_order, split_batches
from goldfold.nn.hash_fusion import FusionHead
from goldfold.nn.schedules import cosine
from goldfold.recipes.parameters.fusion import FusionParams

LABELS = list(data.LABELS)
CONFIG = {"recipe": "fusion", "model": "no_hash"}  # configs/icons/baseline.yaml
AT_ONCE = feature_cache.ON_CPU
LOSS_APART, SCORE_APART = 1e-6, 1e-9  # relative and absolute


@dataclass(frozen=True)
class Epoch:
    """Mean training loss, mAP of the validation rows, and CPU seconds."""

    loss: float
    score: float
    cpu: float


@dataclass(frozen=True)
class Script:
    """The script's epochs of each fold, and the CPU seconds before the first epoch of each."""

    folds: list[list[Epoch]]
    begun: list[float]


def experiment(tables: Tables, folds: Sequence[Fold], cache: Path, image_size: int) -> Experiment:
    """What `make train COMP=icons` sets up."""
    config = configs.resolve_config("baseline", {**CONFIG, "image_size": image_size}, COMPETITION.recipes)
    return Experiment(
        competition=COMPETITION,
        recipe=COMPETITION.recipes[config.recipe],
        params=config.params,
        loop=config.loop,
        protocol=config.protocol,
        tables=tables,
        folds=folds,
        runtime=Runtime(seed=0, device=torch.device("cpu"), cache=cache),
    )


def of_goldfold(found: Experiment, folder: Path) -> tuple[list[list[Epoch]], float]:
    """The epochs of each fold, without their CPU time, and the CPU seconds of all."""
    start = time.process_time()
    fits = list(cross_validate(found, folder))
    took = time.process_time() - start
    return [[Epoch(sum(row["loss"].values()), row["metric"], 0.0) for row in fit.history] for fit in fits], took


class Towers:
    """Both towers, run on whatever rows they get."""

    def __init__(self, params: FusionParams, at_once: int | None) -> None:
        net, mean, std = backbones.create(params.backbone, params.pretrained, image_size=params.image_size)
        self.image = nn.Sequential(backbones.Normalize(mean, std), net).eval()
        self.text, self.size = text_towers.load(params.text_tower), params.image_size
        self.at_once = at_once or params.batch_size
        if at_once:
            self.image = folding.fold(self.image, torch.zeros(1, self.size, self.size, 3, dtype=torch.uint8))

    def __call__(self, rows: DataFrame) -> tuple[Tensor, Tensor]:
        pixels = torch.from_numpy(reading.load_resized(rows["path"].tolist(), self.size))
        with torch.no_grad():
            image = torch.cat([self.image(part) for part in pixels.split(self.at_once)])
            return image, self.text(*self.text.tokenize(rows["text"].tolist()))


def of_script(
    params: FusionParams, train: DataFrame, folds: Sequence[Fold], epochs: int, at_once: int | None = None
) -> Script:
    """The loop as people write it: load, embed, step. at_once: images in a pass, as in goldfold; None: a batch."""
    begun, measured = [], []
    for number, fold in enumerate(folds):
        start = time.process_time()
        seed = derive(0, "fold", number)
        rows, held_out = train.iloc[fold.train], train.iloc[fold.validation]
        towers = Towers(params, at_once)
        torch.manual_seed(seed)
        model = _head(params, towers, rows)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, fused=True
        )
        steps = -(-len(rows) // params.batch_size)
        schedule = cosine(optimizer, params.epochs, steps, params.warmup)
        begun.append(time.process_time() - start)
        step = partial(_step, model, optimizer, schedule)
        measured.append([_epoch(params, towers, step, model, rows, held_out, seed, epoch) for epoch in range(epochs)])
    return Script(measured, begun)


def _head(params: FusionParams, towers: Towers, rows: DataFrame) -> FusionHead:
    """The head, standardized and with the biases of the labels' shares, for which the towers see the rows once."""
    parts = [towers(rows.iloc[at : at + params.batch_size]) for at in range(0, len(rows), params.batch_size)]
    image, text = (torch.cat(each) for each in zip(*parts, strict=True))
    model = FusionHead(
        (image.shape[1], text.shape[1]),
        len(LABELS),
        decompose=True,
        hidden=(1024, 512),
        bits=None,
        dropout=params.dropout,
    )
    shares = torch.tensor(rows[LABELS].to_numpy(np.float32)).mean(0).clamp(0.5 / len(rows), 1 - 0.5 / len(rows))
    model.classifier.bias.data.copy_(torch.logit(shares))
    model.standardize(image, text)
    return model


def _epoch(
    params: FusionParams,
    towers: Towers,
    step,
    model: FusionHead,
    rows: DataFrame,
    held_out: DataFrame,
    seed,
    epoch: int,
) -> Epoch:
    start, total = time.process_time(), 0.0
    model.train()
    for positions in split_batches(epoch_order(seed, epoch, len(rows)), params.batch_size):
        batch = rows.iloc[positions]
        total += len(batch) * step(towers(batch), torch.tensor(batch[LABELS].to_numpy(np.float32)))
    model.eval()
    parts = [held_out.iloc[at : at + params.batch_size] for at in range(0, len(held_out), params.batch_size)]
    with torch.no_grad():
        found = torch.cat([model(*towers(part)).logits.sigmoid() for part in parts]).double().numpy()
    score = float(np.mean([average_precision_score(held_out[label], found[:, at]) for at, label in enumerate(LABELS)]))
    return Epoch(total / len(rows), score, time.process_time() - start)


def _step(model: FusionHead, optimizer, schedule, inputs: tuple[Tensor, Tensor], labels: Tensor) -> float:
    loss = F.binary_cross_entropy_with_logits(model(*inputs).logits, labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    schedule.step()
    return loss.item()


def apart(mine: Sequence[Sequence[Epoch]], script: Script) -> tuple[float, float]:
    """The largest relative difference of a loss, and the largest difference of a score; asserted to be rounding."""
    pairs = [pair for ours, theirs in zip(mine, script.folds, strict=False) for pair in zip(ours, theirs, strict=False)]
    loss = max(abs(ours.loss / theirs.loss - 1) for ours, theirs in pairs)
    score = max(abs(ours.score - theirs.score) for ours, theirs in pairs)
    assert loss <= LOSS_APART, f"a training loss differs by {loss:.1e} of it"
    assert score <= SCORE_APART, f"a validation mAP differs by {score:.1e}"
    return loss, score


def table(cold: float, warm: float, script: Script, folds: int, epochs: int, whole: bool) -> Iterator[str]:
    measured = [epoch.cpu for fold in script.folds for epoch in fold]
    each, begin = float(np.mean(measured)), float(np.mean(script.begun))
    all_of_it = sum(measured) + sum(script.begun) if whole else folds * (begin + epochs * each)
    how = "measured whole" if whole else f"**not measured whole**: {folds} x ({begin:.1f} + {epochs} x {each:.1f}) s"
    yield "| | CPU seconds | the script's, divided by it | |"
    yield "|---|---:|---:|---|"
    yield f"| the script: towers in every epoch | {all_of_it:,.0f} | 1.0 | {how} |"
    yield f"| **goldfold**, nothing cached yet | {cold:.1f} | {all_of_it / cold:.1f} | measured whole |"
    yield f"| **goldfold**, features cached | {warm:.1f} | {all_of_it / warm:.1f} | measured whole |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--image-size", type=int, default=96, help="pixels; 96 are those of the config, towers take 224"
    )
    parser.add_argument("--epochs", type=int, default=2, help="epochs of the first fold that the script is measured on")
    parser.add_argument("--whole", action="store_true", help="measure all folds and epochs of the script")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    memory.keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("public", "private"):
            (folder / part).mkdir()
        data.prepare(folder / "raw", folder / "public", folder / "private")
        tables = data.load(folder / "public")
        folds = data.split(tables.train, 0)
        found = experiment(tables, folds, folder / "cache", arguments.image_size)
        mine, cold = of_goldfold(found, folder / "cold")
        _, warm = of_goldfold(found, folder / "warm")
        alike = of_script(found.params, tables.train, folds[:1], arguments.epochs, AT_ONCE)
        loss, score = apart(mine, alike)
        used, epochs = (folds, found.params.epochs) if arguments.whole else (folds[:1], arguments.epochs)
        script = of_script(found.params, tables.train, used, epochs)
    print("\n".join(table(cold, warm, script, len(folds), found.params.epochs, arguments.whole)))
    print(
        f"\n{len(folds)} folds x {found.params.epochs} epochs, {len(tables.train):,} icons of {arguments.image_size} "
        f"pixels. With towers run as in goldfold the losses of {arguments.epochs} epochs differ by at most "
        f"{loss:.0e} of them, mAP by at most {score:.0e}. One thread, {platform.machine()}, Python "
        f"{platform.python_version()}, torch {version('torch')}."
    )


if __name__ == "__main__":
    main()
