"""Several fits of a recipe trained as one stacked model: equal to one by one within rounding, in fewer, larger steps.

The fits' own models are views of the stack, so that scoring, checkpoints and predictions need not know of it. A stack
is not taken up where it was killed but trained again from its start, to the same bits.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from goldfold import batches
from goldfold.competition import MeanOverRows, Plan, Stage
from goldfold.engine import checkpoints, random_states, stacked_models, training_state
from goldfold.engine.facts import untrained_loss
from goldfold.engine.loop import Loop, autocast_dtype, sized_batches
from goldfold.engine.loss_log import LossLog
from goldfold.engine.selection import check, chosen
from goldfold.engine.stacked_models import StackError
from goldfold.engine.training import Observer, begin, check_stages, end_epoch, history_row, look, step, tell
from goldfold.engine.training_state import History, Training
from goldfold.errors import GoldfoldError

TOUCHED = 3 * 2**17  # bytes a fit's step may touch: beyond, one by one is as fast (benchmarks/stacked_folds.py)
WORKING = 2**25  # bytes the steps of one stack may touch together
ROWS = 2**30  # bytes the rows of one stack may take


@dataclass
class Member:
    """One fit of a stack.

    random: the states its plan left behind. folder: for checkpoints, None keeps none. Once trained, history and facts
    are what `training.train` returns.
    """

    plan: Plan
    random: dict[str, Any]
    folder: Path | None
    validate: Callable[[nn.Module], Mapping[str, float]]
    observe: Observer | None = None
    history: History = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Stack:
    """Fits in training. whole: of the stacked model; own: of each fit's model, which is a view of it."""

    members: Sequence[Member]
    whole: Training
    own: Sequence[Training]
    stage: Stage
    rows: batches.SideBySide
    loop: Loop


@dataclass(frozen=True)
class _Saved:
    """An epoch of one fit, put away in memory."""

    row: dict[str, Any]
    weights: dict[str, Tensor]
    state: dict[str, Any]


def at_once(plan: Plan, loop: Loop, device: torch.device, count: int) -> int:
    """How many of `count` fits like `plan` train as one stack: 1 where one by one is needed or as fast.

    The answer depends on options and shapes alone, so that the same command gives the same bits.
    """
    told = (loop.accumulate, loop.clip, loop.ema, loop.patience, loop.compile, loop.channels_last)
    if loop.stack == "never" or dist.is_initialized() or told != (1, None, None, None, False, False):
        return 1
    if len(plan.stages) != 1 or autocast_dtype(loop.precision, device) is not torch.float32:
        return 1
    epoch = plan.stages[0].batches(0)
    if not isinstance(plan.stages[0].losses, MeanOverRows) or not isinstance(epoch, batches.InMemory) or not len(epoch):
        return 1
    if not stacked_models.stackable(plan, next(iter(epoch)), device):
        return 1
    rows, weights = sum(each.nbytes for each in epoch.tensors), sum(each.nbytes for each in plan.model.parameters())
    touched = rows * len(epoch.positions[0]) // len(epoch.tensors[0]) + 4 * weights  # gradients, and what Adam keeps
    return 1 if touched > TOUCHED else max(1, min(count, WORKING // touched, ROWS // rows))


def train(
    members: Sequence[Member], *, loop: Loop, device: torch.device, keep_every: bool, higher_is_better: bool
) -> None:
    """Train plans of one `stacked_models.kind` together; each ends as `training.train` leaves it, within rounding.

    keep_every: write a checkpoint after every epoch; else the best ones' and the last in the end.

    Raises:
        StackError: these fits cannot be trained as one, or went wrong in a way that training one by one will tell.
        GoldfoldError: a checkpoint could not be written.
    """
    stack = _begun(members, loop, device)
    kept: list[list[_Saved]] = [[] for _ in members]
    for epoch in range(stack.stage.epochs):
        for k, row in enumerate(_train_epoch(stack, epoch)):
            member = members[k]
            random_states.restore(member.random)
            if (epoch + 1) % loop.validate_every == 0 or epoch + 1 == stack.stage.epochs:
                row |= look(member.plan, member.validate, member.plan.model)
                check(row, loop.select)
            member.history.append(row)
            if member.folder and (keep_every or _may_be_kept(row, member, loop.select, higher_is_better)):
                kept[k].append(_saved(stack, k, row))
                kept[k] = _written(kept[k], member) if keep_every else _best(kept[k], loop.select, higher_is_better)
            tell(member.observe, member.plan, 0, epoch, 1, sum(row["loss"].values()), row)
    for k, member in enumerate(members):
        _hand_back(stack, k)
        _written(kept[k], member)


def _begun(members: Sequence[Member], loop: Loop, device: torch.device) -> _Stack:
    models, stages = [member.plan.model.to(device) for member in members], [each.plan.stages[0] for each in members]
    for member in members:
        check_stages(member.plan, loop.select)
    trainable = {name for name, parameter in models[0].named_parameters() if parameter.requires_grad}
    own = [
        begin(member.plan.model, stage, loop, trainable, member.history, member.facts)
        for member, stage in zip(members, stages, strict=True)
    ]
    stacked = stacked_models.side_by_side(models)
    for training, each in zip(own, stages, strict=True):
        training.facts[each.name] |= untrained_loss(training.model, each, nullcontext)
    optimizer = stacked_models.optimizer_of(stages[0].optimizer(models[0]), models[0], stacked)
    stage = replace(stages[0], optimizer=lambda _: optimizer)
    whole = begin(stacked, stage, loop, trainable, [], {})
    epochs = [sized_batches(each, 0) for each in stages]
    rows = batches.side_by_side(epochs)
    batch, weights = next(iter(rows.batches(epochs)))
    stacked.train()
    for model in models:
        model.train()
    stacked_models.compare(
        stacked, models, [each.losses.of_rows for each in stages], batch, (weights > 0).sum(1).tolist()
    )
    return _Stack(members, whole, own, stage, rows, loop)


def _train_epoch(stack: _Stack, epoch: int) -> list[dict[str, Any]]:
    """One pass over all fits' batches; a row of history for each, with its share of the seconds."""
    started, fits = time.perf_counter(), len(stack.own)
    epochs = [sized_batches(member.plan.stages[0], epoch) for member in stack.members]
    model, values = stacked_models.Flat(stack.whole.model, fits).train(), []
    norms: dict[str, list[float | None]] = {}
    try:
        for number, (batch, weights) in enumerate(stack.rows.batches(epochs)):
            of_rows = stack.stage.losses.of_rows(model, batch)
            terms = {name: (each.view_as(weights) * weights).sum(1) for name, each in of_rows.items()}
            if number == 0:
                norms = {name: _norms(term, stack.whole.model) for name, term in terms.items()}
            summed = torch.stack(list(terms.values()))
            values.append(summed.detach())
            summed.sum().backward()
            step(stack.whole, stack.stage, stack.loop)
        logs = _logs(stack.stage.name, epoch, list(norms), torch.stack(values, 1), epochs)
    except (RuntimeError, GoldfoldError) as error:
        raise StackError(f"{error}") from error
    if not all(parameter.isfinite().all() for parameter in stack.whole.model.parameters()):
        raise StackError("weights are not finite")
    end_epoch(stack.whole, stack.stage)
    of_fit = [{name: each[k] for name, each in norms.items()} for k in range(fits)]
    row = partial(history_row, stack.whole, epoch, steps=len(values), seconds=(time.perf_counter() - started) / fits)
    return [row(losses=log, norms=norm) for log, norm in zip(logs, of_fit, strict=True)]


def _norms(term: Tensor, model: nn.Module) -> list[float | None]:
    """`facts.gradient_norms` of one term for every fit; term: (fits,)."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not term.requires_grad:
        return [None] * len(term)
    gradients = torch.autograd.grad(term.sum(), learning, retain_graph=True, allow_unused=True)
    known = [gradient.flatten(1).norm(dim=1) for gradient in gradients if gradient is not None]
    return torch.stack(known).norm(dim=0).tolist() if known else [None] * len(term)


def _logs(
    stage: str, epoch: int, terms: list[str], values: Tensor, epochs: Sequence[batches.InMemory]
) -> list[LossLog]:
    """Every fit's log of an epoch, looked at; values: (terms, steps, fits)."""
    logs = []
    for of_fit, own in zip(values.unbind(2), epochs, strict=True):
        log = LossLog(stage, epoch + 1)
        log.terms, log.rows, log.pending = (
            terms,
            [len(positions) for positions in own.positions],
            [of_fit.t().flatten()],
        )
        log.look()
        logs.append(log)
    return logs


def _hand_back(stack: _Stack, k: int) -> None:
    """Leave fit k's own optimizer, schedule and facts as they would be had it been trained by itself."""
    own, whole = stack.own[k], stack.whole
    stacked_models.hand_back(k, whole.optimizer, own.optimizer)
    if own.schedule:
        own.schedule.load_state_dict(copy.deepcopy(whole.schedule.state_dict()))
    own.rates = copy.deepcopy(whole.rates)
    for stage, noted in whole.facts.items():
        own.facts[stage] |= copy.deepcopy(noted) | {"stacked": len(stack.own)}


def _saved(stack: _Stack, k: int, row: dict[str, Any]) -> _Saved:
    _hand_back(stack, k)
    own = stack.own[k]
    weights = {name: value.clone() for name, value in own.model.state_dict().items()}
    return _Saved(row, weights, training_state.state_of(own))


def _may_be_kept(row: dict[str, Any], member: Member, select: str, higher_is_better: bool) -> bool:
    """Whether the newest epoch is the last, or the best so far by one of the rules `_best` goes by."""
    if row["epoch"] == member.plan.stages[0].epochs:
        return True
    return any(chosen(member.history, rule, higher_is_better) is row for rule in {"best", select} - {"last"})


def _best(saved: list[_Saved], select: str, higher_is_better: bool) -> list[_Saved]:
    """Those whose weights a fit by itself would keep, but for its spare: best by the metric, by `select`, and last."""
    rows = [each.row for each in saved]
    best = [chosen(rows, rule, higher_is_better) for rule in ("best", select)]
    return [each for each in saved if each.row in best or each is saved[-1]]


def _written(saved: list[_Saved], member: Member) -> list[_Saved]:
    """Make checkpoints of what was put away, of which nothing is left."""
    for each in saved:
        now = {name: value.clone() for name, value in member.plan.model.state_dict().items()}
        member.plan.model.load_state_dict(each.weights)
        checkpoints.save(member.folder, (0, each.row["epoch"]), each.row, member.plan.model, each.state)
        member.plan.model.load_state_dict(now)
        checkpoints.prune(member.folder, None)
    return []
