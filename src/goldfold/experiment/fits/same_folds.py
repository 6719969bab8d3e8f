"""Whether another run drew the folds of this one, so that its fit of a fold never saw the fold's validation rows."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment.run_folders import run_name
from goldfold.io.files import read_json

FOLDS = "folds.csv"
LEAK = "pseudo_label_leak"  # code of the finding that a run inherits from its teacher, or from the run it starts from
SELECTED = "selected_on_scored_fold"  # code of a finding that its learner inherits in part


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


def seen_of_scored_folds(run: Path) -> dict[str, Any]:
    """What a finished run learned of the rows that score its folds, which it hands on to runs that learn from it.

    run: its name. leaks: whether its labels leaked. selected: whether its scored folds chose epochs or rounds.
    """
    found = read_json(run / "findings.json", list)
    codes = {each["code"] for each in found}
    leaks = any(each["code"] == LEAK and each["level"] != "note" for each in found)
    return {"run": run_name(run), "leaks": leaks, "selected": SELECTED in codes}
