"""Predict the memory of a training step without running it: forward, backward and step over fake tensors.

Fake tensors have shapes and no data, so a step of any size takes a second and no memory. What is counted are the
storages alive at once. Workspaces of kernels and fragments of the allocator are not seen.
"""

from __future__ import annotations

import copy
import logging
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from goldfold.competition import Plan, Stage
from goldfold.io.random_states import preserved_states
from goldfold.training.capacity.curves import Hull, Line, line_through
from goldfold.training.diagnostics import freeze_unoptimized
from goldfold.training.settings import LoopOptions, autocast, batch_rows, epoch_batches, total_loss

STEPS = 2  # the first allocates the optimizer's state, the second has it beside the activations
SIZES = (8, 16)  # of the two traces; from 2 and 4 samples the line is off by 0.9 %


@dataclass(frozen=True)
class Predicted:
    """The memory of a training step over the batch, or why it cannot be traced.

    line: None if no trace was possible. why: the error in one clause; empty with a line. traced: batch -> bytes.
    scaled: names of the stages whose batch follows the batch size, the others being floors.
    """

    line: Line | Hull | None
    why: str
    traced: Mapping[int, int]
    scaled: tuple[str, ...]


def predict(build: Callable[[int], Plan], loop: LoopOptions, device: torch.device, cap: int, least: int) -> Predicted:
    """Trace two small batch sizes and two large ones, and draw a line through each pair.

    build: batch size -> a plan on the CPU. device: where it will train, which decides the precision. cap, least: the
    largest and smallest batch size.
    """
    large = max(least, min(SIZES[1], cap))
    small = max(least, min(SIZES[0], large // 2))
    plans = {size: build(size) for size in sorted({small, large})}
    rows = {size: [batch_rows(first_batch(stage)) for stage in plan.stages] for size, plan in plans.items()}
    grown = zip(plans[large].stages, rows[small], rows[large], strict=True)
    scaled = tuple(stage.name for stage, few, many in grown if few < many or small == large)
    peaks: dict[int, int] = {}
    try:
        peaks |= {size: traced_peak(plan, loop, device) for size, plan in plans.items()}
        larger = [factor * large for factor in (cap // large // 2, cap // large) if factor > 1]
        for size in larger:
            peaks[size] = traced_peak(plans[large], loop, device, (size // large, scaled))
    except Exception as error:  # whatever a model does to tensors without data; two real trials replace the trace
        lines = str(error).strip().splitlines() or [""]
        return Predicted(None, f"{type(error).__name__}: {lines[0]}"[:200], {}, scaled)
    if small == large:
        return Predicted(None, f"the cap of {cap} leaves one size to trace", peaks, scaled)
    known = sorted(peaks.items())
    few, many = line_through(*known[:2]), line_through(*known[-2:])
    return Predicted(few if few == many else Hull(few, many), "", peaks, scaled)


def first_batch(stage: Stage) -> Any:
    """The first batch of a stage."""
    return next(iter(epoch_batches(stage, 0)))


def traced_peak(
    plan: Plan, loop: LoopOptions, device: torch.device, larger: tuple[int, Collection[str]] = (1, ())
) -> int:
    """Peak bytes of training steps of a plan, that of its largest stage; the model itself is included.

    larger: a factor of the batches of some stages, which are not read for it.

    Raises the model's own error if it cannot run without data.
    """
    assert plan.model is not None, "a plan with stages has a model"
    with preserved_states(), _silent():
        times = {stage.name: larger[0] if stage.name in larger[1] else 1 for stage in plan.stages}
        return max(_traced_stage(plan.model, stage, loop, device, times[stage.name]) for stage in plan.stages)


def _longer(rows: int, times: int, mode: FakeTensorMode, real: Tensor) -> Tensor:
    """A fake tensor of a batch, its first axis several times as long if that is the sample."""
    fake = mode.from_tensor(real)
    return fake.new_empty((times * rows, *fake.shape[1:])) if times > 1 and fake.shape[:1] == (rows,) else fake


@contextmanager
def _silent() -> Iterator[None]:
    """Meanwhile, torch does not log the operators that fail without data."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    level, logger.level = logger.level, logging.CRITICAL
    try:
        yield
    finally:
        logger.level = level


def _traced_stage(model: nn.Module, stage: Stage, loop: LoopOptions, device: torch.device, times: int) -> int:
    real = first_batch(stage)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    precision = autocast_on_cpu(loop.precision, device)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, _LiveStorages() as storages:
        fake = without_data(model, mode).train()
        batch = pytree.tree_map_only(Tensor, partial(_longer, batch_rows(real), times, mode), real)
        pytree.tree_map_only(Tensor, storages.add, [*fake.parameters(), *fake.buffers(), batch])
        averaged = [torch.empty_like(each) for each in fake.parameters()] if loop.ema else []
        optimizer = stage.optimizer(fake)
        freeze_unoptimized(fake, optimizer, trainable)
        for _ in range(STEPS):
            with precision():
                terms = stage.losses(fake, batch)
            total_loss(terms, 1).backward()
            del terms
            optimizer.step()
            optimizer.zero_grad()
        del averaged
    return storages.peak


def autocast_on_cpu(precision: str, device: torch.device) -> Callable[[], Any]:
    """The autocast context of `device`, for tensors of the CPU."""
    from goldfold.training.settings import autocast_dtype

    dtype = autocast_dtype(precision, device)
    return autocast("float32" if dtype is torch.float32 else str(dtype).removeprefix("torch."), torch.device("cpu"))


def without_data(model: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """A copy of a real model whose parameters and buffers are fake.

    Some initializations read data and fail under fake tensors, so the model is built before.
    """
    known: dict[int, Any] = {}
    for real in model.buffers():
        known[id(real)] = mode.from_tensor(real)
    for parameter in model.parameters():
        known[id(parameter)] = nn.Parameter(mode.from_tensor(parameter.detach()), parameter.requires_grad)
    return copy.deepcopy(model, known)


class _LiveStorages(TorchDispatchMode):
    """Bytes of the storages alive at once, while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.known: set[int] = set()

    def add(self, tensor: Tensor) -> Tensor:
        """Count the storage of a tensor, once, until it is freed."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._remove, key, size).atexit = False
        return tensor

    def _remove(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.live -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return pytree.tree_map_only(Tensor, self.add, func(*args, **(kwargs or {})))
