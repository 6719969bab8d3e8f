"""Averages of the weights of several epochs, with the statistics of BatchNorm layers estimated anew.

A uniform average is that of `torch.optim.swa_utils.AveragedModel` (Izmailov et al., Averaging Weights Leads to Wider
Optima and Better Generalization, 2018). A greedy soup adds epochs, best first, while the score does not fall (Wortsman
et al., Model soups, 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from goldfold.competition import Plan, Stage
from goldfold.errors import GoldfoldError
from goldfold.io.random_states import preserved_states
from goldfold.training import checkpoints
from goldfold.training.checkpoints import Checkpoint
from goldfold.training.distributed import is_writer
from goldfold.training.epoch_selection import check_select, rank_value
from goldfold.training.settings import LoopOptions, autocast

UNIFORM = "uniform"


@dataclass(frozen=True)
class Averaging:
    """What averages the epochs of a fit.

    folder: of its checkpoints. validate: model -> scores by name, the first of which is the metric.
    """

    plan: Plan
    loop: LoopOptions
    folder: Path
    validate: Callable[[nn.Module], Mapping[str, float]]
    higher_is_better: bool

    @property
    def stage(self) -> Stage:
        """The last stage, whose epochs are averaged."""
        return self.plan.stages[-1]


def average(given: Averaging, last: int) -> int:
    """Load the average of the epochs that the config names into the plan's model; returns the newest of them.

    The checkpoint of this epoch then holds the average, and says of which epochs. last: number of the last epoch.

    Raises:
        GoldfoldError: `epoch_not_kept`, an epoch has no weights; `epoch_averaged`; `unknown_select`.
    """
    found = _candidates(given, last)
    model = given.plan.model
    assert model is not None, "a plan with stages has a model"
    newest = found[-1]
    wanted = {"epochs": [each.row["epoch"] for each in found], "by": given.loop.average_by}
    if newest.row.get("averaged", {}).get("of") != wanted:
        _refuse_averaged(found)
        chosen = found if given.loop.average_by == UNIFORM else _greedy(given, found)
        _load(given, chosen)
        used = [each.row["epoch"] for each in chosen]
        if is_writer():
            checkpoints.replace_weights(newest, model, newest.row | {"averaged": {"of": wanted, "used": used}})
    else:
        checkpoints.load_weights(newest, model)
    return newest.row["epoch"]


def mean_weights(weights: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of tensors of equal names, computed in float64; counters and other whole numbers are the last ones."""
    return {
        name: torch.stack([each[name].double() for each in weights]).mean(0).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in weights[-1].items()
    }


def estimate_batch_norm(model: nn.Module, stage: Stage, precision: str) -> None:
    """Estimate the running statistics of BatchNorm layers over one epoch of a stage's batches; no weight changes.

    As `torch.optim.swa_utils.update_bn` does: every batch has the same share. Random states are restored.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over batches
    training = model.training
    model.train()
    context = autocast(precision, next(model.parameters()).device)
    with preserved_states(), torch.no_grad():
        for batch in stage.batches(stage.epochs - 1):
            with context():
                stage.losses(model, batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.train(training)


def _candidates(given: Averaging, last: int) -> list[Checkpoint]:
    """The checkpoints of the epochs to average, oldest first."""
    wanted = given.loop.averaged_epochs(last)
    known = {
        each.row["epoch"]: each
        for each in checkpoints.list_checkpoints(given.folder)
        if each.row["stage"] == given.stage.name
    }
    for epoch in wanted:
        if epoch not in known:
            raise GoldfoldError(
                "epoch_not_kept",
                f"epoch {epoch} is to be averaged, and only {', '.join(map(str, known))} were kept: name kept epochs",
            )
    return [known[epoch] for epoch in wanted]


def _refuse_averaged(found: Sequence[Checkpoint]) -> None:
    for each in found:
        if "averaged" in each.row:
            raise GoldfoldError(
                "epoch_averaged",
                f"epoch {each.row['epoch']} holds the average of epochs {each.row['averaged']['used']} and not its own "
                "weights: average the epochs of the run that trained them",
            )


def _greedy(given: Averaging, found: Sequence[Checkpoint]) -> list[Checkpoint]:
    """The epochs of a greedy soup, oldest first."""
    by, higher = given.loop.average_by, given.higher_is_better
    for each in found:
        check_select(each.row, by)
    scored = [(value, each) for each in found if (value := rank_value(each.row, by, higher)) is not None]
    ranked = [each for _, each in sorted(scored, key=lambda pair: (-pair[0], pair[1].order))]
    if not ranked:
        raise GoldfoldError(
            "epoch_not_scored",
            f"average_by is '{by}', and none of the epochs to average was scored: set validate_every",
        )
    chosen, best = ranked[:1], _score(given, ranked[:1])
    for each in ranked[1:]:
        tried = sorted([*chosen, each], key=lambda one: one.order)
        value = _score(given, tried)
        if value >= best:
            chosen, best = tried, value
    return chosen


def _score(given: Averaging, chosen: Sequence[Checkpoint]) -> float:
    """The value of an average, larger is better: the metric of the scored fold, or a value monitored elsewhere."""
    model, by = _load(given, chosen), given.loop.average_by
    model.eval()
    with preserved_states(), torch.no_grad():
        if by == "best":
            row: dict[str, Any] = {"metric": next(iter(given.validate(model).values())), "monitored": {}}
        else:
            assert given.plan.monitor is not None, "a plan with monitored values has a monitor"
            row = {"metric": None, "monitored": {k: v._asdict() for k, v in given.plan.monitor(model).items()}}
    value = rank_value(row, by, given.higher_is_better)
    return float("-inf") if value is None else value


def _load(given: Averaging, chosen: Sequence[Checkpoint]) -> nn.Module:
    """The plan's model with the average of some epochs."""
    model = given.plan.model
    assert model is not None, "a plan with stages has a model"
    model.load_state_dict(mean_weights([checkpoints.read_weights(each) for each in chosen]))
    if len(chosen) > 1:
        estimate_batch_norm(model, given.stage, given.loop.precision)
    return model
