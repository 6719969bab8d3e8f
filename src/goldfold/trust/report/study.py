"""What a study of parameters found, as numbers: its best trials, what they gain, what of that is luck, what it cost."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from goldfold.engine.scoring import spread
from goldfold.engine.trials import TrialRecord
from goldfold.formatting import number as score
from goldfold.formatting import shown, signed, signed_interval, width
from goldfold.trust.comparisons import Difference, difference

TOP = 10  # trials in the tables
Scores = Mapping[int, Mapping[int, float]]  # seed the folds were drawn with -> fold -> score


class Gain(NamedTuple):
    """The winner's score less trial 0's, in the metric's unit; interval: 95 %, None where there is but one fold."""

    mean: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Reestimate:
    """The winner and trial 0 on folds that chose neither. study: the winner's score in the study."""

    study: float
    winner: Scores
    baseline: Scores

    @property
    def score(self) -> float:
        return float(np.mean(_flat(self.winner)))

    @property
    def baseline_score(self) -> float:
        return float(np.mean(_flat(self.baseline)))

    @property
    def folds(self) -> int:
        """Folds of each draw."""
        return len(next(iter(self.winner.values())))

    @cached_property
    def gain(self) -> Gain:
        """Paired over the folds of all r draws of k folds.

        The interval is Student's t with r k - 1 degrees of freedom and the variance corrected for rows that fits share,
        factor 1/(r k) + 1/(k - 1) (Bouckaert and Frank, Evaluating the Replicability of Significance Tests for
        Comparing Learning Algorithms, PAKDD 2004, corrected repeated k-fold test).
        """
        from scipy import stats

        pairs = [(own, self.baseline[seed][fold]) for seed, folds in self.winner.items() for fold, own in folds.items()]
        apart = np.array([own - other for own, other in pairs])
        mean, n = float(apart.mean()), len(apart)
        if self.folds < 2:
            return Gain(mean, None)
        reach = float(stats.t.ppf(0.975, n - 1) * apart.std(ddof=1)) * math.sqrt(1 / n + 1 / (self.folds - 1))
        return Gain(mean, (mean - reach, mean + reach))


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a study when it is looked at.

    metric: its name; bounds, chance: of it. order: the folds' numbers as trials fit them. trials: by number, whatever
    their state; 0 is the config itself. space: parameter -> its entry in the config's `search:`, as written. seconds:
    that workers were at it. workers: at once. storage: where it is kept, without password. honest: None where the
    winner is trial 0 or nothing was drawn anew.
    """

    name: str
    competition: str
    config: str
    metric: str
    higher_is_better: bool
    bounds: tuple[float, float]
    chance: float
    order: Sequence[int]
    trials: Sequence[TrialRecord]
    space: Mapping[str, Any]
    seconds: float
    workers: int
    storage: str
    honest: Reestimate | None = None

    @property
    def better(self) -> str:
        return "higher" if self.higher_is_better else "lower"

    @property
    def baseline(self) -> TrialRecord | None:
        return next((trial for trial in self.trials if trial.number == 0), None)

    @cached_property
    def ranked(self) -> list[TrialRecord]:
        """Complete trials, the best first and of equals the earliest."""
        sign = -1 if self.higher_is_better else 1
        return sorted(self.of("complete"), key=lambda trial: (sign * trial.value, trial.number))

    @property
    def winner(self) -> TrialRecord | None:
        return self.ranked[0] if self.ranked else None

    def of(self, state: str) -> list[TrialRecord]:
        return [trial for trial in self.trials if trial.state == state]

    @property
    def states(self) -> str:
        """How many trials ended how, such as `41 complete, 18 pruned, 1 failed`."""
        counts = Counter(trial.state for trial in self.trials)
        return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]) or "none yet"

    @property
    def spent(self) -> float:
        """Fits of one fold that were made; one cut off counts as its share of epochs."""
        return sum(trial.fits for trial in self.trials)

    @property
    def saved(self) -> float:
        """Fits of one fold that pruned trials were spared."""
        return sum(len(self.order) - trial.fits for trial in self.of("pruned"))

    def gain(self, trial: TrialRecord) -> Difference | None:
        """A complete trial's score less trial 0's on the study's folds; None where trial 0 is not complete."""
        if self.baseline is None or self.baseline.state != "complete":
            return None
        return difference(self._summary(trial), self._summary(self.baseline))

    def interval(self, trial: TrialRecord) -> Sequence[float] | None:
        """The 95 % t interval of a complete trial's mean over folds."""
        return spread(list(trial.folds.values()), self.bounds)["interval_95_t"]

    @property
    def left_out(self) -> float | None:
        """The mean score of each fold's winner by the other folds alone, on that fold.

        None for fewer than two folds or complete trials. The sampler has seen all folds, so that some optimism is left.
        """
        if len(self.order) < 2 or len(self.ranked) < 2:
            return None
        scores = np.array([[trial.folds[fold] for fold in self.order] for trial in self.ranked])
        others = scores.sum(axis=1, keepdims=True) - scores
        chosen = (others if self.higher_is_better else -others).argmax(axis=0)
        return float(scores[chosen, range(len(self.order))].mean())

    def _summary(self, trial: TrialRecord) -> dict[str, Any]:
        return {"folds": trial.folds, "mean": trial.value, "higher_is_better": self.higher_is_better}


STATES = ("complete", "pruned", "failed", "running")


def top(facts: Facts) -> list[str]:
    """The best trials, a line each, for a terminal."""
    lines = [[str(trial.number), *cells(facts, trial), values(trial)] for trial in facts.ranked[:TOP]]
    header = ["trial", *HEADER, "parameters"]
    sizes = [max(map(width, column)) for column in zip(header, *lines, strict=True)]
    told = f"{facts.metric}, {facts.better} is better, chance {facts.chance:.4f}; the best of {facts.states} trials"
    return [told, *("  " + _padded(line, sizes) for line in (header, *lines))]


HEADER = ("mean", "95 % interval (t)", "less trial 0, paired", "95 % interval", "better folds")


def cells(facts: Facts, trial: TrialRecord) -> list[str]:
    """What tables say of a complete trial, below `HEADER`."""
    edges, gain = facts.interval(trial), facts.gain(trial)
    own = [score(trial.value), f"[{score(edges[0])}, {score(edges[1])}]" if edges else "one fold"]
    if trial.number == 0 or gain is None:
        return [*own, "-", "-", "-"]
    return [*own, signed(gain.mean), signed_interval(gain.interval), f"{gain.better} of {gain.folds}"]


def values(trial: TrialRecord) -> str:
    return " ".join(f"{key}={shown(value)}" for key, value in trial.params.items())


def same(one: Any, other: Any) -> bool:
    """Whether two values of a parameter are one: True is not 1, a list is its tuple."""
    return json.dumps(one) == json.dumps(other)


def choices(entry: Any) -> list[Any] | None:
    """The values of a searched parameter where they are listed, None for a range."""
    return entry if isinstance(entry, list) else entry.get("choices")


def _flat(scores: Scores) -> list[float]:
    return [value for folds in scores.values() for value in folds.values()]


def _padded(line: Sequence[str], sizes: Sequence[int]) -> str:
    """Right in its column, the last cell left."""
    padded = [" " * (size - width(text)) + text for text, size in zip(line[:-1], sizes, strict=False)]
    return "  ".join([*padded, line[-1]])


def stopped(trial: TrialRecord) -> tuple[int, bool]:
    """How many folds a trial has finished, and whether it was stopped within another."""
    return len(trial.folds), trial.fits > len(trial.folds) + 1e-9
