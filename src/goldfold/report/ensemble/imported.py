"""Section of a record on imported predictions: their files, and on which folds they were made."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev

from goldfold.experiment.run_folders import IMPORTED
from goldfold.io.files import read_json
from goldfold.io.formatting import count, number
from goldfold.report.plotting.markdown import escaped, table

CALLED = {"oof": "out-of-fold predictions", "test": "test predictions", "folds": "folds of the former"}
FOLDS = {
    "equal": "They were made on the folds that score them here, so their run is like any other.",
    "different": "They were made on {} of their own, see `foreign_folds` above.",
    "unknown": "Nothing says on which folds they were made, see `foreign_folds` above.",
}


def section(run: Path) -> str:
    """The record's section on imported predictions; empty if the run is of another kind."""
    if not (run / IMPORTED).exists():
        return ""
    facts, files = read_json(run / IMPORTED, dict), read_json(run / "config.json", dict)["files"]
    called = {**CALLED, **({"test": "a submission ready to be sent"} if facts["ready"] else {})}
    lines = [[called[side], escaped(str(name)), facts["sha256"][side][:16]] for side, name in files.items()]
    folds = facts["folds"]
    told = FOLDS[folds["kind"]].format(count(folds["folds"], "fold"))
    if len(folds["scores"]) > 1:
        told += f" By these they score {number(fmean(folds['scores']))} ± {number(stdev(folds['scores']))} (mean ± sd)."
    return f"{table(('what', 'file', 'SHA-256 begins with'), lines, left=3)}\n\n{told}"
