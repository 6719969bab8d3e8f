"""Parameter groups of a run's optimizers: the lines of their learning rates, and their table in the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from goldfold.report.plotting.markdown import table
from goldfold.training.parameter_groups import MEASURED

HEAD = (
    *("stage", "parameter group", "trained weights", "configured rate", "peak", "final", "final / peak", "minima"),
    *("gradient norm, first epoch", "last epoch"),
)
NOTE = (
    "Learning rates: as the optimizer was built, the highest one, that of the last optimizer step, and how often it "
    f"fell and rose again. Gradient norms are L2 norms before clipping, means over steps (at most {MEASURED} of "
    "an epoch, if nothing is clipped) and over fits."
)

Rows = Sequence[Mapping[str, Any]]  # of a history.json
Line = Mapping[float, float]  # epoch -> value


def by_group(values: Any) -> Mapping[str, Any]:
    """Name of each parameter group -> its value; runs of older versions have a list without names."""
    return values if isinstance(values, Mapping) else {str(number): value for number, value in enumerate(values)}


def label(name: str) -> str:
    """The name of a parameter group, which without a name of its own is its number.

    >>> label("visual"), label("1")
    ('visual', 'parameter group 1')
    """
    return f"parameter group {name}" if name.isdecimal() else name


def rate_lines(history: Rows, rates: Mapping[str, Any]) -> dict[str, Line]:
    """Name of each parameter group -> its learning rate by epoch, as recorded step by step.

    history: rows of one stage. rates: fields of `LearningRates`; without a trace, as in runs of older versions, the
    rates are those of the last step of each epoch. An optimizer step of epoch 3 lies between 2 and 3.
    """
    if not rates.get("trace"):
        named = {row["epoch"]: by_group(row["learning_rate"]) for row in history}
        return {name: {epoch: each[name] for epoch, each in named.items()} for name in next(iter(named.values()))}
    last, total = history[-1]["epoch"], rates["recorded"]
    places = [last * (1 + number * rates["stride"]) / total for number in range(len(rates["trace"]))]
    values = {**dict(zip(places, rates["trace"], strict=True)), float(last): rates["final"]}
    return {name: {at: each[group] for at, each in values.items()} for group, name in enumerate(rates["names"])}


def section(fits: Sequence[Mapping[str, Any]]) -> str:
    """Markdown with a line per parameter group of each stage, over all fits; empty if none was recorded by name.

    fits: of `fits.read`.
    """
    stages = {stage: None for fit in fits for stage, noted in _facts(fit).items() if _recorded(noted)}
    lines = [line for stage in stages for line in _lines(fits, stage)]
    return f"{table(HEAD, lines, left=2)}\n\n{NOTE}" if lines else ""


def _facts(fit: Mapping[str, Any]) -> Mapping[str, Any]:
    return fit.get("facts") or {}


def _recorded(noted: Mapping[str, Any]) -> bool:
    """Whether a stage made steps, and its groups have names."""
    rates = noted.get("rates", {})
    return bool(rates.get("names") and rates["final"])


def _lines(fits: Sequence[Mapping[str, Any]], stage: str) -> list[list[str]]:
    """The line of each parameter group of a stage."""
    trained = [fit for fit in fits if _recorded(_facts(fit).get(stage, {}))]
    rates = [fit["facts"][stage]["rates"] for fit in trained]
    rows = [[row for row in fit["history"] if row["stage"] == stage] for fit in trained]
    lines = []
    for group, name in enumerate(rates[0]["names"]):
        peaks, finals = ([each[key][group] for each in rates] for key in ("peak", "final"))
        shares = [final / peak if peak else 0.0 for final, peak in zip(finals, peaks, strict=True)]
        lines.append(
            [
                stage,
                label(name),
                f"{rows[0][-1]['group_weights'][name]:,}",
                *(_spread(values) for values in ([each["configured"][group] for each in rates], peaks, finals, shares)),
                _spread([each["minima"][group] for each in rates]),
                *(_mean([history[at]["group_gradient_norm"][name] for history in rows]) for at in (0, -1)),
            ]
        )
    return lines


def _spread(values: Sequence[float]) -> str:
    """One value if all fits have it, else the lowest and the highest."""
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{fmean(known):.3g}" if known else "-"
