"""Importance of each searched parameter, beside the importance that chance alone would show."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from goldfold.report.plotting.style import FAINT, FOLDS, MUTED, figure, png, styled
from goldfold.report.study.figures import as_study, varied_parameters
from goldfold.report.study.numbers import Facts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENOUGH = 10  # complete trials; with fewer there is no picture
RELIABLE = 5  # trials in the best tenth that the authors of PED-ANOVA ask for
SHUFFLES = 40
LINE = 0.3  # inches


@styled()
def importances(facts: Facts) -> bytes | None:
    """A PNG of which parameters set the best tenth of complete trials apart (PED-ANOVA, Watanabe et al., IJCAI 2023).

    Importances add up to 1. The chance level beside each comes from shuffling the scores among the trials: in 95 % of
    shuffles no parameter exceeds its chance level. None for fewer than ten complete trials or two varied parameters.
    """
    if len(facts.ranked) < ENOUGH or len(varied_parameters(facts)) < 2:
        return None
    scores = np.array([trial.mean for trial in facts.ranked])
    found = _importances(facts, scores)
    generator = np.random.default_rng(0)
    shuffled = [_importances(facts, generator.permutation(scores)) for _ in range(SHUFFLES)]
    whole = sum(found.values()) or 1
    chance = {key: level / whole for key, level in _chance(shuffled).items()}
    found = {key: value / whole for key, value in found.items()}
    drawn = figure(1.35 + LINE * len(found))
    axes = drawn.subplots()
    _draw_shares(axes, found, chance)
    best = max(1, -(-len(scores) // 10))
    axes.set_title(_finding(found, chance), fontsize=10)
    axes.set_xlabel(
        f"importance for being in the best tenth: {best} of {len(scores)} complete trials"
        f"{', too few to rely on' if best < RELIABLE else ''}; pale: chance level"
    )
    return png(drawn)


def _importances(facts: Facts, scores: np.ndarray) -> dict[str, float]:
    """Parameter -> divergence, the largest first; scores: one for each of `facts.ranked`, in its order."""
    from optuna import importance

    trials = [replace(trial, value=float(value)) for trial, value in zip(facts.ranked, scores, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of few trials, which the picture says itself
        return importance.get_param_importances(
            as_study(facts, trials), params=varied_parameters(facts), normalize=False
        )


def _chance(shuffled: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Parameter -> chance level: a multiple of its mean over shuffles, with one factor for all parameters.

    In 95 % of shuffles no parameter exceeds its level.
    """
    means = {key: float(np.mean([each[key] for each in shuffled])) or 1e-12 for key in shuffled[0]}
    largest = [max(each[key] / mean for key, mean in means.items()) for each in shuffled]
    factor = float(np.quantile(largest, 0.95))
    return {key: factor * mean for key, mean in means.items()}


def _draw_shares(axes: Axes, found: Mapping[str, float], chance: Mapping[str, float]) -> None:
    for place, (key, share) in enumerate(found.items()):
        above = share > chance[key]
        axes.barh(place, min(chance[key], 2), height=0.72, color=FAINT)  # a larger one leaves the picture
        axes.barh(place, share, height=0.4, color=FOLDS[0] if above else MUTED)
        axes.annotate(
            f"{share:.2f}",
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            verticalalignment="center",
        )
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(0, 1.04 * max(*found.values(), min(1, max(chance.values()))))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


def _finding(found: Mapping[str, float], chance: Mapping[str, float]) -> str:
    above = [key for key in found if found[key] > chance[key]]
    if not above:
        return "No parameter is more important than chance explains"
    shown = above[:3] + ([f"{len(above) - 3} more"] if len(above) > 3 else [])
    told = shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
    return f"{told} matter{'s' if len(above) == 1 else ''} more than chance explains"
