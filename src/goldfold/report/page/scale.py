"""A run's score on one scale with the chance level, the best possible, the untrained model and earlier runs, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite
from typing import Any, NamedTuple

from goldfold.io.formatting import number, shortened, shortened_apart

WIDTH, ROW, EDGE = 360, 34, 8  # units of the picture: as many pixels on a phone
LONGEST = 36  # columns of a name


class Mark(NamedTuple):
    """A score with its interval, if it has one. own: whether it is the run's."""

    name: str
    score: float
    edges: Sequence[float] | None
    own: bool = False


def marks(name: str, summary: Mapping[str, Any], earlier: Mapping[str, Mapping[str, Any]]) -> list[Mark]:
    """The rows of the scale; name: of the run. earlier: run -> its summary of the same metric and protocol."""
    better = "higher" if summary["higher_is_better"] else "lower"
    found = [Mark(f"{name} ({better} is better)", summary["mean"], summary.get("interval_95"), own=True)]
    if "untrained" in summary:
        found.append(Mark("untrained model", summary["untrained"]["mean"], None))
    found.append(Mark("chance level", summary["chance"], None))
    best = summary.get("best_possible", summary["bounds"][1 if summary["higher_is_better"] else 0])
    found += [Mark("best possible", best, None)] if isfinite(best) else []
    return found + [Mark(run, own["mean"], own.get("interval_95")) for run, own in earlier.items()]


def svg(found: Sequence[Mark]) -> str:
    """Draw the scale, a row per mark, from its lowest to its highest value.

    Colors are those of the page's style. Names are shortened so that they stay different; a tooltip has them in full.
    """
    values = [value for mark in found for value in (mark.score, *(mark.edges or ()))]
    low, high = min(values), max(values)
    names = shortened_apart([mark.name for mark in found], lambda name: shortened(name, LONGEST))
    height = ROW * len(found) + 18
    rows = [_row(mark, name, ROW * at, (low, high)) for at, (mark, name) in enumerate(zip(found, names, strict=True))]
    ends = (
        f'<text class="small" x="{EDGE}" y="{height - 3}">{number(low)}</text>'
        f'<text class="small" x="{WIDTH - EDGE}" y="{height - 3}" text-anchor="end">{number(high)}</text>'
    )
    label = escape("; ".join(f"{mark.name} {number(mark.score)}" for mark in found))
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(rows)}{ends}</svg>'


def _row(mark: Mark, name: str, top: int, ends: tuple[float, float]) -> str:
    """Name and score above a line, on it a dot and the interval."""
    kind, weight = ("mark", "600") if mark.own else ("aside", "400")
    y = top + 24
    x = _place(mark.score, ends)
    parts = [
        f"<title>{escape(mark.name)}</title>",
        f'<text x="{EDGE}" y="{top + 13}" font-weight="{weight}">{escape(name)}</text>',
        f'<text x="{WIDTH - EDGE}" y="{top + 13}" text-anchor="end" font-weight="{weight}">{number(mark.score)}</text>',
        f'<line class="rule" x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{y}" y2="{y}"/>',
    ]
    if mark.edges:
        left, right = (_place(edge, ends) for edge in mark.edges)
        parts.append(f'<line class="{kind}" stroke-width="3" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
    parts.append(f'<circle class="{kind}" cx="{x}" cy="{y}" r="4.5"/>')
    return f"<g>{''.join(parts)}</g>"


def _place(value: float, ends: tuple[float, float]) -> float:
    """Where a value lies from left to right; in the middle if all values are equal."""
    low, high = ends
    share = (value - low) / (high - low) if high > low else 0.5
    return round(EDGE + share * (WIDTH - 2 * EDGE), 1)
