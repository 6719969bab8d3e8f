"""Ranges of numbers in a search space: parsed, checked, and turned into Optuna's distributions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, get_args

from optuna.distributions import FloatDistribution, IntDistribution

from goldfold.errors import GoldfoldError

NumberDistribution = IntDistribution | FloatDistribution


def number_types(annotation: Any) -> set[type]:
    """Which of int and float a parameter accepts."""
    return {kind for kind in (annotation, *get_args(annotation)) if kind in (int, float)}


def parse_range(key: str, value: Mapping[str, Any], types: set[type]) -> NumberDistribution:
    """Parse and check the range of the parameter `key`; types: those of it that are int or float.

    Raises:
        GoldfoldError: the range does not fit the parameter, is empty, or its log or step is invalid.
    """
    if not types:
        raise GoldfoldError(
            "range_of_non_number", f"{key} is not a number, so it has no range: give a list of its values"
        )
    bounds: tuple[Any, ...] = tuple(value.get(name) for name in ("low", "high", "log", "step"))
    low, high, log, step = bounds
    numbers = [number for number in (low, high, step) if number is not None]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
            raise GoldfoldError(
                "range_not_numeric",
                f"the range of {key} must consist of finite numbers, and it has {number!r}: change it",
            )
        if float not in types and not isinstance(number, int):
            raise GoldfoldError(
                "range_not_integer", f"{key} is a whole number, and its range has {number!r}: write whole numbers"
            )
    if low >= high:
        raise GoldfoldError(
            "range_empty", f"the range of {key} must have low below high, and it goes from {low} to {high}: change it"
        )
    if log not in (None, True, False):
        raise GoldfoldError("log_not_boolean", f"`log` of {key} must be true or false, and it is {log!r}: change it")
    if log and low <= 0:
        raise GoldfoldError(
            "log_of_zero",
            f"{key} is searched on a log scale, and its range begins at {low}: raise `low` above 0, or remove log",
        )
    if log and step is not None:
        raise GoldfoldError("log_with_step", f"{key} has both log and step, which exclude each other: remove one")
    if step is not None and not 0 < step <= high - low:
        raise GoldfoldError(
            "step_out_of_range", f"the step of {key} must lie in (0, {high - low:g}], and it is {step}: change it"
        )
    return _distribution(low, high, bool(log), step, whole=float not in types)


def _distribution(low: Any, high: Any, log: bool, step: Any, whole: bool) -> NumberDistribution:
    if step is not None:  # the last value that a step reaches; in decimals, since 0.1 + 6 * 0.1 is not 0.7 in floats
        start, end, width = (Decimal(str(number)) for number in (low, high, step))
        high = type(high)(start + (end - start) // width * width)
    if whole:
        return IntDistribution(low, high, log=log, step=step or 1)
    return FloatDistribution(float(low), float(high), log=log, step=step)


def is_inside(kind: NumberDistribution, value: Any) -> bool:
    """Whether a value is one of the numbers of a distribution."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not kind.low <= value <= kind.high:
        return False
    steps = (value - kind.low) / kind.step if kind.step and not kind.log else 0
    return abs(steps - round(steps)) < 1e-8
