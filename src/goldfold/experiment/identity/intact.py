"""Whether a finished run can be read: by its manifest, or file by file where an older version wrote none."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment.identity import manifest
from goldfold.io.files import read_array, read_json

SUMMARY = ("protocol", "higher_is_better", "bounds", "chance", "folds", "mean", "sd_ddof1", "n")  # of each metric
FINDING = ("code", "level", "message", "where")
UNREADABLE = (GoldfoldError, OSError, LookupError, TypeError, ValueError, AttributeError, StopIteration)


def refuse_damaged(run: Path, *, large: bool = True) -> None:
    """Refuse a finished run with a changed or unreadable file.

    large: whether arrays and pictures are read, too.

    Raises:
        GoldfoldError: `run_changed`, or `run_damaged` for a run without a manifest.
    """
    if (run / manifest.MANIFEST).exists():
        manifest.refuse_changes(run, large=large)
        return
    try:
        _read_all(run, large)
    except GoldfoldError as error:
        raise GoldfoldError(
            "run_damaged",
            f"run '{run.parent.name}/{run.name}' cannot be read ({error.message.rpartition(': ')[0]}): restore what is "
            f"damaged, or delete {run} and train it again",
        ) from error


def _read_all(run: Path, large: bool) -> None:
    """Read the files that verbs read; raises `file_missing` or `file_damaged`."""
    for name, check in CHECKS.items():
        if (run / name).exists() or name in NEEDED:
            _checked(run / name, check)
    for path in sorted(run.glob("fold*-seed*/*.json")):
        if path.name in OF_FIT:
            _checked(path, OF_FIT[path.name])
    _refuse_no_folds(run / "folds.csv")
    if large:
        for side in ("oof", "test"):
            _refuse_other_length(run, side)


def fault(run: Path) -> str | None:
    """Why a finished run cannot be read, arrays apart, as a sentence; None if it can."""
    try:
        refuse_damaged(run, large=False)
    except UNREADABLE as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _checked(path: Path, check: Callable[[Any], bool]) -> None:
    """Read a JSON file and raise `file_damaged` if it does not hold what `check` wants."""
    found = read_json(path)
    try:
        whole = check(found)
    except UNREADABLE:
        whole = False
    if not whole:
        raise GoldfoldError("file_damaged", f"{path} does not hold what a run writes: restore it, or train again")


def _refuse_no_folds(path: Path) -> None:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        whole = bool(rows) and all(row["id"] is not None and int(row["fold"]) >= -1 for row in rows)
    except (*UNREADABLE, csv.Error):
        whole = False
    if not whole:
        raise GoldfoldError("file_damaged", f"{path} lists no folds: restore it, or train again")


def _refuse_other_length(run: Path, side: str) -> None:
    array, path = read_array(run / f"{side}.npy"), run / f"{side}_ids.csv"
    try:
        lines = path.read_text(encoding="utf-8").count("\n") - 1
    except (OSError, ValueError) as error:
        raise GoldfoldError("file_damaged", f"{path} is not text ({error}): restore it, or train again") from error
    if array.ndim == 0 or len(array) != lines:
        raise GoldfoldError(
            "file_damaged",
            f"{run / side}.npy has the shape {array.shape} for {lines:,} ids: restore it, or train the run again",
        )


def _is_metrics(found: Any) -> bool:
    return bool(found) and all(_is_summary(each) for each in found.values())


def _is_summary(each: Mapping[str, Any]) -> bool:
    numbers = [each["mean"], each["chance"], *each["folds"].values()]
    known = all(key in each for key in SUMMARY) and len(each["bounds"]) == 2
    return known and bool(each["folds"]) and all(isinstance(number, (int, float)) for number in numbers)


CHECKS: dict[str, Callable[[Any], bool]] = {
    "metrics.json": _is_metrics,
    "findings.json": lambda found: (
        isinstance(found, list) and all(isinstance(each[key], str) for each in found for key in FINDING)
    ),
    "config.json": lambda found: all(isinstance(found[key], str) for key in ("config", "recipe")),
    "reproduce.json": lambda found: isinstance(found["identity"], str) and isinstance(found["git"], dict),
    "checks.json": lambda found: (
        isinstance(found, list) and all(key in each for each in found for key in ("what", "codes", "skipped"))
    ),
    "grade.json": lambda found: isinstance(found["score"], float) and isinstance(found.get("fits", []), list),
    "refit.json": lambda found: isinstance(found["epochs"], dict) and isinstance(found["seeds"], list),
    "thresholds.json": lambda found: isinstance(found["thresholds"], dict) and isinstance(found["nested"], dict),
    "imported.json": lambda found: isinstance(found["sha256"], dict) and isinstance(found["folds"]["kind"], str),
    "decisions.json": lambda found: (
        isinstance(found["values"], dict)
        and all(isinstance(found[name]["mean"], float) for name in ("without", "nested"))
    ),
    "blend.json": lambda found: isinstance(found["runs"], list) and isinstance(found["method"], str),
}
NEEDED = ("metrics.json", "findings.json", "config.json", "reproduce.json")
OF_FIT: dict[str, Callable[[Any], bool]] = {
    "fit.json": lambda found: isinstance(found["scores"], dict) and isinstance(found["facts"], dict),
    "history.json": lambda found: isinstance(found, list) and all(isinstance(row, dict) for row in found),
}
