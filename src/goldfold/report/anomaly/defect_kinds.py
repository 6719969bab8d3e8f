"""AUROC of each kind of defect, and within each class of object: which defects a detector does not see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas import DataFrame

from goldfold.io.formatting import number
from goldfold.metrics.auroc import misranked_share
from goldfold.report.plotting.markdown import escaped, table

TABLE = "defect_kinds.csv"
MOST = 50  # values of a column of kinds; names of files have more
PLACES = ("mask_path", "path", "id")
NOTE = (
    "A defect counts as right for the share of its fold's normal images that score lower; AUROC is the mean over the "
    "images, chance level 0.5. Kinds are compared with all normal images, classes with those of the same class."
)


def truth_of(rows: DataFrame, targets: Sequence[str]) -> np.ndarray | None:
    """The first target as int64 (n,), 1 for defects; None if it is not 0 and 1."""
    values = rows[targets[0]].to_numpy()
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        return None
    return values.astype(np.int64)


def misranked(truth: np.ndarray, scores: np.ndarray, groups: Sequence[np.ndarray]) -> np.ndarray:
    """Share of the other class that each row is ranked on the wrong side of, within its group, (n,); ties are one half.

    truth: 0 or 1, (n,). scores: larger for defects, (n,). groups: such as folds, (n,) each; NaN for a row whose groups
    have no row of the other class.
    """
    parts = pd.DataFrame(dict(enumerate(groups))).groupby(list(range(len(groups))), sort=False).indices
    wrong = np.full(len(truth), np.nan)
    for own in parts.values():
        if len(np.unique(truth[own])) == 2:
            wrong[own] = misranked_share(truth[own], scores[own])
    return wrong


def by_kind(
    rows: DataFrame, scores: np.ndarray, folds: np.ndarray, targets: Sequence[str], object_class: str | None = None
) -> DataFrame:
    """Score each kind of defect: a row per value of a text target, then per class of object.

    rows: n rows with their targets, the first one 1 for defects. scores, folds: (n,). object_class: a column of rows.

    Columns: column, kind, defects (number), auroc, lowest, highest (means of single folds). Empty if the first target
    is not 0 and 1, or no column tells kinds.
    """
    truth = truth_of(rows, targets)
    if truth is None:
        return DataFrame()
    plain = misranked(truth, scores, [folds])
    found = [
        each for column in _kind_columns(rows, targets, truth) for each in _scored(rows[column], truth, plain, folds)
    ]
    if object_class is not None and rows[object_class].nunique() > 1:
        classes = rows[object_class].astype(str)
        found += _scored(classes, truth, misranked(truth, scores, [folds, classes.to_numpy()]), folds)
    return DataFrame(found)


def _kind_columns(rows: DataFrame, targets: Sequence[str], truth: np.ndarray) -> list[str]:
    """The text targets that name a kind of defect, of which at least two images are alike."""
    texts = [each for each in targets[1:] if each not in PLACES and all(type(value) is str for value in rows[each])]
    defects = rows[truth == 1]
    return [each for each in texts if 1 < defects[each].nunique() <= min(MOST, len(defects) // 2)]


def _scored(
    kinds: pd.Series, truth: np.ndarray, wrong: np.ndarray, folds: np.ndarray
) -> Iterator[dict[str, str | int | float]]:
    """A line per kind, the lowest score first."""
    known = DataFrame({"kind": kinds.to_numpy(), "fold": folds, "right": 1 - wrong})[(truth == 1) & ~np.isnan(wrong)]
    for kind, own in sorted(known.groupby("kind"), key=lambda pair: pair[1]["right"].mean()):
        by_fold = own.groupby("fold")["right"].mean()
        yield {
            "column": str(kinds.name),
            "kind": str(kind),
            "defects": len(own),
            "auroc": own["right"].mean(),
            "lowest": by_fold.min(),
            "highest": by_fold.max(),
        }


def section(run: Path) -> str:
    """The section of the record: a table of all kinds, the lowest score first; empty if the run has none."""
    if not (run / TABLE).exists():
        return ""
    scores = pd.read_csv(run / TABLE, dtype={"column": str, "kind": str}, keep_default_na=False)
    header = ["column", "kind", "defects", "AUROC", "lowest fold", "highest fold"]
    lines = [
        [
            f"`{row['column']}`",
            escaped(row["kind"]),
            f"{row['defects']:,}",
            *(number(row[name]) for name in ("auroc", "lowest", "highest")),
        ]
        for _, row in scores.iterrows()
    ]
    return f"{table(header, lines, left=2)}\n\n{NOTE}"
