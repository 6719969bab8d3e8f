"""How stages are trained, whatever the recipe: the options, and what they mean on a device."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice
from typing import Any, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from goldfold.competition import Stage
from goldfold.errors import GoldfoldError
from goldfold.params import Params


class Loop(Params):
    """Keys of every config."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="autocast type; auto: bfloat16, else float16, on a GPU, and float32 on a CPU"
    )
    accumulate: int = Field(1, ge=1, description="batches whose gradients make one optimizer step")
    clip: float | None = Field(None, gt=0, description="largest global norm of the gradient")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the weights' exponential moving average")
    select: str = Field("last", description="epoch that predicts: last, best by the metric, by a measure, or a number")
    patience: int | None = Field(None, ge=1, description="epochs without a better one before a stage stops")
    validate_every: int = Field(1, ge=1, description="epochs from one look at the metric to the next")
    channels_last: bool = Field(False, description="memory format of convolutions")
    compile: bool = Field(False, description="torch.compile the model")

    @field_validator("select", mode="before")
    @classmethod
    def _number(cls, select: Any) -> Any:
        return str(select) if type(select) is int else select

    @model_validator(mode="after")
    def _patience_selects(self) -> Loop:
        if self.patience and (self.select == "last" or self.select.isdecimal()):
            raise ValueError("patience stops after the best epoch, so it needs select: best")
        return self


def batch_rows(batch: Any) -> int:
    """The number of samples in a batch: the length of the first tensor found in it."""
    tensor = _first_tensor(batch)
    if tensor is None:
        raise GoldfoldError(f"a batch must hold a tensor whose first axis is the sample, got {type(batch).__name__}")
    return len(tensor)


def _first_tensor(batch: Any) -> Tensor | None:
    if isinstance(batch, Tensor):
        return batch
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (list, tuple)) else ()
    found = (_first_tensor(part) for part in parts)
    return next((tensor for tensor in found if tensor is not None), None)


def sized_batches(stage: Stage, epoch: int) -> Collection[Any]:
    """The batches of an epoch, of which there is at least one."""
    batches = stage.batches(epoch)
    if not len(batches):
        raise GoldfoldError(
            f"stage '{stage.name}' has no batch in epoch {epoch + 1}: lower batch_size, or keep the last batch"
        )
    return batches


def weighed(batches: Collection[Any], accumulate: int) -> Iterator[tuple[Any, int, float, bool]]:
    """Each batch with its rows, its share of the samples of its optimizer step, and whether it ends that step.

    A step over several batches thus has the gradient of one large batch, also where the last batch is smaller.
    """
    coming = iter(batches)
    while window := list(islice(coming, accumulate)):
        rows = [batch_rows(batch) for batch in window]
        for number, batch in enumerate(window, 1):
            yield batch, rows[number - 1], rows[number - 1] / sum(rows), number == len(window)


def unsynchronised(model: nn.Module) -> AbstractContextManager:
    return model.no_sync() if hasattr(model, "no_sync") else nullcontext()


def total(terms: Mapping[str, Tensor], share: float) -> Tensor:
    """The sum of a batch's loss terms, as a `share` of its optimizer step's."""
    first, *others = terms.values()
    summed = sum(others, first)
    return summed if share == 1 else summed * share


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision != "auto":
        return getattr(torch, precision)
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager]:
    dtype = autocast_dtype(precision, device)
    return nullcontext if dtype is torch.float32 else partial(torch.autocast, device.type, dtype)


def autocasting(precision: str, model: nn.Module | None) -> AbstractContextManager:
    """The context in which `model` predicts with the precision it was trained in."""
    parameter = next(model.parameters(), None) if model is not None else None
    return nullcontext() if parameter is None else autocast(precision, parameter.device)()


def explain(error: RuntimeError, rows: int) -> None:
    """Raise a sentence where `error` is one that users meet; torch has no exceptions of its own for most of them."""
    if "finished reduction in the prior iteration" in str(error):
        raise GoldfoldError(
            "with several processes every trained parameter needs a gradient in every batch, and some had none: freeze "
            "them, leave them out of the stage's optimizer, or train in one process"
        ) from error
    if "cannot be converted to type" in str(error) and "overflow" in str(error):
        raise GoldfoldError(f"a number is too large for the weights ({error}): lower the learning rate") from error
    if isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
        raise GoldfoldError(
            f"memory ran out at a batch of {rows}: try batch_size={max(1, rows // 2)}, with accumulate=2 the optimizer "
            "still sees as many samples"
        ) from error
