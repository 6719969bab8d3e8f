"""Optuna's pictures of a study: history of scores, slices by parameter, and timeline of trials."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from goldfold.io.formatting import number as score
from goldfold.io.formatting import plain, shortened, shortened_apart
from goldfold.report.plotting.style import DPI, FOLDS, MUTED, WIDTH, png, styled
from goldfold.report.study.numbers import Facts, choices
from goldfold.tuning.trials import TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna import Study
    from optuna.distributions import BaseDistribution

HEIGHT, ROW = 4.2, 2.3  # inches, of a picture and of one row of slices
FITTING = 100  # characters of tick labels that fit side by side on the page
LONGEST = 16  # characters of a tick label


def history(facts: Facts) -> bytes | None:
    """A PNG of the score of each complete trial and the best so far; None if no trial is complete.

    Lines mark trial 0 and, if it was re-evaluated, the best trial on newly drawn folds.
    """
    if not facts.ranked:
        return None
    with _optuna_plots() as plots:
        axes = plots.plot_optimization_history(as_study(facts, facts.trials), target_name=facts.metric)
        axes.set_title(f"{facts.metric} ({facts.better} is better); trials: {facts.states}", fontsize=10)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if facts.baseline and facts.baseline.value is not None:
            own = facts.baseline.value
            axes.axhline(own, color=MUTED, linestyle="--", label=f"config (trial 0): {score(own)}")
        if facts.reestimate:
            new = facts.reestimate.score
            axes.axhline(new, color=FOLDS[2], linestyle="-.", label=f"best trial on new folds: {score(new)}")
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.14), ncols=4, borderaxespad=0)
        return _saved(axes.figure)


def slices(facts: Facts) -> bytes | None:
    """A PNG of the scores of complete trials by the value of each parameter; None if no parameter took two values."""
    facts = _drawable(facts)
    params = varied_parameters(facts)
    if not params:
        return None
    with _optuna_plots(ROW, constrained=True) as plots:
        panels = np.atleast_1d(plots.plot_slice(as_study(facts, facts.trials), params, target_name=facts.metric))
        columns = 2 if len(panels) in (2, 4) else min(3, len(panels))
        _arrange(panels, columns)
        for axes in panels:
            axes.collections[0].set_clim(0, facts.trials[-1].number)  # one color scale for all panels
            _label_ticks(axes, FITTING // columns)
        panels[0].set_title("")
        panels[0].figure.suptitle(f"{facts.metric} ({facts.better} is better) by parameter", fontsize=10)
        return _saved(panels[0].figure)


def timeline(facts: Facts) -> bytes | None:
    """A PNG of when each trial ran and how it ended; None if there is no trial."""
    if not facts.trials:
        return None
    with _optuna_plots() as plots:
        from matplotlib.dates import ConciseDateFormatter

        axes = plots.plot_timeline(as_study(facts, facts.trials))
        axes.set_title(f"Trials: {facts.states}", fontsize=10)
        axes.set_xlabel("time")
        axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))  # also names the day
        for bar in axes.patches:
            bar.set_edgecolor(bar.get_facecolor())  # else bars thinner than a pixel vanish
        return _saved(axes.figure)


def varied_parameters(facts: Facts) -> list[str]:
    """The searched parameters that took two or more values in complete trials with a finite score."""
    trials = [trial for trial in facts.ranked if np.isfinite(trial.mean)]
    taken = {key: {json.dumps(trial.params[key]) for trial in trials if key in trial.params} for key in facts.space}
    return [key for key, values in taken.items() if len(values) > 1]


def _drawable(facts: Facts) -> Facts:
    """The facts with exponents in place of parameters whose log axis, which Optuna pads, would leave the floats."""
    far = {key for key, entry in facts.space.items() if choices(entry) is None and entry.get("log") and _far(entry)}
    if not far:
        return facts

    def exponents(values: Mapping[str, Any], of: Callable[[Any], Any]) -> dict[str, Any]:
        return {
            f"log10({key})" if key in far else key: of(value) if key in far else value for key, value in values.items()
        }

    space = exponents(facts.space, lambda entry: {end: math.log10(entry[end]) for end in ("low", "high")})
    return replace(
        facts,
        space=space,
        trials=[replace(trial, params=exponents(trial.params, math.log10)) for trial in facts.trials],
    )


def _far(entry: Mapping[str, float]) -> bool:
    low, high = math.log10(entry["low"]), math.log10(entry["high"])
    return max(-low, high) + 0.1 * (high - low) > 300


def as_study(facts: Facts, trials: Sequence[TrialRecord]) -> Study:
    """The trials as an Optuna study in memory."""
    import optuna

    from goldfold.tuning.studies import STATES

    states = {name: state for state, name in STATES.items()}
    study = optuna.create_study(direction="maximize" if facts.higher_is_better else "minimize")
    distributions = {key: _distribution(key, entry, trials) for key, entry in facts.space.items()}
    for trial in trials:
        frozen = optuna.trial.FrozenTrial(
            number=trial.number,
            trial_id=trial.number,
            state=states[trial.state],
            value=trial.value,
            datetime_start=trial.started,
            datetime_complete=trial.ended,
            params={key: _stored(value) for key, value in trial.params.items()},
            distributions={key: distributions[key] for key in trial.params},
            user_attrs={},
            system_attrs={},
            intermediate_values={},
        )
        study.add_trial(frozen)
    return study


def _distribution(key: str, entry: Any, trials: Sequence[TrialRecord]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    listed = choices(entry)
    if listed is not None:
        return CategoricalDistribution([_stored(choice) for choice in listed])
    whole = all(isinstance(trial.params.get(key, 0), int) for trial in trials)
    kind = IntDistribution if whole else FloatDistribution
    return kind(entry["low"], entry["high"], log=bool(entry.get("log")))


def _stored(value: Any) -> Any:
    """A parameter's value as Optuna takes it: a list becomes text."""
    return plain(value) if isinstance(value, (list, tuple)) else value


@contextmanager
def _optuna_plots(height: float = HEIGHT, constrained: bool = False) -> Iterator[ModuleType]:
    """Optuna's module of plots, drawing in our style.

    height: of the picture in inches. constrained: let matplotlib keep panels and their labels apart.
    """
    from matplotlib import rc_context, style
    from optuna.exceptions import ExperimentalWarning
    from optuna.visualization import matplotlib as plots

    sized = rc_context(
        {"figure.figsize": (WIDTH, height), "figure.dpi": DPI, "figure.constrained_layout.use": constrained}
    )
    with styled(), sized, mock.patch.dict(style.library, ggplot={}):  # Optuna sets that style for good
        # "may change in the future": requirements.txt pins Optuna
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield plots


def _saved(figure: Figure) -> bytes:
    from matplotlib import pyplot

    drawn = png(figure)
    pyplot.close(figure)
    return drawn


def _arrange(panels: np.ndarray, columns: int) -> None:
    """Put slices, which Optuna draws in one row, into rows that fit the width of the page."""
    figure, rows = panels[0].figure, -(-len(panels) // columns)
    figure.set_size_inches(WIDTH, ROW * rows + 0.4)
    grid = figure.add_gridspec(rows, columns)
    label = panels[0].get_ylabel()
    for place, axes in enumerate(panels):
        axes.set_subplotspec(grid[divmod(place, columns)])
        axes.set_ylabel(label if place % columns == 0 else "")
        axes.tick_params(labelleft=place % columns == 0)


def _label_ticks(axes: Axes, fitting: int) -> None:
    """Few and plain numbers; choices without quotes, shortened, and slanted if they exceed `fitting` characters."""
    from matplotlib.category import StrCategoryFormatter
    from matplotlib.ticker import LogFormatter

    if axes.get_xscale() == "log":  # its default labels are mathtext, which `styled` turns off
        axes.xaxis.set_major_formatter(LogFormatter())
        axes.xaxis.set_minor_formatter(LogFormatter())
    elif isinstance(axes.xaxis.get_major_formatter(), StrCategoryFormatter):
        names = [tick.get_text().strip("'") for tick in axes.get_xticklabels()]
        names = shortened_apart(names, lambda name: shortened(name, LONGEST))
        slanted = max(map(len, names)) * len(names) > fitting
        look: dict[str, Any] = (
            {"rotation": 40, "horizontalalignment": "right", "rotation_mode": "anchor"} if slanted else {}
        )
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_xticks(range(len(names)), names, **look)
    else:
        axes.locator_params(axis="x", nbins=4, steps=(1, 2, 5, 10))
        axes.xaxis.set_major_formatter("{x:g}")
