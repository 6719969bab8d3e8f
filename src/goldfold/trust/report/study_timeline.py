"""Who of a study's workers carried out which trial when, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from goldfold.trust.report.markdown import duration
from goldfold.trust.report.study import Facts
from goldfold.trust.report.study_figures import STATE, TITLE
from goldfold.trust.report.style import DPI, INK, MUTED, WIDTH, figure, png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LANE = 0.34  # inches
PAUSE = 0.05  # share of the time at work: a longer time without any trial is cut out
APART = 0.13  # of the picture's width, from one pause's words to the next
DIGIT = 9  # pixels that a digit of a trial's number takes
UNITS = (("h", 3600.0), ("min", 60.0), ("s", 1.0))


class Bar(NamedTuple):
    """One trial. start, end: seconds from the first start, later without the pauses."""

    number: int
    state: str
    worker: str
    start: float
    end: float


class Pause(NamedTuple):
    """A time in which no worker was at it, in seconds from the first start."""

    start: float
    end: float


@styled()
def timeline(facts: Facts) -> bytes:
    """A PNG with a row for each worker at once and a bar for each trial, without the pauses between commands."""
    bars = _bars(facts)
    pauses = _pauses(bars)
    shown = [bar._replace(start=_without(pauses, bar.start), end=_without(pauses, bar.end)) for bar in bars]
    lanes = _lanes(bars)
    count, whole = max(lanes.values(), default=0) + 1, max((bar.end for bar in shown), default=0.0)
    drawn = figure(1.5 + LANE * count)
    axes = drawn.subplots()
    unit, seconds = next(((name, size) for name, size in UNITS if whole >= 2 * size), UNITS[-1])
    _draw(axes, facts, shown, lanes, seconds)
    _mark(axes, pauses, [_without(pauses, pause.start) / seconds for pause in pauses], whole / seconds)
    axes.set_xlim(0, max(whole, 1e-9) / seconds)
    axes.set_xlabel(f"{unit} since the first trial began{', pauses cut out' if pauses else ''}")
    axes.set_title(_finding(bars, count), pad=18 if pauses else 6, **TITLE)
    axes.set_yticks(range(count), [f"worker {place + 1}" for place in range(count)])
    axes.set_ylim(count - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    if bars:
        drawn.legend(loc="outside lower center", ncols=4)
    return png(drawn)


def _bars(facts: Facts) -> list[Bar]:
    """Trials that began, by their start; a running one lasts until anything was last heard of."""
    begun = sorted((trial for trial in facts.trials if trial.started), key=lambda trial: (trial.started, trial.number))
    if not begun:
        return []
    first, last = begun[0].started, max(trial.ended or trial.started for trial in begun)

    def at(time: datetime) -> float:
        return (time - first).total_seconds()

    return [Bar(trial.number, trial.state, trial.worker, at(trial.started), at(trial.ended or last)) for trial in begun]


def _lanes(bars: Sequence[Bar]) -> dict[str, int]:
    """Worker -> row; one that began after another had ended, by a later command, takes over its row."""
    spans: dict[str, tuple[float, float]] = {}
    for bar in bars:
        start, end = spans.get(bar.worker, (bar.start, bar.end))
        spans[bar.worker] = min(start, bar.start), max(end, bar.end)
    ends: list[float] = []
    lanes = {}
    for worker, (start, end) in sorted(spans.items(), key=lambda item: item[1]):
        free = next((row for row, until in enumerate(ends) if until <= start), len(ends))
        ends[free : free + 1] = [end]
        lanes[worker] = free
    return lanes


def _gaps(bars: Sequence[Bar]) -> list[Pause]:
    """All times in which no trial ran."""
    gaps, until = [], 0.0
    for bar in bars:
        if bar.start > until:
            gaps.append(Pause(until, bar.start))
        until = max(until, bar.end)
    return gaps


def _busy(bars: Sequence[Bar]) -> float:
    """Seconds in which at least one trial ran."""
    return max((bar.end for bar in bars), default=0.0) - sum(gap.end - gap.start for gap in _gaps(bars))


def _pauses(bars: Sequence[Bar]) -> list[Pause]:
    return [gap for gap in _gaps(bars) if gap.end - gap.start > PAUSE * _busy(bars)]


def _without(pauses: Sequence[Pause], time: float) -> float:
    """A time in the picture, where pauses are short."""
    before = [pause for pause in pauses if pause.end <= time]
    return time - sum(pause.end - pause.start for pause in before)


def _draw(axes: Axes, facts: Facts, bars: Sequence[Bar], lanes: dict[str, int], unit: float) -> None:
    pixels = 0.88 * WIDTH * DPI / max(bar.end for bar in bars) if bars and bars[-1].end else 0
    told = set()
    for bar in bars:
        label = None if bar.state in told else f"{len(facts.of(bar.state))} {bar.state}"
        told.add(bar.state)
        wide, row = (bar.end - bar.start) / unit, lanes[bar.worker]
        edge = MUTED if bar.state == "running" else "white"
        look = {"color": STATE[bar.state], "edgecolor": edge, "linewidth": 0.5, "height": 0.78, "label": label}
        axes.barh(row, wide, left=bar.start / unit, **look)
        if (bar.end - bar.start) * pixels > DIGIT * (len(str(bar.number)) + 0.5):
            ink = INK if bar.state in ("pruned", "running") else "white"
            look = {
                "color": ink,
                "fontsize": 7,
                "horizontalalignment": "center",
                "verticalalignment": "center_baseline",
            }
            axes.text(bar.start / unit + wide / 2, row, str(bar.number), **look)


def _mark(axes: Axes, pauses: Sequence[Pause], places: Sequence[float], whole: float) -> None:
    """A line where time was cut out, and how much where there is room to say it."""
    told = -whole
    for pause, place in zip(pauses, places, strict=True):
        axes.axvline(place, color=MUTED, linestyle=":", linewidth=1.2, zorder=3)
        if place - told > APART * whole:
            look = {"horizontalalignment": "center", "fontsize": 7.5, "color": MUTED}
            at = {"xycoords": axes.get_xaxis_transform(), "xytext": (0, 3), "textcoords": "offset points"}
            axes.annotate(f"{duration(pause.end - pause.start)} pause", (place, 1), **at, **look)
            told = place


def _finding(bars: Sequence[Bar], count: int) -> str:
    if not bars:
        return "No trial has begun"
    work, time = sum(bar.end - bar.start for bar in bars), _busy(bars)
    share = f", busy {work / (count * time):.0%} of the time".replace("%", " %") if time else ""
    trials = f"{len(bars)} trial{'s' if len(bars) > 1 else ''}"
    workers = f"{count} worker{'s' if count > 1 else ''} at once" if count > 1 else "1 worker"
    return f"{trials} in {duration(time)} by {workers}{share}"
