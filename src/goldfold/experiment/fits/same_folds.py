"""Whether another run drew the folds of this one, so that its fit of a fold never saw the fold's validation rows."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from goldfold.errors import GoldfoldError
from goldfold.experiment.run_folders import run_name

FOLDS = "folds.csv"


def refuse_other_folds(run: Path, drawn: str, code: str, use: str) -> None:
    """Refuse a run whose `folds.csv` is not `drawn`, the text of this experiment's folds.

    code: of the error. use: what its fits are to be used as, such as "teacher".

    Raises:
        GoldfoldError: the run has no `folds.csv`, or another one.
    """
    rule = f"a {use} must have the folds of this run, so that its fit of a fold never saw the rows that score the fold"
    if not (run / FOLDS).exists():
        raise GoldfoldError(code, f"{rule}, and run '{run_name(run)}' has no {FOLDS}: name a run that trained here")
    theirs = (run / FOLDS).read_text(encoding="utf-8")
    if theirs == drawn:
        return
    pairs = list(zip_longest(theirs.splitlines(), drawn.splitlines(), fillvalue="no row"))
    other = [(one, own) for one, own in pairs if one != own]
    raise GoldfoldError(
        code,
        f"{rule}, and {len(other):,} of {len(pairs) - 1:,} rows of its {FOLDS} differ, the first '{other[0][0]}' where "
        f"'{other[0][1]}' is drawn now: train run '{run_name(run)}' again with the same split and seed",
    )
