"""Seconds of several ways to predict the same rows, measured in turns, so that other work slows all of them alike."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

Way = Callable[[np.ndarray], Any]
TORCH, LAST = "torch", "torch, channels_last"


class Timed(NamedTuple):
    """Seconds per 1,000 rows: median, least and most of the rounds."""

    median: float
    least: float
    most: float


def rounds(ways: Mapping[str, Way], batches: list[np.ndarray], count: int) -> dict[str, Timed]:
    """Time each way over all batches, `count` times, one after the other in each round; the first batch warms up."""
    for way in ways.values():
        way(batches[0])
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(count):
        for name, way in ways.items():
            began = time.perf_counter()
            for batch in batches:
                way(batch)
            spent[name].append(time.perf_counter() - began)
    factor = 1000 / sum(map(len, batches))
    return {name: Timed(*(factor * f(each) for f in (median, min, max))) for name, each in spent.items()}


def torch_ways(
    model: nn.Module, example: np.ndarray, more: bool, last: bool = False
) -> tuple[dict[str, Way], dict[str, str]]:
    """The model in torch as the run has it, and with `more` in channels_last and compiled; and why a way is left out.

    example: one input, to find out whether a way works. last: whether the run has channels_last.
    """
    if last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stub
    ways: dict[str, Way] = {LAST if last else TORCH: _way(model)}
    reasons: dict[str, str] = {}
    if not more:
        return ways, reasons
    others: dict[str, Callable[[], Any]] = {
        LAST: lambda: copy.deepcopy(model).to(memory_format=torch.channels_last),  # type: ignore[call-overload]  # missing in its stub
        "torch.compile": lambda: torch.compile(model),
    }
    for name, made in others.items():
        if name in ways:
            continue
        try:
            ways[name] = _way(made())
            ways[name](example)
        except Exception as error:  # a compiler that is absent, an operator it lacks
            ways.pop(name, None)
            reasons[name] = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
    return ways, reasons


def _way(model: Any) -> Way:
    def predicted(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(batch)).numpy()

    return predicted
