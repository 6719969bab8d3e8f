"""Results of a tuning study: best trials, their gain over the config, re-evaluation, and cost."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from goldfold.experiment.intervals.limits import over_folds
from goldfold.io.formatting import number as score
from goldfold.io.formatting import shown, signed, signed_interval, width
from goldfold.trust.comparisons import Difference, difference
from goldfold.tuning.trials import TrialRecord

TOP = 10  # trials in the tables
Scores = Mapping[int, Mapping[int, float]]  # seed the folds were drawn with -> fold -> score


class Gain(NamedTuple):
    """The best trial's score less trial 0's, in the metric's unit; interval: 95 %, None for a single fold."""

    mean: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Reestimate:
    """Scores of the best trial and of trial 0 on newly drawn folds. study: the best trial's score in the study."""

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
        """Number of folds of each draw."""
        return len(next(iter(self.winner.values())))

    @cached_property
    def gain(self) -> Gain:
        """Mean difference, paired over the folds of r draws of k folds.

        The interval is Student's t with r k - 1 degrees of freedom. Fits share training rows, so the variance is
        corrected by the factor 1/(r k) + 1/(k - 1): the corrected repeated k-fold test (Bouckaert and Frank, Evaluating
        the Replicability of Significance Tests for Comparing Learning Algorithms, PAKDD 2004).
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
    """A study at one moment.

    metric: its name; bounds, chance: of the metric. order: fold numbers in the order trials fit them. trials: of every
    state, by number; trial 0 is the config. space: parameter -> its entry in the config's `search:`, as written.
    seconds: in which a trial ran. workers: the most at once. storage: its URL or path, without password. reestimate:
    None if trial 0 is the best or no folds were newly drawn. code_changes: between the study's commands, as accepted.
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
    reestimate: Reestimate | None = None
    code_changes: Sequence[str] = ()

    @property
    def better(self) -> str:
        return "higher" if self.higher_is_better else "lower"

    @property
    def code_warning(self) -> str:
        """That trials of different code are compared."""
        return (
            f"the code changed during the study ({'; then '.join(self.code_changes)}), so earlier trials were scored "
            "with other code, and the best score may not be reached again."
        )

    @property
    def baseline(self) -> TrialRecord | None:
        return next((trial for trial in self.trials if trial.number == 0), None)

    @cached_property
    def ranked(self) -> list[TrialRecord]:
        """Complete trials, best first; equal ones by number."""
        sign = -1 if self.higher_is_better else 1
        return sorted(self.of("complete"), key=lambda trial: (sign * trial.mean, trial.number))

    @property
    def winner(self) -> TrialRecord | None:
        return self.ranked[0] if self.ranked else None

    def of(self, state: str) -> list[TrialRecord]:
        return [trial for trial in self.trials if trial.state == state]

    @property
    def states(self) -> str:
        """Number of trials by state, such as `41 complete, 18 pruned, 1 failed`."""
        counts: Counter[str] = Counter(trial.state for trial in self.trials)
        return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]) or "none yet"

    @property
    def shares(self) -> Counter[str]:
        """Worker -> number of its trials."""
        return Counter(trial.worker for trial in self.trials)

    @property
    def spent(self) -> float:
        """Fits of one fold; a stopped fit counts as its share of epochs."""
        return sum(trial.fits for trial in self.trials)

    @property
    def saved(self) -> float:
        """Fits of one fold that pruning saved."""
        return sum(len(self.order) - trial.fits for trial in self.of("pruned"))

    def gain(self, trial: TrialRecord) -> Difference | None:
        """A complete trial's score less trial 0's on the study's folds; None if trial 0 is not complete."""
        if self.baseline is None or self.baseline.state != "complete":
            return None
        return difference(self._summary(trial), self._summary(self.baseline))

    def interval(self, trial: TrialRecord) -> Sequence[float] | None:
        """The 95 % t interval of a complete trial's mean over folds."""
        return over_folds(list(trial.folds.values()), self.bounds)

    @property
    def left_out(self) -> float | None:
        """Mean over folds of the score on that fold of the trial that is best on the others.

        None for fewer than two folds or complete trials. Still optimistic: the sampler has seen every fold.
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
    """The best trials as lines of a terminal table."""
    lines = [[str(trial.number), *cells(facts, trial), values(trial)] for trial in facts.ranked[:TOP]]
    header = ["trial", *HEADER, "parameters"]
    sizes = [max(map(width, column)) for column in zip(header, *lines, strict=True)]
    title = f"{facts.metric}, {facts.better} is better, chance level {facts.chance:.4f}; best of {facts.states} trials"
    return [title, *("  " + _padded(line, sizes) for line in (header, *lines))]


HEADER = ("mean", "95 % interval (t)", "less trial 0, paired", "95 % interval", "better folds")


def cells(facts: Facts, trial: TrialRecord) -> list[str]:
    """The cells of a complete trial below `HEADER`."""
    edges, gain = facts.interval(trial), facts.gain(trial)
    own = [score(trial.mean), f"[{score(edges[0])}, {score(edges[1])}]" if edges else "one fold"]
    if trial.number == 0 or gain is None:
        return [*own, "-", "-", "-"]
    return [*own, signed(gain.mean), signed_interval(gain.interval), f"{gain.better} of {gain.folds}"]


def trial_line(trial: TrialRecord, facts: Facts) -> str:
    """The result of one trial in a line, `best so far` included."""
    if trial.state == "complete":
        result = f"{facts.metric} {score(trial.mean)}{'  best so far' if trial is facts.winner else ''}"
    else:
        result = f"{trial.state}: {trial.reason};"
    return f"trial {trial.number}  {result}  {values(trial)}"


def values(trial: TrialRecord) -> str:
    """The parameters of a trial as `key=value` words."""
    return " ".join(f"{key}={shown(value)}" for key, value in trial.params.items())


def same(one: Any, other: Any) -> bool:
    """Whether two values of a parameter are equal: True is not 1, a list equals its tuple."""
    return json.dumps(one) == json.dumps(other)


def choices(entry: Any) -> list[Any] | None:
    """The listed values of a searched parameter; None for a range."""
    return entry if isinstance(entry, list) else entry.get("choices")


def _flat(scores: Scores) -> list[float]:
    return [value for folds in scores.values() for value in folds.values()]


def _padded(line: Sequence[str], sizes: Sequence[int]) -> str:
    """Align right in each column, the last cell left."""
    padded = [" " * (size - width(text)) + text for text, size in zip(line[:-1], sizes, strict=False)]
    return "  ".join([*padded, line[-1]])


def stopped(trial: TrialRecord) -> tuple[int, bool]:
    """Number of folds a trial finished, and whether it was stopped within another."""
    return len(trial.folds), trial.fits > len(trial.folds) + 1e-9
