"""Optimizers that start without the compiler, parameter groups without duplicates, and optimizers that step as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import unwrap
from typing import Any

import torch
from torch.optim import Optimizer

from goldfold.errors import GoldfoldError


class _Eager(Optimizer):
    """An optimizer whose methods are not wrapped for torch.compile.

    The wrappers import `torch._dynamo`, which takes a second, before the first step. They do nothing in a step that is
    not compiled itself, and goldfold compiles models alone.
    """

    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)


class Adam(_Eager, torch.optim.Adam):
    """`torch.optim.Adam`, the same to the bit; it is not differentiable."""

    step = torch.no_grad()(unwrap(torch.optim.Adam.step))


class AdamW(_Eager, torch.optim.AdamW):
    """`torch.optim.AdamW`, the same to the bit; it is not differentiable."""

    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))


class SGD(_Eager, torch.optim.SGD):
    """`torch.optim.SGD`, the same to the bit; it is not differentiable."""

    step = torch.no_grad()(unwrap(torch.optim.SGD.step))


def refuse_duplicates(groups: Iterable[Mapping[str, Any]]) -> None:
    """Raise GoldfoldError if a parameter is twice in parameter groups, lists of parameters under the key `params`.

    torch raises for a parameter in two groups, but only warns of one that is twice in a group, which steps twice.
    """
    seen: dict[int, int] = {}
    for number, group in enumerate(groups):
        for parameter in group["params"]:
            if id(parameter) in seen:
                where = f"groups {seen[id(parameter)]} and {number}" if seen[id(parameter)] != number else "one group"
                raise GoldfoldError(
                    "duplicate_parameter",
                    f"a parameter of shape {tuple(parameter.shape)} is twice in the optimizer, in {where} "
                    f"(counted from 0): pass every parameter once",
                )
            seen[id(parameter)] = number


class Joined(Optimizer):
    """Optimizers that step together, such as Adam for a network and SGD for the centers of a loss.

    parts: they share no parameter. Schedules belong on one of them: `joined.parts[0]`. The groups, and the state for
    checkpoints, are those of all parts.
    """

    def __init__(self, *parts: Optimizer) -> None:
        # without Optimizer.__init__, which would make groups and states of its own
        self.parts = parts
        self.defaults = {}
        refuse_duplicates(self.param_groups)

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]  # an attribute of Optimizer
        """The groups of all parts, in their order."""
        return [group for part in self.parts for group in part.param_groups]

    @property
    def state(self) -> dict[Any, Any]:  # type: ignore[override]  # an attribute of Optimizer
        """Parameter -> its state, over all parts."""
        return {parameter: state for part in self.parts for parameter, state in part.state.items()}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Step every part."""
        for part in self.parts:
            part.step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Remove the gradients of every part."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The states of all parts, {"parts": [...]}."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)


Schedule = Callable[[Optimizer, int, int], Any]


def first_part(schedule: Schedule | None) -> Schedule | None:
    """A schedule for `Stage.schedule` that changes the learning rates of a joined optimizer's first part only."""
    if schedule is None:
        return None

    def of_first(optimizer: Optimizer, epochs: int, steps_per_epoch: int) -> Any:
        own = optimizer.parts[0] if isinstance(optimizer, Joined) else optimizer
        return schedule(own, epochs, steps_per_epoch)

    return of_first
