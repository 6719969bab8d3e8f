"""The runs of a project as a table: score, size on disk, age, findings, and what needs them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment import run_results
from goldfold.experiment.run_folders import BLEND, is_running, list_runs, run_name, started
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json
from goldfold.io.formatting import count, number, width
from goldfold.workflows.housekeeping.uses import uses

if TYPE_CHECKING:
    from pandas import DataFrame

SORTS = ("score", "size", "age")
HEADER = ("run", "score", "metric", "size", "age", "findings", "needed by")
RIGHT = ("score", "size", "age", "findings")
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A run in the table.

    state: `finished`, `running`, `not finished` or `damaged`; only of finished ones metric, score and findings are
        known. size: bytes. age: seconds since it was started, None if that is unknown. needed: by what, in words.
    """

    folder: Path
    state: str
    metric: str = ""
    score: float | None = None
    higher_is_better: bool = True
    protocol: str = ""
    findings: int = 0
    size: int
    age: float | None
    needed: tuple[str, ...]

    @property
    def name(self) -> str:
        """Competition and run."""
        return run_name(self.folder)


@dataclass(frozen=True)
class Inventory:
    """Runs in the order that was asked for; a table when printed."""

    runs: tuple[Listed, ...]
    sort: str

    @property
    def table(self) -> DataFrame:
        """A row per run: run, state, metric, score, size (bytes), age (seconds), findings, needed by."""
        import pandas as pd

        names = ("name", "state", "metric", "score", "size", "age", "findings")
        rows = [{name: getattr(run, name) for name in names} | {"needed": ", ".join(run.needed)} for run in self.runs]
        return pd.DataFrame(rows, columns=[*names, "needed"]).rename(columns={"name": "run"})

    def __str__(self) -> str:
        lines = [HEADER, *(_cells(run) for run in self.runs)]
        total = sum(run.size for run in self.runs)
        order = {"score": "best first, of each metric", "size": "largest first", "age": "newest first"}[self.sort]
        return f"{_aligned(lines)}\n{count(len(self.runs), 'run')}, {in_bytes(total)} on disk; {order}"


def inventory(workspace: Workspace, competition: str | None = None, sort: str = "score") -> Inventory:
    """List the runs of a competition, or all.

    sort: score (the best of each metric first), size (the largest first) or age (the newest first).

    Raises:
        GoldfoldError: `unknown_sort`, `unknown_competition`, `no_runs`; as `uses`.
    """
    if sort not in SORTS:
        raise unknown("order of runs", sort, SORTS, code="unknown_sort")
    folders = [each for each in list_runs(workspace.runs) if competition in (None, each.parent.name)]
    if competition is not None and not folders and competition not in workspace.names():
        raise unknown("competition", competition, workspace.names(), code="unknown_competition")
    if not folders:
        raise GoldfoldError("no_runs", "there are no runs yet: start one with make train COMP=digits CONFIG=baseline")
    runs = listed(workspace, folders)
    return Inventory(tuple(sorted(runs, key=_order(sort))), sort)


def listed(workspace: Workspace, folders: Sequence[Path]) -> list[Listed]:
    """Read run folders for the table, in their order."""
    needed, now = uses(workspace, folders), datetime.now(UTC)
    return [_listed(folder, needed[run_name(folder)], now) for folder in folders]


def _listed(folder: Path, needed: tuple[str, ...], now: datetime) -> Listed:
    common: dict[str, Any] = {"folder": folder, "size": size_of(folder), "age": _age(folder, now), "needed": needed}
    row = run_results.table_row(folder)
    if "mean" not in row:
        state = "running" if is_running(folder) else row["metric"]
        return Listed(**common, state=state)
    summary = run_results.metrics(folder)[row["metric"]]
    blend = (folder / BLEND).exists()
    return Listed(
        **{**common, "needed": (*needed, *([_members(folder)] if blend else []))},
        state="finished",
        metric=row["metric"],
        score=row["mean"],
        higher_is_better=summary["higher_is_better"],
        protocol=summary["protocol"],
        findings=row["findings"],
    )


def _members(folder: Path) -> str:
    return f"(blend of {', '.join(read_json(folder / BLEND, dict)['runs'])})"


def _age(folder: Path, now: datetime) -> float | None:
    try:
        began = datetime.fromisoformat(started(folder))
    except ValueError:
        return None
    return (now - (began if began.tzinfo else began.replace(tzinfo=UTC))).total_seconds()


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder; a file of several names counts once, and links are not followed."""
    found = {}
    for parent, _, files in os.walk(folder):
        for name in files:
            facts = os.lstat(Path(parent) / name)
            found[facts.st_dev, facts.st_ino] = facts.st_size
    return sum(found.values())


def _order(sort: str) -> Any:
    def by_score(run: Listed) -> tuple:
        value = 0.0 if run.score is None else -run.score if run.higher_is_better else run.score
        return run.folder.parent.name, run.score is None, run.metric, value

    return {
        "score": by_score,
        "size": lambda run: -run.size,
        "age": lambda run: (run.age is None, run.age),
    }[sort]


def _cells(run: Listed) -> tuple[str, ...]:
    finished = run.state == "finished"
    return (
        run.name,
        number(run.score) if run.score is not None else "-",
        run.metric if finished else run.state,
        in_bytes(run.size),
        "-" if run.age is None else in_days(run.age),
        str(run.findings) if finished else "-",
        "; ".join(run.needed) or "-",
    )


def in_bytes(size: float) -> str:
    """Format a size with three digits.

    >>> [in_bytes(size) for size in (512, 2048, 198_000_000)]
    ['512 B', '2.0 KiB', '188.8 MiB']
    """
    power = 0
    while size >= 1024 and power < len(UNITS) - 1:
        size, power = size / 1024, power + 1
    return f"{size:.0f} B" if not power else f"{size:.1f} {UNITS[power]}"


def in_days(seconds: float) -> str:
    """Format an age in its largest unit.

    >>> [in_days(seconds) for seconds in (40, 4000, 200_000)]
    ['0 min', '1 h', '2 d']
    """
    for unit, length in (("d", 86_400), ("h", 3_600)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0, seconds) // 60:.0f} min"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    sizes = [max(map(width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            " " * (size - width(cell)) + cell if name in RIGHT else cell + " " * (size - width(cell))
            for cell, size, name in zip(row, sizes, HEADER, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
