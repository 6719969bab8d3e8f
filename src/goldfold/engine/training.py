"""The one training loop: plain PyTorch, from a plan's first stage to its last epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from pydantic import Field, model_validator
from torch import Tensor, nn

from goldfold.competition import Plan, Stage
from goldfold.engine import checkpoints, training_state
from goldfold.engine.facts import gradient_norms, without_gradient
from goldfold.engine.training_state import History, Training
from goldfold.errors import GoldfoldError
from goldfold.params import Params

LOOK_SECONDS = 0.5  # between two looks at the losses, since a look makes the device wait


class Loop(Params):
    """How stages are trained, whatever the recipe: keys of every config."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="autocast type; auto: bfloat16, else float16, on a GPU, and float32 on a CPU"
    )
    accumulate: int = Field(1, ge=1, description="batches whose gradients make one optimizer step")
    clip: float | None = Field(None, gt=0, description="largest global norm of the gradient")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the weights' exponential moving average")
    select: Literal["last", "best"] = Field("last", description="the epoch whose weights predict")
    patience: int | None = Field(None, ge=1, description="epochs without a better metric before a stage stops")
    validate_every: int = Field(1, ge=1, description="epochs from one look at the metric to the next")
    channels_last: bool = Field(False, description="memory format of convolutions")
    compile: bool = Field(False, description="torch.compile the model")

    @model_validator(mode="after")
    def _patience_selects(self) -> Loop:
        if self.patience and self.select != "best":
            raise ValueError("patience stops after the best epoch, so it needs select: best")
        return self


@dataclass(frozen=True)
class Progress:
    """What an observer is told: now and then within an epoch (`row` is None), and at its end.

    epoch is 1-based and of the stage; done is the share of the plan's epochs behind us, in [0, 1]; loss is the mean
    total of the epoch so far.
    """

    stage: str
    epoch: int
    epochs: int
    done: float
    loss: float
    row: dict[str, Any] | None = None


Observer = Callable[[Progress], None]


def train(
    plan: Plan,
    *,
    loop: Loop,
    device: torch.device,
    folder: Path | None = None,
    keep_every: bool = False,
    validate: Callable[[nn.Module], float] | None = None,
    higher_is_better: bool = True,
    observe: Observer | None = None,
) -> tuple[History, dict[str, Any]]:
    """Carry out `plan`'s stages; its model ends with the last epoch's (averaged) weights.

    folder: for checkpoints; training goes on from the newest whole one there. None keeps none.
    keep_every: keep every epoch's weights, not only the best and the last.
    validate: model -> the metric by which epochs are told apart.

    Returns the history and the facts for audits. A row of history has stage, epoch (1-based), loss (each term's mean
    over samples), metric (or None), learning_rate (each group's, at the last step), gradient_norm (each term's, at the
    first batch), samples, steps, seconds. Facts: stage -> `rates`, the parameters its optimizer `held`, and those
    `without_gradient`.

    Raises:
        GoldfoldError: a loss is not finite, memory ran out, or a checkpoint could not be written.
    """
    model = plan.model.to(device)
    if loop.channels_last:
        model.to(memory_format=torch.channels_last)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    history: History = []
    facts: dict[str, Any] = {}
    found = checkpoints.newest_state(folder) if folder else None
    reached_stage, reached_epoch = found[0].order if found else (0, 0)
    for index, stage in enumerate(plan.stages):
        if index < reached_stage:
            continue
        training = _begin(model, stage, loop, trainable, history, facts)
        resumed = found is not None and index == reached_stage
        if resumed:
            checkpoints.load_weights(found[0], training.predictor)
            training_state.restore(training, found[1])
        for epoch in range(reached_epoch if resumed else 0, stage.epochs):
            report = partial(_report, observe, plan, index, epoch)
            if _exhausted(history, stage.name, loop.patience, higher_is_better):
                break
            row = _train_epoch(training, stage, epoch, loop, report)
            if validate and ((epoch + 1) % loop.validate_every == 0 or epoch + 1 == stage.epochs):
                row["metric"] = _agreed(validate, training.predictor)
            history.append(row)
            if folder and is_writer():
                checkpoints.save(folder, (index, epoch + 1), row, training.predictor, training_state.state_of(training))
                checkpoints.prune(folder, None if keep_every else _worth_keeping(folder, higher_is_better))
            report(1, sum(row["loss"].values()), row)
        if training.average:
            model.load_state_dict(training.predictor.state_dict())
    return history, facts


def _train_epoch(
    training: Training, stage: Stage, epoch: int, loop: Loop, report: Callable[[float, float], None]
) -> dict[str, Any]:
    """One pass over a stage's batches: the loop itself."""
    model, optimizer, scaler = training.wrapped, training.optimizer, training.scaler
    batches = stage.batches(epoch)
    count, samples, steps = len(batches), 0, 0
    autocast = _autocast(loop.precision, next(training.model.parameters()).device)
    losses = _Losses(stage.name, epoch + 1)
    norms: dict[str, float | None] = {}
    started = looked = time.perf_counter()
    model.train()
    for number, batch in enumerate(batches):
        samples += (rows := batch_rows(batch))
        stepping = (number + 1) % loop.accumulate == 0 or number + 1 == count
        window = min(loop.accumulate, count - number // loop.accumulate * loop.accumulate)
        try:
            if number == 0:
                norms = gradient_norms(training.model, stage.losses, batch, autocast)
            with autocast():
                terms = stage.losses(model, batch)
            with _SYNCHRONISED if stepping else _unsynchronised(model):
                scaler.scale(_total(terms, window)).backward()
        except RuntimeError as error:
            raise _out_of_memory(error, rows) from error
        losses.add(terms, rows)
        if stepping:
            if loop.clip:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(training.model.parameters(), loop.clip)
            scaler.step(optimizer)
            scaler.update()
            steps += 1
            if epoch == 0 and steps == 1:
                training.facts[stage.name]["without_gradient"] = without_gradient(training.model, optimizer)
            optimizer.zero_grad()
            if training.average:
                training.average.update_parameters(training.model)
            if training.schedule and stage.schedule_per == "step":
                training.rates.note(optimizer)
                training.schedule.step()
        if time.perf_counter() - looked > LOOK_SECONDS:
            report((number + 1) / count, losses.mean())
            looked = time.perf_counter()
    losses.look()
    _end_epoch(training, stage)
    return {
        "stage": stage.name,
        "epoch": epoch + 1,
        "loss": losses.means(),
        "metric": None,
        "learning_rate": list(training.rates.final),
        "gradient_norm": norms,
        "samples": samples,
        "steps": steps,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _report(
    observe: Observer | None, plan: Plan, index: int, epoch: int, part: float, loss: float, row: dict | None = None
) -> None:
    if observe is None:
        return
    stage = plan.stages[index]
    behind = sum(earlier.epochs for earlier in plan.stages[:index]) + epoch + part
    observe(Progress(stage.name, epoch + 1, stage.epochs, behind / sum(s.epochs for s in plan.stages), loss, row))


def _end_epoch(training: Training, stage: Stage) -> None:
    if training.schedule is None or stage.schedule_per == "epoch":
        training.rates.note(training.optimizer)
    if training.schedule and stage.schedule_per == "epoch":
        training.schedule.step()
    training.facts[stage.name]["rates"] = training.rates.facts()


def _begin(
    model: nn.Module, stage: Stage, loop: Loop, trainable: set[str], history: History, facts: dict[str, Any]
) -> Training:
    steps_per_epoch = math.ceil(len(stage.batches(0)) / loop.accumulate)
    training = training_state.begin(model, stage, steps_per_epoch, trainable, history, facts)
    device = next(model.parameters()).device
    training.scaler = torch.amp.GradScaler(device.type, enabled=_dtype(loop.precision, device) is torch.float16)
    if loop.ema:
        training_state.average(training, loop.ema)
    training_state.wrap(training, loop.compile)
    return training


class _Losses:
    """An epoch's losses: left on the device until they are looked at, then checked and kept as numbers."""

    def __init__(self, stage: str, epoch: int) -> None:
        self.where = f"epoch {epoch} of stage '{stage}'"
        self.terms: list[str] = []
        self.pending: list[Tensor] = []
        self.rows: list[int] = []
        self.values: list[list[float]] = []

    def add(self, terms: Mapping[str, Tensor], rows: int) -> None:
        self.terms = list(terms)
        self.pending.extend(term.detach() for term in terms.values())
        self.rows.append(rows)

    def look(self) -> None:
        """Raises GoldfoldError naming epoch, batch and term where a loss is not finite."""
        if not self.pending:
            return
        first = len(self.values)
        self.values += torch.stack(self.pending).double().view(-1, len(self.terms)).tolist()
        self.pending.clear()
        for number, values in enumerate(self.values[first:], first + 1):
            for term, value in zip(self.terms, values, strict=True):
                if not math.isfinite(value):
                    raise GoldfoldError(
                        f"loss term '{term}' is {value} at batch {number}, {self.where}: lower the learning rate or "
                        "set clip; the weights of the epoch before are kept"
                    )

    def means(self) -> dict[str, float]:
        """Each term's mean over samples, independent of when the losses were looked at."""
        total = sum(self.rows)
        columns = zip(*self.values, strict=True)
        return {
            term: math.fsum(value * rows for value, rows in zip(column, self.rows, strict=True)) / total
            for term, column in zip(self.terms, columns, strict=True)
        }

    def mean(self) -> float:
        self.look()
        return sum(self.means().values())


def chosen(history: History, select: Literal["last", "best"], higher_is_better: bool) -> dict[str, Any]:
    """The row of the last stage whose weights predict: its last epoch, or its best by metric (the first of equals)."""
    rows = [row for row in history if row["stage"] == history[-1]["stage"]]
    scored = [row for row in rows if row["metric"] is not None]
    if select == "last" or not scored:
        return rows[-1]
    sign = 1 if higher_is_better else -1
    return max(scored, key=lambda row: (sign * row["metric"], -row["epoch"]))


def batch_rows(batch: Any) -> int:
    """The number of samples in a batch: the length of the first tensor found in it."""
    while not isinstance(batch, Tensor):
        batch = next(iter(batch.values() if isinstance(batch, Mapping) else batch))
    return len(batch)


def is_writer() -> bool:
    """Whether this process is the one of a distributed run that writes files."""
    return not dist.is_initialized() or dist.get_rank() == 0


def _exhausted(history: History, stage: str, patience: int | None, higher_is_better: bool) -> bool:
    rows = [row for row in history if row["stage"] == stage]
    if not patience or not rows:
        return False
    return rows[-1]["epoch"] - chosen(rows, "best", higher_is_better)["epoch"] >= patience


def _worth_keeping(folder: Path, higher_is_better: bool) -> set[Path]:
    """Each stage's best and last checkpoints."""
    by_stage: dict[str, list[checkpoints.Checkpoint]] = {}
    for checkpoint in checkpoints.listed(folder):
        by_stage.setdefault(checkpoint.row["stage"], []).append(checkpoint)
    kept = set()
    for saved in by_stage.values():
        best = chosen([checkpoint.row for checkpoint in saved], "best", higher_is_better)
        kept |= {checkpoint.path for checkpoint in saved if checkpoint.row is best} | {saved[-1].path}
    return kept


def _agreed(validate: Callable[[nn.Module], float], model: nn.Module) -> float:
    """The metric, without touching the random states of training, and the same on all processes."""
    with torch.random.fork_rng():
        value = [validate(model)]
    if dist.is_initialized():
        dist.broadcast_object_list(value, src=0)
    return value[0]


def _total(terms: Mapping[str, Tensor], window: int) -> Tensor:
    first, *others = terms.values()
    total = sum(others, first)
    return total if window == 1 else total / window


_SYNCHRONISED: AbstractContextManager = nullcontext()


def _unsynchronised(model: nn.Module) -> AbstractContextManager:
    return model.no_sync() if hasattr(model, "no_sync") else nullcontext()


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision != "auto":
        return getattr(torch, precision)
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager]:
    dtype = _dtype(precision, device)
    return nullcontext if dtype is torch.float32 else partial(torch.autocast, device.type, dtype)


def autocasting(precision: str, model: nn.Module | None) -> AbstractContextManager:
    """The context in which `model` predicts with the precision it was trained in."""
    parameter = next(model.parameters(), None) if model is not None else None
    return nullcontext() if parameter is None else _autocast(precision, parameter.device)()


def _out_of_memory(error: RuntimeError, rows: int) -> Exception:
    """What to raise for `error`: a sentence where memory ran out (the CPU's allocator has no class of its own)."""
    if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
        return error
    return GoldfoldError(
        f"memory ran out at a batch of {rows}: try batch_size={max(1, rows // 2)}, with accumulate=2 the optimizer "
        "still sees as many samples"
    )
