"""What the curves of a range test suggest: where the loss falls fastest, and a tenth of where it is lowest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from goldfold.training.learning_rates.range_test import Curve

WIDTH = 0.15  # standard deviation of the smoothing kernel, in powers of ten of the rate
CLEAR = 3.0  # a fall is clear if it is so many standard deviations of the noise of the smoothed losses
DRAWS = 200  # of new noise, by which it is seen how far a rate is located
OPEN = 10.0  # a rate is located if the central 90 % of its draws are within this factor


class Reading(NamedTuple):
    """What one curve says. smoothed: losses; noise: standard deviation of the losses of single steps.

    falls: whether the loss falls clearly. steepest, tenth: rates; None if it does not, or if noise as large leaves the
    rate open.
    """

    smoothed: tuple[float, ...]
    noise: float
    falls: bool
    steepest: float | None
    tenth: float | None


def read(curve: Curve) -> Reading:
    """Read a curve: steepest fall of the smoothed loss over the logarithm of the rate, and a tenth of its minimum.

    The losses are smoothed by a Gaussian kernel over the logarithm of the rate, which does not lag as a moving average
    does. Those above the largest one of the first half of the sweep are cut to it, so that the explosion at its end
    does not reach back.
    """
    rates, losses = np.array(curve.rates), np.array(curve.losses)
    losses = np.minimum(losses, losses[: max(1, len(losses) // 2)].max())
    kernel = _kernel(rates)
    smoothed = kernel @ losses
    lowest = int(smoothed.argmin())
    noise = _noise(losses[: max(lowest + 1, len(losses) // 2, 3)])
    spread = noise * float(np.linalg.norm(kernel[0] - kernel[lowest]))  # of the difference of two smoothed losses
    falls = lowest >= 2 and bool(smoothed[0] - smoothed[lowest] > CLEAR * spread)
    told = tuple(smoothed.tolist()), noise, falls
    if not falls:
        return Reading(*told, None, None)
    random = np.random.default_rng(0)
    drawn = (kernel @ (smoothed + random.normal(0, noise, len(smoothed))) for _ in range(DRAWS))
    again = [_marks(each, rates) for each in drawn]
    located = [_is_located(each) for each in zip(*again, strict=True)]
    steepest, tenth = _marks(smoothed, rates)
    return Reading(*told, steepest if located[0] else None, tenth if located[1] else None)


def _kernel(rates: np.ndarray) -> np.ndarray:
    """The weights (steps, steps) of the losses in each smoothed loss."""
    logs = np.log10(rates)
    weights = np.exp(-0.5 * ((logs[:, None] - logs[None]) / WIDTH) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


def _noise(losses: np.ndarray) -> float:
    """Standard deviation of the noise of losses, by their second differences (Gasser, Sroka and Jennen-Steinmetz 1986).

    The distance from a smoothed loss would be too small: that follows its own loss, the more the fewer steps there are.
    """
    return float(np.sqrt((np.diff(losses, 2) ** 2).mean() / 6))


def _marks(smoothed: np.ndarray, rates: np.ndarray) -> tuple[float, float]:
    """The rates of the steepest fall before the minimum, and a tenth of that of the minimum."""
    lowest = int(smoothed.argmin())
    steps = np.gradient(smoothed, np.log10(rates))
    return float(rates[int(steps[: lowest + 1].argmin())]), float(rates[lowest]) / 10


def _is_located(rates: Sequence[float]) -> bool:
    low, high = np.quantile(rates, [0.05, 0.95])
    return bool(high <= OPEN * low)


@dataclass(frozen=True)
class Range:
    """A rate by several seeds: geometric mean, lowest and highest."""

    mean: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        spread = f" ({self.lowest:.2g} to {self.highest:.2g})" if self.lowest < self.highest else ""
        return f"{self.mean:.2g}{spread}"


def over_seeds(rates: Sequence[float | None]) -> Range | None:
    """The rates of several seeds together; None if more than half of them say nothing."""
    found = [rate for rate in rates if rate is not None]
    if 2 * len(found) <= len(rates):
        return None
    return Range(float(np.exp(np.mean(np.log(found)))), min(found), max(found))


@dataclass(frozen=True)
class Suggestion:
    """What the readings of several seeds suggest for a parameter.

    parameter: its name, or what the rate is of if no parameter has it. present: its value in the config. falls: whether
        the loss falls clearly in more than half of the sweeps.
    """

    parameter: str
    present: float
    seeds: int
    steepest: Range | None
    tenth: Range | None
    falls: bool = True

    def __str__(self) -> str:
        """The suggestion in one sentence, and what makes it unreliable with the next step in another."""
        named = (("the loss falls fastest at", self.steepest), ("a tenth of where it is lowest is", self.tenth))
        found = [(words, rate) for words, rate in named if rate is not None]
        if not found:
            return f"No suggestion for {self.parameter}: {self._why_none()} (the config has {self.present:.2g})."
        low, *_, high = sorted(2 * [rate.mean for _, rate in found])
        place = "below" if self.present < low else "above" if self.present > high else "within"
        rates = f"from {low:.2g} to {high:.2g}" if len(found) > 1 else f"around {low:.2g}"
        facts = " and ".join(f"{words} {rate}" for words, rate in found).replace("it is", "the loss is", len(found) < 2)
        spread = f"; in brackets the range of {self.seeds} seeds" if self.seeds > 1 else ""
        ours = f"the config has {self.present:.2g}, {place} {'that range' if len(found) > 1 else 'it'}"
        return f"Try {self.parameter} {rates}: {facts}{spread}; {ours}.{self._caveat(len(found))}"

    def _why_none(self) -> str:
        if not self.falls:
            return (
                "the loss does not fall clearly beyond its noise at any rate; sweep over more steps (STEPS), or look "
                "at the picture"
            )
        return (
            f"the loss falls, but the noise of its steps leaves open by more than a factor of {OPEN:.0f} where; sweep "
            "over more steps (STEPS), or compare rates by a short training (make tune)"
        )

    def _caveat(self, found: int) -> str:
        if found < 2:
            other = "where the loss falls fastest" if self.steepest is None else "where it is lowest"
            return f" The noise of its steps leaves open {other}: sweep over more steps (STEPS)."
        return " One seed shows no spread: sweep with several (SEEDS=3)." if self.seeds == 1 else ""

    def facts(self) -> dict[str, Any]:
        """The fields and the sentence, for JSON."""
        ranges = {"steepest": self.steepest, "tenth_of_minimum": self.tenth}
        told = {name: None if each is None else vars(each) for name, each in ranges.items()}
        return {
            "parameter": self.parameter,
            "present": self.present,
            "falls": self.falls,
            **told,
            "suggestion": str(self),
        }
