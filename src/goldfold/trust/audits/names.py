"""Audit of names: parts of a file's path, or of an id, that tell the target."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldfold.trust import associations
from goldfold.trust.audits.columns import ALARMS, TELLS_CLASS
from goldfold.trust.audits.findings import Finding, FindingKind, Level
from goldfold.trust.table_columns import Target

if TYPE_CHECKING:
    from pandas import Series

DEEPEST = 4  # folders above a file, and words of a name, that are looked at
WORDS = re.compile(r"[^\W_]+")
THERE = 0.5  # share of test rows with a part that train rows have, from which it tells their target, too

LABEL_IN_PATH = FindingKind(
    code="label_in_path",
    topic="Leakage",
    levels=("warning", "note"),
    found="a folder, or a word of a file name or id, that tells the target",
    seen="A part of the paths or ids of train rows, such as the folder `cats/`, tells the class of other rows with an "
    "AUROC above 0.98. A warning if most test rows have one of these parts, too; else a note.",
    misleads="A recipe that reads paths or ids scores perfectly. Where the test rows have such parts, labels can be "
    "read off, and the leaderboard rewards it.",
    cure="Let no recipe read paths or ids but to open files. Rename test files, if the competition is your own.",
    example="the folder 1 above the file tells the target 'kind' (AUROC 1.000), such as 'crack' ...: ...",
)


def label_in_path(
    names: tuple[Series, Series], what: str, targets: Sequence[Target], halves: tuple[np.ndarray, np.ndarray]
) -> list[Finding]:
    """Report a part of names that tells a target of classes.

    names: of the train and of the test rows. what: "file" or "id". halves: positions of train rows without a common
        group.
    """
    train, test = (_parts(each, what) for each in names)
    judged = [target for target in targets if target.classes]
    tests, findings = max(1, len(train) * len(judged)), []
    for target in judged:
        for part, values in train.items():
            codes, known = pd.factorize(values)
            if not 1 < len(known) <= len(values) / 2:
                continue
            found = associations.class_told(codes, target.values, halves)
            if found.strength > TELLS_CLASS and found.p_value * tests < ALARMS:
                findings.append(_finding(part, target, found.strength, known[0], _shared(test.get(part), known)))
                break  # one part is enough to say
    return findings


def _finding(part: str, target: Target, strength: float, example: str, shared: float) -> Finding:
    level: Level = "warning" if shared > THERE else "note"
    there = f"{shared:.0%} of the test rows have one, too, so labels can be read off"
    message = (
        f"{part} tells the target '{target.name}' (AUROC {strength:.3f}), such as {example!r}; "
        f"{there if shared else 'no test row has one'}: a recipe that reads it scores without having learned anything. "
        "Read paths and ids only to open files" + (", and rename the test files" if level == "warning" else "")
    )
    return LABEL_IN_PATH(message, "train", level)


def _shared(test: Series | None, known: pd.Index) -> float:
    return 0.0 if test is None else float(test.isin(known[known != ""]).mean())


def _parts(names: Series, what: str) -> dict[str, Series]:
    """Part of the name in words -> its text for each row, "" where a name has fewer parts."""
    paths = [PurePath(str(name)) for name in names]
    found = {}
    for level in range(1, DEEPEST + 1):
        folders = [path.parts[-1 - level] if len(path.parts) > level else "" for path in paths]
        found[f"the folder {level} above the {what}"] = pd.Series(folders)
    words = [WORDS.findall(path.stem) for path in paths]
    for at in range(DEEPEST):
        found[f"word {at + 1} of the {what}'s name"] = pd.Series([each[at] if len(each) > at else "" for each in words])
        letters = [re.sub(r"\d+", "", each[at]) if len(each) > at else "" for each in words]
        found[f"the letters of word {at + 1} of the {what}'s name"] = pd.Series(letters)
    return {part: values for part, values in found.items() if values.nunique() > 1}
