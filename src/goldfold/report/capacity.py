"""The capacity of a config as table, report and picture: memory and throughput over the batch size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldfold.io.files import read_json
from goldfold.io.formatting import digits
from goldfold.report.plotting.style import INK, MUTED, figure, fold_color, png, styled
from goldfold.training.capacity.curves import Hull, Line
from goldfold.training.capacity.trials import Trial, from_facts, median_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEADER = ("variant", "parameter", "config", "best batch", "samples/s", "s per 1,000", "peak allocated", "peak reserved")
LIMIT = ("largest", "its peak", "trials to it", "all trials")
RECORD = "capacity.json"  # in the folder of a run whose batch size was found by trials
HEIGHT = 3.6  # inches


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What was found for one batch size of one variant of a config.

    own: the config's batch size. best: the throughput knee. largest: the largest tried batch that fits. limit: bytes
    that a step might take over the start. cap: the most samples that a batch can have. line: the predicted memory, None
    if the model could not be traced, and `why`. foreseen: batch -> bytes expected before it was tried. to_limit: number
    of trials until `largest` was known.
    """

    variant: str
    parameter: str
    own: int
    best: int
    largest: int
    limit: float
    cap: int
    line: Line | Hull | None
    why: str
    trials: tuple[Trial, ...]
    foreseen: Mapping[int, float]
    to_limit: int

    def trial(self, batch: int) -> Trial:
        """The trial of a batch size that was tried."""
        return next(trial for trial in self.trials if trial.batch == batch)

    def facts(self) -> dict[str, Any]:
        """What is found, with every trial, for JSON."""
        best, largest = self.trial(self.best), self.trial(self.largest)
        return {
            "variant": self.variant,
            "parameter": self.parameter,
            "config_batch": self.own,
            "best_batch": self.best,
            "largest_batch": self.largest,
            "samples_per_second": best.rate,
            "seconds_per_1000": 1000 / best.rate if best.rate else None,
            "peak_allocated": best.allocated,
            "peak_reserved": best.reserved,
            "largest_peak_reserved": largest.reserved,
            "limit": self.limit,
            "cap": self.cap,
            "predicted": _lines(self.line),
            "not_traced": self.why,
            "trials_to_limit": self.to_limit,
            "trials": [self._told(trial) for trial in self.trials],
        }

    def _told(self, trial: Trial) -> dict[str, Any]:
        return {**trial.facts(), "foreseen": self.foreseen.get(trial.batch)}


def _lines(curve: Line | Hull | None) -> list[dict[str, float]]:
    """The lines whose maximum is the predicted memory; none without a trace."""
    lines = curve if isinstance(curve, Hull) else [curve] if curve else []
    return [line._asdict() for line in lines]


def _rate(value: float) -> str:
    """Samples per second with three significant digits, but never an exponent."""
    return f"{value:,.0f}" if value >= 100 else digits(value)


def memory_text(size: float) -> str:
    """Format bytes.

    >>> memory_text(3 * 2**29), memory_text(200_000)
    ('1.50 GiB', '0.191 MiB')
    """
    return f"{digits(size / 2**30)} GiB" if size >= 2**30 else f"{digits(size / 2**20)} MiB"


def trial_line(trial: Trial) -> str:
    """A trial in one line."""
    if trial.fits:
        return f"batch {trial.batch}: {memory_text(trial.peak or 0)} at most, {_rate(trial.rate)} samples/s"
    return f"batch {trial.batch}: {trial.status.replace('_', ' ')}, {trial.message}"


def text(entries: Sequence[Entry]) -> str:
    """A row per entry, aligned."""
    rows = [(*HEADER, *LIMIT), *(_row(entry) for entry in entries)]
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(size) for cell, size in zip(row, sizes, strict=True)) for row in rows)


def _row(entry: Entry) -> tuple[str, ...]:
    best, largest = entry.trial(entry.best), entry.trial(entry.largest)
    return (
        entry.variant,
        entry.parameter,
        str(entry.own),
        str(entry.best),
        _rate(best.rate),
        digits(1000 / best.rate) if best.rate else "",
        memory_text(best.allocated or 0),
        memory_text(best.reserved or 0),
        f"{entry.largest}{' (cap)' if entry.largest == entry.cap else ''}",
        memory_text(largest.peak or 0),
        str(entry.to_limit),
        str(len(entry.trials)),
    )


def section(run: Path) -> str:
    """What a run's record says of a batch size that was found by trials; empty if it was given."""
    if not (run / RECORD).exists():
        return ""
    told = read_json(run / RECORD, dict)
    trials = "\n".join(f"- {trial_line(from_facts(each))}" for each in told["trials"])
    return f"The batch size was `auto`: {told['why']}.\n\n{trials}"


def report(entries: Sequence[Entry], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `capacity_report.json`. facts: device, memory, versions and date."""
    return {**facts, "entries": [entry.facts() for entry in entries]}


def picture(entries: Sequence[Entry], title: str) -> bytes:
    """A PNG of peak memory and samples per second over the batch size, a color per entry.

    Filled circles fit, crosses do not; the dashed line is the predicted memory, a ring is the best batch.
    """
    with styled():
        drawn = figure(HEIGHT)
        left, right = drawn.subplots(1, 2)
        for number, entry in enumerate(entries):
            _draw_memory(left, entry, fold_color(number))
            _draw_rates(right, entry, fold_color(number), _name(entry))
        sizes = sorted({trial.batch for entry in entries for trial in entry.trials})
        _finish(left, sizes, "peak memory over the start, GiB")
        _finish(right, sizes, "samples per second")
        drawn.suptitle(title, fontsize=10)
        if len(entries) > 1:
            right.legend(loc="lower right")
        return png(drawn)


def _name(entry: Entry) -> str:
    return " ".join(filter(None, (entry.variant, entry.parameter)))


def _draw_memory(axes: Axes, entry: Entry, color: str) -> None:
    peaks = [(trial.batch, trial.peak / 2**30) for trial in entry.trials if trial.fits and trial.peak is not None]
    failed = [trial.batch for trial in entry.trials if not trial.fits]
    axes.plot(*zip(*peaks, strict=True), color=color, marker="o", linestyle="", markersize=5, zorder=3)
    axes.scatter(failed, [entry.limit / 2**30] * len(failed), color=color, marker="x", zorder=3)
    if entry.line:
        sizes = sorted({trial.batch for trial in entry.trials})
        axes.plot(sizes, [entry.line.at(size) / 2**30 for size in sizes], color=color, linestyle="--", linewidth=1)
        axes.annotate(
            "traced", (sizes[-1], entry.line.at(sizes[-1]) / 2**30), (0, -12), "data", "offset points", ha="right"
        )
    axes.axhline(entry.limit / 2**30, color=MUTED, linewidth=1)
    axes.annotate("limit", (0, entry.limit / 2**30), (3, 3), ("axes fraction", "data"), "offset points", color=MUTED)


def _draw_rates(axes: Axes, entry: Entry, color: str, name: str) -> None:
    timed = sorted((trial for trial in entry.trials if trial.rates), key=lambda trial: trial.batch)
    sizes, rates = [trial.batch for trial in timed], [trial.rate for trial in timed]
    edges = [median_interval(trial.rates) for trial in timed]
    spread = [[rate - low for rate, (low, _) in zip(rates, edges, strict=True)]]
    spread += [[high - rate for rate, (_, high) in zip(rates, edges, strict=True)]]
    axes.errorbar(sizes, rates, yerr=spread, color=color, marker="o", markersize=5, linewidth=1, capsize=2, label=name)
    best = entry.trial(entry.best)
    axes.scatter([best.batch], [best.rate], s=140, facecolors="none", edgecolors=INK, zorder=4)
    axes.annotate(f"best batch {best.batch}", (best.batch, best.rate), (0, -18), "data", "offset points", ha="center")


def _finish(axes: Axes, sizes: Sequence[int], label: str) -> None:
    apart = [size for number, size in enumerate(sizes) if not number or size >= 1.15 * sizes[number - 1]]
    axes.set_xscale("log", base=2)
    axes.set_xticks(apart, [f"{size:,}" for size in apart])
    axes.set_xticks([], minor=True)
    axes.set_ylim(bottom=0)
    axes.margins(0.12, 0.1)
    axes.set_xlabel("batch size (log scale)")
    axes.set_ylabel(label)
