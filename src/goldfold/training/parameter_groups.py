"""What is recorded of each parameter group of a stage: learning rates, gradient norms, weights that never moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

TRACED = 512  # rates that are kept of each group; beyond, every second one is dropped
MEASURED = 16  # optimizer steps of an epoch whose gradients are measured, if clipping does not measure all


def names(optimizer: Optimizer) -> list[str]:
    """Names of the parameter groups: their key `name`, else their number, which also tells equal names apart."""
    told = [str(group.get("name", number)) for number, group in enumerate(optimizer.param_groups)]
    return [name if told.count(name) == 1 else f"{name} {number}" for number, name in enumerate(told)]


@dataclass
class LearningRates:
    """Learning rates of a stage's parameter groups, one value for each group in the optimizer's order.

    names: of the groups. configured: as the optimizer was built, before any schedule. peak, final: the highest rate,
        and that of the last optimizer step. next: the rate the schedule would use after the last step. minima: how
        often the rate fell and then rose again. falling: whether it fell at its last change.
    recorded: how often rates were recorded: at every step, or every epoch if only epochs change them. trace: the rates
        of the records 0, stride, 2 stride and so on, at most `TRACED`, each a list with the rates of all groups.
    """

    names: list[str] = field(default_factory=list)
    configured: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    final: list[float] = field(default_factory=list)
    next: list[float] = field(default_factory=list)
    minima: list[int] = field(default_factory=list)
    falling: list[bool] = field(default_factory=list)
    recorded: int = 0
    stride: int = 1
    trace: list[list[float]] = field(default_factory=list)

    @classmethod
    def of(cls, optimizer: Optimizer) -> LearningRates:
        """Start recording the rates of an optimizer that has made no step."""
        configured = [float(group["lr"]) for group in optimizer.param_groups]
        groups = len(configured)
        return cls(names(optimizer), configured, [0.0] * groups, minima=[0] * groups, falling=[False] * groups)

    def record(self, optimizer: Optimizer) -> None:
        """Record the rates of the optimizer step just made."""
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        for group, (rate, before) in enumerate(zip(rates, self.final or rates, strict=True)):
            if rate > before and self.falling[group]:
                self.minima[group] += 1
            self.falling[group] = rate < before or (rate == before and self.falling[group])
            self.peak[group] = max(self.peak[group], rate)
        self.final = rates
        self._keep(rates)

    def _keep(self, rates: list[float]) -> None:
        """Add rates to the trace, which is thinned if it is full."""
        if self.recorded % self.stride == 0:
            self.trace.append(rates)
        self.recorded += 1
        if len(self.trace) > TRACED:
            self.trace = self.trace[::2]
            self.stride *= 2

    def record_next(self, optimizer: Optimizer) -> None:
        """Record the schedule's next rates: a cosine over few epochs reaches its end only after the last step."""
        self.next = [float(group["lr"]) for group in optimizer.param_groups]

    def facts(self) -> dict[str, Any]:
        """The fields as a dict for JSON."""
        return asdict(self)


class GradientNorms:
    """The L2 norm of each parameter group's gradient over an epoch, kept on the device until `means`.

    steps: optimizer steps of the epoch, of which at most `MEASURED` are due.
    """

    def __init__(self, optimizer: Optimizer, steps: int) -> None:
        self.names = names(optimizer)
        self.stride = -(-steps // MEASURED)
        self.pending: list[Tensor] = []
        self.reached = False  # by any gradient

    def due(self, step: int) -> bool:
        """Whether the gradients of a 0-based step of the epoch are measured."""
        return step % self.stride == 0

    def measure(self, optimizer: Optimizer) -> list[Tensor]:
        """Measure the norms of all groups, scalars on the device; gradients must not be scaled."""
        every = [gradients(group) for group in optimizer.param_groups]
        self.reached = self.reached or any(every)
        found = [nn.utils.get_total_norm(each) for each in every]
        self.pending.append(torch.stack([norm.detach().float().to(found[0].device) for norm in found]))
        return found

    def first(self) -> float | None:
        """The norm of the whole gradient at the first step that was measured; None without any gradient."""
        return float(torch.linalg.vector_norm(self.pending[0])) if self.reached else None

    def means(self) -> dict[str, float | None]:
        """Name -> mean over the measured steps whose norm is finite; None if there is none."""
        measured = torch.stack(self.pending).double().cpu() if self.pending else torch.empty(0, len(self.names))
        finite = [[norm for norm in column.tolist() if norm < float("inf")] for column in measured.T]
        return {
            name: sum(norms) / len(norms) if norms else None for name, norms in zip(self.names, finite, strict=True)
        }


def gradients(group: Mapping[str, Any]) -> list[Tensor]:
    """The gradients of a parameter group that there are."""
    return [parameter.grad for parameter in group["params"] if parameter.grad is not None]


def clip(optimizer: Optimizer, norms: Sequence[Tensor], largest: float) -> None:
    """Scale gradients down to the global norm `largest`; groups with `clip=False` are neither counted nor scaled.

    norms: of each group, as `GradientNorms.measure` returns them.
    """
    chosen = [(group, norm) for group, norm in zip(optimizer.param_groups, norms, strict=True) if group.get("clip", 1)]
    if chosen:
        total = nn.utils.get_total_norm([norm for _, norm in chosen])
        nn.utils.clip_grads_with_norm_([each for group, _ in chosen for each in group["params"]], largest, total)


def weights(optimizer: Optimizer) -> dict[str, int]:
    """Name -> number of trained weights of each parameter group."""
    counts = [sum(p.numel() for p in group["params"] if p.requires_grad) for group in optimizer.param_groups]
    return dict(zip(names(optimizer), counts, strict=True))


def fingerprints(optimizer: Optimizer) -> dict[str, list[float]]:
    """Name -> sum and norm of the trained weights of each parameter group, in float64; a step changes them."""
    found = {}
    for name, group in zip(names(optimizer), optimizer.param_groups, strict=True):
        trained = [each.detach() for each in group["params"] if each.requires_grad]
        sums = [each.sum(dtype=torch.float64) for each in trained]
        norms = [torch.linalg.vector_norm(each, dtype=torch.float64) for each in trained]
        if trained:
            found[name] = [float(torch.stack([value.cpu() for value in values]).sum()) for values in (sums, norms)]
    return found


def unmoved(optimizer: Optimizer, before: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Those of the groups in `before`, from `fingerprints`, whose weights are still the same."""
    now = fingerprints(optimizer) if before else {}
    return {name: values for name, values in before.items() if now.get(name) == values}
