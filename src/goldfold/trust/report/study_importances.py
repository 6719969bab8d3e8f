"""Which parameters of a study matter, beside what chance alone would show, drawn."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.trust.report.study import Facts, choices
from goldfold.trust.report.study_figures import TITLE
from goldfold.trust.report.style import FAINT, FOLDS, MUTED, figure, png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from optuna import Study
    from optuna.distributions import BaseDistribution

ENOUGH = 10  # complete trials from which importances are told
RELIABLE = 5  # trials in the best tenth that the evaluator's authors want at least
SHUFFLES = 40
LINE = 0.3  # inches


@styled()
def importances(facts: Facts) -> bytes | None:
    """A PNG of which parameters set the best tenth of complete trials apart (PED-ANOVA, Watanabe et al., IJCAI 2023).

    Shares add up to 1. Beside each stands the level of chance: in 95 % of shuffles of the scores among the trials no
    parameter passes its own. None for fewer than ten complete trials, or than two parameters that were varied in them.
    """
    varied = varied_parameters(facts)
    if len(facts.ranked) < ENOUGH or len(varied) < 2:
        return None
    scores = np.array([trial.value for trial in facts.ranked])
    found = _importances(facts, varied, scores)
    generator = np.random.default_rng(0)
    shuffled = [_importances(facts, varied, generator.permutation(scores)) for _ in range(SHUFFLES)]
    whole = sum(found.values()) or 1
    chance = {key: level / whole for key, level in _chance(shuffled).items()}
    found = {key: value / whole for key, value in found.items()}
    drawn = figure(1.35 + LINE * len(found))
    axes = drawn.subplots()
    _draw_shares(axes, found, chance)
    best = max(1, -(-len(scores) // 10))
    axes.set_title(_finding(found, chance), **TITLE)
    axes.set_xlabel(
        f"share of what sets the best tenth apart: {best} of {len(scores)} complete trials"
        f"{', too few to rely on' if best < RELIABLE else ''}; pale: level of chance"
    )
    return png(drawn)


def varied_parameters(facts: Facts) -> dict[str, BaseDistribution]:
    """The searched parameters that took two values or more in complete trials, with what they were drawn from."""
    taken = {key: [trial.params[key] for trial in facts.ranked if key in trial.params] for key in facts.space}
    return {
        key: _distribution(facts.space[key], values)
        for key, values in taken.items()
        if len({json.dumps(value) for value in values}) > 1
    }


def _distribution(entry: Any, taken: Sequence[Any]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    listed = choices(entry)
    if listed is not None:
        return CategoricalDistribution([json.dumps(choice) for choice in listed])
    kind = IntDistribution if all(isinstance(value, int) for value in taken) else FloatDistribution
    return kind(entry["low"], entry["high"], log=bool(entry.get("log")))


def _importances(facts: Facts, varied: Mapping[str, BaseDistribution], scores: Sequence[float]) -> dict[str, float]:
    """Parameter -> divergence, the largest first; scores: of `facts.ranked`, in its order."""
    from optuna import importance

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few trials, which the picture says itself
        return importance.get_param_importances(_study(facts, varied, scores), normalize=False)


def _study(facts: Facts, varied: Mapping[str, BaseDistribution], scores: Sequence[float]) -> Study:
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a study in memory is nothing to tell
    study = optuna.create_study(direction="maximize" if facts.higher_is_better else "minimize")
    optuna.logging.set_verbosity(level)
    for trial, value in zip(facts.ranked, scores, strict=True):
        kinds = {key: kind for key, kind in varied.items() if key in trial.params}
        listed = [key for key in kinds if choices(facts.space[key]) is not None]
        params = {key: trial.params[key] for key in kinds} | {key: json.dumps(trial.params[key]) for key in listed}
        study.add_trial(optuna.create_trial(value=float(value), params=params, distributions=kinds))
    return study


def _chance(shuffled: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Parameter -> the multiple of its mean that in 95 % of shuffles no parameter passes, all with one factor."""
    means = {key: float(np.mean([each[key] for each in shuffled])) or 1e-12 for key in shuffled[0]}
    largest = [max(each[key] / mean for key, mean in means.items()) for each in shuffled]
    factor = float(np.quantile(largest, 0.95))
    return {key: factor * mean for key, mean in means.items()}


def _draw_shares(axes: Axes, found: Mapping[str, float], chance: Mapping[str, float]) -> None:
    for place, (key, share) in enumerate(found.items()):
        above = share > chance[key]
        axes.barh(place, min(chance[key], 2), height=0.72, color=FAINT)  # all of them are beyond the picture
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
        return "No parameter stands out from what shuffled scores would show"
    shown = above[:3] + ([f"{len(above) - 3} more"] if len(above) > 3 else [])
    told = shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
    return f"{told} matter{'s' if len(above) == 1 else ''} more than chance explains"
