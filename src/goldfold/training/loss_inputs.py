"""Look into the losses of a batch: features that are the same for every sample, parameters outside the model, sums."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from goldfold.io.formatting import count

CONSTANT = 1e-6  # standard deviation over samples below which a feature is constant; of its magnitude, if that is > 1
CONSTANT_LOGARITHM = 1e-3  # the same of a logarithm: the rounding of lengths in bfloat16 alone makes about 1e-4
COMPARED = {  # functions that compare feature vectors -> how many of their arguments are (samples, features)
    "normalize": 1,
    "matmul": 2,
    "mm": 2,
    "cosine_similarity": 2,
    "pairwise_distance": 2,
    "cdist": 2,
    "cosine_embedding_loss": 2,
    "triplet_margin_loss": 3,
}
LIBRARIES = {"torch", "pytorch_metric_learning"}  # whose frames are not the place of a feature


class LossInputs(TorchFunctionMode):
    """A context that watches what the losses of a batch are computed from; nothing is changed.

    Features are vectors of two samples or more that are compared by products, cosines or distances, or joined in one
    vector; parameters are none. A logarithm (samples, 1) that no gradient reaches is one, too, as that of the lengths
    of frozen features.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features: dict[str, list[tuple[Tensor, Tensor, float]]] = {}
        self.silent: dict[str, list[Tensor]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func`, and look at its arguments."""
        name = getattr(func, "__name__", "")
        if count := COMPARED.get(name, 0):
            for number, value in enumerate(args[:count], 1):
                by_column = number == 2 and name in ("matmul", "mm")
                self._feature(f"input {number} of {name}", value.T if by_column and _is_table(value) else value)
        elif name == "cat" and args and _dimension(args, kwargs) in (1, -1):
            for number, value in enumerate(args[0], 1):
                self._feature(f"part {number} of cat", value)
        elif name in ("add", "add_"):
            self._summands(args)
        found = func(*args, **(kwargs or {}))
        if name == "log" and _is_table(found) and found.shape[1] == 1 and not found.requires_grad:
            self._feature("a logarithm", found, CONSTANT_LOGARITHM)
        return found

    def _feature(self, what: str, value: Any, limit: float = CONSTANT) -> None:
        if not _is_table(value) or len(value) < 2 or isinstance(value, nn.Parameter):
            return
        table = value.detach().float()
        spread = table.std(dim=0, correction=0).amax(), table.abs().amax(), limit
        self.features.setdefault(f"{what} ({count(value.shape[1], 'column')}, {_place()})", []).append(spread)

    def _summands(self, args: tuple) -> None:
        """Note a scalar without gradient that is added to one with a gradient."""
        scalars = [each for each in args if isinstance(each, Tensor) and not each.ndim and each.is_floating_point()]
        silent = [each for each in scalars if not each.requires_grad]
        if len(scalars) == 2 and len(silent) == 1:
            self.silent.setdefault(_place(), []).append(silent[0].detach())

    def constant(self) -> list[str]:
        """Names of the features whose standard deviation over samples is below their limit wherever they were seen."""
        return [
            name
            for name, seen in self.features.items()
            if all(float(spread) < limit * max(1.0, float(largest)) for spread, largest, limit in seen)
        ]

    def silent_summands(self) -> list[str]:
        """Places where a value without gradient, and not 0, was added to one with a gradient."""
        return [place for place, seen in self.silent.items() if any(float(value) != 0 for value in seen)]


def _is_table(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 2 and value.is_floating_point() and value.numel() > 0


def _dimension(args: tuple, kwargs: Mapping[str, Any] | None) -> Any:
    named = kwargs or {}
    return args[1] if len(args) > 1 else named.get("dim", named.get("axis", 0))


def _place() -> str:
    """File and line of the nearest frame outside of libraries and this module."""
    frame = sys._getframe(1)
    while frame.f_back and (
        frame.f_code.co_filename == __file__ or LIBRARIES & {*Path(frame.f_code.co_filename).parts}
    ):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name} line {frame.f_lineno}"


def outside_parameters(terms: Iterable[Tensor], model: nn.Module, optimizer: Optimizer) -> list[dict[str, Any]]:
    """Parameters that the loss terms depend on and that the model does not contain: their `shape`, and whether `held`.

    held: by the optimizer. They are found in the graph of the terms.
    """
    known = {id(parameter) for parameter in model.parameters()}
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    strangers = [leaf for leaf in _leaves(terms) if isinstance(leaf, nn.Parameter) and id(leaf) not in known]
    return [{"shape": list(leaf.shape), "held": id(leaf) in held} for leaf in strangers]


def _leaves(terms: Iterable[Tensor]) -> Collection[Tensor]:
    """The leaves of the graphs of some tensors, each once."""
    found: dict[int, Tensor] = {}
    waiting: list[Any] = [term.grad_fn for term in terms if term.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        if hasattr(node, "variable"):  # of the nodes that accumulate the gradient of a leaf
            found[id(node.variable)] = node.variable
        for parent, _ in node.next_functions:
            if parent is not None and parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return found.values()
