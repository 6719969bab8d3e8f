"""An export in words: how it differs from the run, its size, and its time beside torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldfold.export.rows import FACTS
from goldfold.io.files import read_json
from goldfold.report.plotting.markdown import escaped, table

HEADER = ("way", "seconds per 1,000 rows", "least", "most", "speed")


def section(run: Path) -> str:
    """The section of a run's record; empty without an export."""
    if not (run / FACTS).exists():
        return ""
    facts = read_json(run / FACTS, dict)
    lines = [[escaped(cell) for cell in line] for line in times(facts)]
    return "\n\n".join([*map(escaped, sentences(facts)), table(HEADER, lines, left=1)])


def sentences(facts: Mapping[str, Any]) -> list[str]:
    """What was exported, how equal it is, how it was timed, and what was left out."""
    timed = facts["timed"]
    lines = [
        f"{facts['fits']} fits as one {facts['format']} model, {facts['bytes'] / 1e6:.1f} MB, with {facts['runtime']}.",
        f"Compared with the run's predictions of {facts['equality']}.",
        f"Timed on {timed['rows']} rows whose files were read before, {timed['rounds']} rounds in turns, "
        f"{timed['threads']} threads, batches of {timed['batch']}; load of the machine {timed['load']}.",
    ]
    return lines + [f"Not timed: {name} ({why})." for name, why in timed["left_out"].items()]


def times(facts: Mapping[str, Any]) -> list[list[str]]:
    """A line for each way to predict; speed: how many times as fast as torch is, by the medians."""
    ways = facts["timed"]["ways"]
    first = next(iter(ways.values()))["median"]
    return [
        [name, *(f"{way[key]:.2f}" for key in ("median", "least", "most")), f"{first / way['median']:.2f}"]
        for name, way in ways.items()
    ]
