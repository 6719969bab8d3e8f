"""Tell what a run will cost: disk space once its first plan is built, time once its first epoch is trained."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldfold.competition import Plan
from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import CHECKPOINTS, Experiment, FitObserver, fit_folder, fit_keys
from goldfold.experiment.run_folders import run_name
from goldfold.io.files import files_below
from goldfold.io.formatting import ROUNDING, count, duration
from goldfold.io.progress import EpochProgress, Observer
from goldfold.io.random_states import preserved_states
from goldfold.training.checkpoints import STATES_KEPT

if TYPE_CHECKING:
    from torch import nn

MOST_KEPT = 3  # weights of a complete fit without DEBUG: the newest two, and the best
MUCH = 100 * 2**20  # bytes of checkpoints that are told before training
AGREES = 0.05  # share by which the sizes of files and of what is in them differ, such as by their headers
WORTH_TELLING = 60  # seconds; shorter runs end before a forecast is read


class Costs:
    """Tells what a run will cost: disk space before its first epoch, time after it, each once.

    Both raise `disk_too_small` if the disk has less free space than the run still needs.

    observer: gets the lines. run: the run's folder.
    """

    def __init__(self, observer: Observer, experiment: Experiment, run: Path) -> None:
        self.observer, self.experiment, self.run = observer, experiment, run
        self.planned_bytes: float | None = None  # of all weights; None until a plan is known
        self.told_disk = self.told = False

    def planned(self, plan: Plan) -> None:
        """Tell what the first plan that trains will write, and refuse if it does not fit."""
        epochs = sum(stage.epochs for stage in plan.stages)
        if plan.model is None or not epochs or self.planned_bytes is not None:
            return
        weights, state = weight_bytes(plan.model), state_bytes(plan, bool(self.experiment.loop.ema))
        kept, fits = _kept_epochs(self.experiment, epochs), fit_keys(self.experiment)
        self.planned_bytes = weights * kept * len(fits)
        needed = self.planned_bytes + state * min(STATES_KEPT, epochs)
        written = sum(sum(_saved(fit_folder(self.run, *each))) for each in fits)
        refuse_small_disk(self.run, needed - written, shutil.disk_usage(self.run).free)
        if needed > MUCH or self.experiment.protocol.debug:
            self.told_disk = True
            self.observer.line(
                f"up to {mebibytes(needed)} of checkpoints: weights of {mebibytes(weights)} for {kept:.0f} of "
                f"{count(epochs, 'epoch')} in {count(len(fits), 'fit')}, and training states of {mebibytes(state)}"
            )

    def telling(self, watch: FitObserver) -> FitObserver:
        """An observer of fits that also prints the cost of the run after the first epoch that it sees.

        watch: the observer that gets every report.
        """

        def epoch(fold: int, seed: int, progress: EpochProgress) -> None:
            watch(fold, seed, progress)
            first = progress.epoch == 1 and progress.done * progress.epochs <= 1 + ROUNDING  # not so of a resumed fit
            if progress.row and first and not self.told:
                self.told = True
                fit = fit_folder(self.run, fold, seed)
                needed = further_bytes(self.experiment, fit, progress)
                refuse_small_disk(self.run, needed, shutil.disk_usage(self.run).free)
                if text := forecast(self.experiment, fit, progress, self.planned_bytes if self.told_disk else None):
                    self.observer.line(text)

        return epoch


def weight_bytes(model: nn.Module) -> int:
    """Bytes of a model's parameters and buffers, each once although several modules may share it."""
    tensors = {value.data_ptr(): value for value in model.state_dict().values()}
    return sum(value.numel() * value.element_size() for value in tensors.values())


def state_bytes(plan: Plan, averaged: bool) -> int:
    """Bytes of the largest training state of a plan's stages: what the optimizer keeps for each parameter.

    averaged: whether a moving average predicts, so that the weights in training are in the state, too. Two values for
    each parameter with `betas` (Adam and its like), one with momentum, none otherwise.
    """
    assert plan.model is not None, "a plan that trains has a model"
    sizes = [0]
    with preserved_states():
        for stage in plan.stages:
            groups = stage.optimizer(plan.model).param_groups if stage.epochs else []
            sizes.append(sum(_each(group) * _bytes(group["params"]) for group in groups))
    return max(sizes) + averaged * weight_bytes(plan.model)


def _each(group: Mapping[str, Any]) -> int:
    """How many values an optimizer keeps for a parameter of a group."""
    return 2 if "betas" in group else int(bool(group.get("momentum")))


def _bytes(parameters: Iterable[nn.Parameter]) -> int:
    return sum(each.numel() * each.element_size() for each in parameters)


def mebibytes(size: float) -> str:
    """A size as text.

    >>> mebibytes(3 * 2**30), mebibytes(2**15)
    ('3,072 MiB', '0.03 MiB')
    """
    return f"{size / 2**20:,.0f} MiB" if size >= 10 * 2**20 else f"{size / 2**20:.1g} MiB"


def forecast(experiment: Experiment, fit: Path, progress: EpochProgress, known: float | None = None) -> str | None:
    """The time and disk space of all fits in a line, from one trained epoch; None if the rest takes under a minute.

    fit: folder of the fit whose first epoch `progress` reports. known: bytes of all weights as they were told before;
        if the epoch agrees with it, they are not told again.
    """
    assert progress.row is not None, "the epoch has ended"
    epochs, fits = 1 / progress.done if progress.done else 1, len(fit_keys(experiment))
    seconds = progress.row["seconds"] * epochs * fits
    if seconds - progress.row["seconds"] < WORTH_TELLING:
        return None
    weights, _ = _saved(fit)
    kept = weights * _kept_epochs(experiment, epochs) * fits
    agrees = known is not None and abs(kept - known) <= AGREES * known
    disk = "" if agrees else f", {kept / 2**20:,.0f} MiB of checkpoints"
    return (
        f"about {duration(seconds)} of training{disk} for {count(fits, 'fit')}: one "
        f"epoch of {round(epochs)} took {duration(progress.row['seconds'])}, without validation"
    )


def _saved(fit: Path) -> tuple[int, int]:
    """Bytes of the weights, and of the training states, that a fit has saved so far."""
    files = list((fit / CHECKPOINTS).glob("*"))
    states = sum(file.stat().st_size for file in files if file.name.endswith(".training.pt"))
    return sum(file.stat().st_size for file in files) - states, states


def _kept_epochs(experiment: Experiment, epochs: float) -> float:
    return epochs if experiment.protocol.debug else min(MOST_KEPT, epochs)


def further_bytes(experiment: Experiment, fit: Path, progress: EpochProgress) -> float:
    """What all fits will write beside what the first epoch of `fit` has saved.

    A complete fit keeps weights alone; one in training also has the states of its newest epochs.
    """
    epochs = 1 / progress.done if progress.done else 1
    weights, state = _saved(fit)
    kept = weights * _kept_epochs(experiment, epochs) * len(fit_keys(experiment))
    return kept - weights + state * (min(STATES_KEPT, epochs) - 1)


def rest_bytes(run: Path, first: Path, fits: Sequence[tuple[int, int]]) -> int:
    """What a run will write beside what it has written, once its first fit is complete: fits, and what they add up to.

    first: folder of that fit, whose size is taken for all. fits: (fold, seed) of every fit.
    """
    written = [_size(fit_folder(run, *each)) for each in fits]
    validation, test = ((first / f"{name}.npy").stat().st_size for name in ("validation", "test"))
    return max(0, _size(first) * len(fits) - sum(written)) + validation * len(fits) + test


def _size(folder: Path) -> int:
    """Bytes of the files in a folder and below; 0 if there is none."""
    size = 0
    for path in files_below(folder):
        with suppress(FileNotFoundError):  # another worker renames what it has written
            size += path.stat().st_size
    return size


def refuse_small_disk(run: Path, needed: float, free: float) -> None:
    """Refuse to train on where the disk ends before the run does (`disk_too_small`); needed, free: bytes."""
    if needed > free:
        raise GoldfoldError(
            "disk_too_small",
            f"run '{run_name(run)}' may write up to {needed / 2**20:,.0f} MiB of checkpoints and predictions, and its "
            f"disk has {free / 2**20:,.0f} MiB free: free disk space (make clean), or leave out DEBUG, and run the "
            "same command again to resume",
        )
