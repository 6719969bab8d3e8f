"""Options of the training loop, and what they mean on a device: precision, gradient accumulation, batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice
from typing import Any, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from goldfold.competition import Batches, Stage
from goldfold.errors import GoldfoldError
from goldfold.params import Params


class LoopOptions(Params):
    """Keys of every config: how stages are trained, whatever the recipe."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="autocast type; auto: bfloat16 or else float16 on a GPU, float32 on a CPU"
    )
    accumulate: int = Field(1, ge=1, description="batches whose gradients are accumulated for one optimizer step")
    clip: float | None = Field(None, gt=0, description="maximum global norm of the gradient")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the weights' exponential moving average")
    ema_statistics: Literal["copied", "estimated"] = Field(
        "copied",
        description="BatchNorm statistics of the average: those of the weights in training, or estimated after each "
        "epoch on an epoch of training batches",
    )
    average: int | tuple[int, ...] = Field(
        (),
        description="epochs of the last stage whose weights are averaged to predict: [6, 8, 10], or 3 for the last 3",
    )
    average_by: str = Field(
        "uniform",
        description="uniform: all; best, or the name of a monitored value: a greedy soup by the metric or by it",
    )
    select: str = Field(
        "last",
        description="epoch that predicts: last, best (by the metric), the name of a monitored value, or a number",
    )
    patience: int | None = Field(
        None, ge=1, description="early stopping: epochs without improvement before a stage stops"
    )
    init_from: str = Field(
        "", description="run whose weights a fit starts from, those of the same fold, such as baseline-r1; empty: none"
    )
    hard_examples: int = Field(
        0, ge=0, description="training rows with the largest losses to list after each epoch, to find wrong labels"
    )
    validate_every: int = Field(1, ge=1, description="epochs from one validation to the next")
    channels_last: bool = Field(False, description="channels-last memory format, faster for convolutions on a GPU")
    compile: bool = Field(False, description="torch.compile the model")

    @field_validator("select", mode="before")
    @classmethod
    def _number(cls, select: Any) -> Any:
        return str(select) if type(select) is int else select

    @field_validator("average")
    @classmethod
    def _several(cls, average: int | tuple[int, ...]) -> int | tuple[int, ...]:
        if isinstance(average, int):
            if average < 2:
                raise ValueError("an average needs two epochs: give 2 or more, or a list of epochs")
            return average
        if average and (len(set(average)) < max(2, len(average)) or min(average) < 1):
            raise ValueError("an average needs two or more different epochs, counted from 1")
        return tuple(sorted(average))

    @model_validator(mode="after")
    def _average_selects(self) -> LoopOptions:
        if self.average and self.select != "last":
            raise ValueError(f"select={self.select} names one epoch, and average several: leave one of them out")
        if self.average_by != "uniform" and not self.average:
            raise ValueError(f"average_by={self.average_by} has no effect without average")
        if self.ema_statistics != "copied" and not self.ema:
            raise ValueError(f"ema_statistics={self.ema_statistics} has no effect without ema")
        return self

    def averaged_epochs(self, last: int) -> tuple[int, ...]:
        """Numbers of the epochs to average, ascending; empty without an average. last: number of the last epoch."""
        if isinstance(self.average, tuple):
            return self.average
        return tuple(range(max(1, last - self.average + 1), last + 1))

    @model_validator(mode="after")
    def _patience_selects(self) -> LoopOptions:
        if self.patience and (self.select == "last" or self.select.isdecimal()):
            raise ValueError("patience stops after the best epoch, so it needs select: best or a monitored value")
        return self


def batch_rows(batch: Any) -> int:
    """The number of samples in a batch: the length of the first tensor found in it.

    Raises:
        GoldfoldError: the batch holds no tensor.
    """
    tensor = _first_tensor(batch)
    if tensor is None:
        raise GoldfoldError(
            "batch_without_tensor",
            f"a batch must hold a tensor whose first axis is the sample, got {type(batch).__name__}",
        )
    return len(tensor)


def _first_tensor(batch: Any) -> Tensor | None:
    if isinstance(batch, Tensor):
        return batch
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (list, tuple)) else ()
    found = (_first_tensor(part) for part in parts)
    return next((tensor for tensor in found if tensor is not None), None)


def epoch_batches(stage: Stage, epoch: int) -> Batches:
    """The batches of a 0-based epoch.

    Raises:
        GoldfoldError: there are none.
    """
    batches = stage.batches(epoch)
    if not len(batches):
        raise GoldfoldError(
            "stage_without_batches",
            f"stage '{stage.name}' has no batch in epoch {epoch + 1}: lower batch_size, or do not drop the last batch",
        )
    return batches


def with_accumulation(batches: Batches, accumulate: int) -> Iterator[tuple[Any, int, float, bool]]:
    """Yield each batch with its rows, its share of the samples of its optimizer step, and whether it ends that step.

    Weighting by the share gives a step over several batches the gradient of one large batch, even if the last batch is
    smaller.
    """
    remaining = iter(batches)
    while window := list(islice(remaining, accumulate)):
        rows = [batch_rows(batch) for batch in window]
        for number, batch in enumerate(window, 1):
            yield batch, rows[number - 1], rows[number - 1] / sum(rows), number == len(window)


def without_gradient_sync(model: nn.Module) -> AbstractContextManager:
    """A context in which a distributed model does not average gradients over processes."""
    no_sync: Callable[[], AbstractContextManager] = getattr(model, "no_sync", nullcontext)
    return no_sync()


def total_loss(terms: Mapping[str, Tensor], share: float) -> Tensor:
    """The sum of a batch's loss terms, times its `share` of the optimizer step's samples."""
    first, *others = terms.values()
    summed = sum(others, first)
    return summed if share == 1 else summed * share


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The dtype that `precision` means on `device`."""
    if precision != "auto":
        return getattr(torch, precision)
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse float16 on a CPU, where it is emulated: a run that took 13 s in bfloat16 took 323 s.

    Raises:
        GoldfoldError: `float16_on_cpu`.
    """
    if precision == "float16" and device.type == "cpu":
        raise GoldfoldError(
            "float16_on_cpu",
            "precision is float16, which CPUs compute about 25 times as slowly as bfloat16: set precision=bfloat16 or "
            "float32, or train on a GPU",
        )


def autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager]:
    """A factory of autocast contexts for `precision` on `device`; of null contexts for float32."""
    dtype = autocast_dtype(precision, device)
    return nullcontext if dtype is torch.float32 else partial(torch.autocast, device.type, dtype)


def autocast_for(precision: str, model: nn.Module | None) -> AbstractContextManager:
    """The context in which `model` predicts with the precision it was trained in."""
    parameter = next(model.parameters(), None) if model is not None else None
    return nullcontext() if parameter is None else autocast(precision, parameter.device)()


def explain_runtime_error(error: RuntimeError, rows: int) -> None:
    """Raise a GoldfoldError if `error` is a common user error; torch has no exception types for most of them.

    rows: number of samples in the batch that failed.
    """
    if "finished reduction in the prior iteration" in str(error):
        raise GoldfoldError(
            "parameters_unused",
            "training in several processes needs a gradient for every trained parameter in every batch, and some had "
            "none: freeze them, leave them out of the stage's optimizer, or train in one process",
        ) from error
    if "cannot be converted to type" in str(error) and "overflow" in str(error):
        raise GoldfoldError(
            "gradient_overflow", f"a number is too large for the weights ({error}): lower the learning rate"
        ) from error
    if isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
        raise GoldfoldError(
            "out_of_memory",
            f"memory ran out at a batch of {rows} samples: set batch_size={max(1, rows // 2)}, and accumulate=2 to "
            "keep as many samples per optimizer step",
        ) from error
