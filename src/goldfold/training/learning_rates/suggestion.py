"""What the curves of a range test suggest: where the loss falls fastest, and a tenth of where it is lowest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from goldfold.training.learning_rates.range_test import Curve

WIDTH = 0.15  # standard deviation of the smoothing kernel, in powers of ten of the rate
CLEAR = 3.0  # a fall is clear if it is so many standard deviations of the noise of the smoothed loss


class Reading(NamedTuple):
    """What one curve says. smoothed: losses; noise: standard deviation of the losses around them, before the minimum.

    steepest, tenth: rates; None if the loss never falls clearly.
    """

    smoothed: tuple[float, ...]
    noise: float
    steepest: float | None
    tenth: float | None


def smoothed(curve: Curve) -> np.ndarray:
    """The losses smoothed by a Gaussian kernel over the logarithm of the rate; unlike a moving average it does not lag.

    Losses above the largest one of the first half of the sweep are cut to it, so that the explosion at its end does not
    reach back.
    """
    rates, losses = np.log10(curve.rates), np.array(curve.losses)
    losses = np.minimum(losses, losses[: max(1, len(losses) // 2)].max())
    weights = np.exp(-0.5 * ((rates[:, None] - rates[None]) / WIDTH) ** 2)
    return weights @ losses / weights.sum(axis=1)


def read(curve: Curve) -> Reading:
    """Read a curve: steepest fall of the smoothed loss over the logarithm of the rate, and a tenth of its minimum."""
    values = smoothed(curve)
    lowest = int(values.argmin())
    before = slice(0, max(lowest, 2))
    noise = float(np.std(np.array(curve.losses)[before] - values[before]))
    steps = np.gradient(values, np.log10(curve.rates)) if len(values) > 2 else np.zeros(len(values))
    per_step = math.log10(curve.rates[1] / curve.rates[0])
    noise_of_mean = noise * math.sqrt(per_step / (2 * math.sqrt(math.pi) * WIDTH))  # of a Gaussian kernel's mean
    if values[0] - values[lowest] <= CLEAR * noise_of_mean or lowest < 2:
        return Reading(tuple(values.tolist()), noise, None, None)
    steepest = int(steps[: lowest + 1].argmin())
    return Reading(tuple(values.tolist()), noise, curve.rates[steepest], curve.rates[lowest] / 10)


@dataclass(frozen=True)
class Range:
    """A rate by several seeds: geometric mean, lowest and highest."""

    mean: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.mean:.2g} ({self.lowest:.2g} to {self.highest:.2g})"


def over_seeds(rates: Sequence[float | None]) -> Range | None:
    """The rates of several seeds together; None if more than half of them say nothing."""
    found = [rate for rate in rates if rate is not None]
    if 2 * len(found) <= len(rates):
        return None
    return Range(float(np.exp(np.mean(np.log(found)))), min(found), max(found))


@dataclass(frozen=True)
class Suggestion:
    """What the readings of several seeds suggest for a parameter.

    parameter: its name, or what the rate is of if no parameter has it. present: its value in the config.
    """

    parameter: str
    present: float
    seeds: int
    steepest: Range | None
    tenth: Range | None

    def __str__(self) -> str:
        """The suggestion in one sentence."""
        if self.steepest is None or self.tenth is None:
            return (
                f"No suggestion for {self.parameter}: the loss does not fall clearly beyond its noise at any rate; "
                f"sweep over more steps, or look at the picture (the config has {self.present:.2g})."
            )
        low, high = sorted((self.steepest.mean, self.tenth.mean))
        place = "below" if self.present < low else "above" if self.present > high else "within"
        spread = f"; in brackets the range of {self.seeds} seeds" if self.seeds > 1 else ""
        return (
            f"Try {self.parameter} from {low:.2g} to {high:.2g}: the loss falls fastest at {self.steepest}, and "
            f"a tenth of where it is lowest is {self.tenth}{spread}; the config has {self.present:.2g}, {place} "
            "that range."
        )

    def facts(self) -> dict[str, Any]:
        """The fields and the sentence, for JSON."""
        ranges = {"steepest": self.steepest, "tenth_of_minimum": self.tenth}
        told = {name: None if each is None else vars(each) for name, each in ranges.items()}
        return {"parameter": self.parameter, "present": self.present, **told, "suggestion": str(self)}
