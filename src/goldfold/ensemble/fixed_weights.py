"""Weights that the user gives, and files of test predictions that only such weights can blend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pandas import Index

from goldfold.competition import Competition, Tables
from goldfold.data import csv_tables
from goldfold.ensemble.blending import Members
from goldfold.ensemble.members import alike, kind_of
from goldfold.ensemble.methods import Method, weighted_blender
from goldfold.ensemble.weight_search import weighted_mean
from goldfold.errors import GoldfoldError
from goldfold.experiment.predictions.alignment import aligned, form_of
from goldfold.experiment.predictions.reading import is_file_name, read_given


@dataclass(frozen=True)
class TestFile:
    """Test predictions without out-of-fold predictions: (m, ...) values, in the order of the test table."""

    name: str
    sha256: str
    values: np.ndarray


@dataclass(frozen=True)
class FixedWeights:
    """What a blend by given weights is made of, in the order in which it was named.

    names: runs and files. shares: (names,) of sum 1. files: those of the names that are files, as paths.
    """

    names: tuple[str, ...]
    shares: np.ndarray
    files: tuple[Path, ...]

    @property
    def runs(self) -> list[str]:
        """The names that are runs."""
        return [name for name in self.names if not is_file_name(name)]

    @property
    def of_runs(self) -> np.ndarray:
        """The shares of the runs, scaled to sum 1: they are scored with these."""
        own = np.array([share for name, share in zip(self.names, self.shares, strict=True) if not is_file_name(name)])
        return own / own.sum()

    @property
    def of_files(self) -> dict[str, float]:
        """File -> its share of the test predictions."""
        pairs = zip(self.names, self.shares.tolist(), strict=True)
        return {Path(name).name: share for name, share in pairs if is_file_name(name)}

    def method(self) -> Method:
        """The blend method of the runs, which learns nothing."""
        return Method(lambda task, positions: weighted_blender(self.of_runs), learns=False, plain=False)


def fixed_weights(names: Sequence[str], weights: Sequence[str | float]) -> FixedWeights:
    """Read a weight for each name; they are scaled to sum 1.

    Raises:
        GoldfoldError: `weights_invalid`, not one number of at least 0 for each name, or none for a run.
    """
    try:
        shares = [float(each) for each in weights]
    except ValueError:
        shares = []
    fitting = len(shares) == len(names) and all(math.isfinite(each) and each >= 0 for each in shares)
    scored = sum(share for name, share in zip(names, shares, strict=False) if not is_file_name(name)) if fitting else 0
    if not scored:
        raise GoldfoldError(
            "weights_invalid",
            f"WEIGHTS needs a number of at least 0 for each of the {len(names)} members, and more than 0 for a run "
            f"with a score, got {' '.join(map(str, weights))[:100] or 'none'}: give as many as RUNS, such as 0.7 0.3",
        )
    files = tuple(Path(name) for name in names if is_file_name(name))
    doubled = [path.name for path in files if sum(each.name == path.name for each in files) > 1]
    if doubled:
        raise GoldfoldError("weights_invalid", f"two files are called {doubled[0]}: leave one out, or rename it")
    return FixedWeights(tuple(names), np.array(shares) / sum(shares), files)


def read_test_files(files: Sequence[Path], competition: Competition, data: Tables) -> list[TestFile]:
    """Read files of test predictions; raises as `read_given` and `aligned`."""
    form = form_of(competition, data.train) if files else None
    ids = list(dict.fromkeys(("id", str(data.sample_submission.columns[0]))))
    train, test = (Index(csv_tables.written(rows["id"])) for rows in (data.train, data.test))
    found = []
    for path in files:
        given = read_given(path, ids)
        assert form is not None, "there are files"
        found.append(TestFile(path.name, given.sha256, aligned(given, form, test, others=train, known=test)))
    return found


def blended_test(fixed: FixedWeights, members: Members, files: Sequence[TestFile]) -> np.ndarray:
    """The weighted mean of the test predictions of runs and files.

    Raises:
        GoldfoldError: `other_kind_of_predictions`.
    """
    runs, given = iter(members.test), iter(each.values for each in files)
    parts = alike([next(given if is_file_name(name) else runs) for name in fixed.names])
    for name, part in zip(fixed.names, parts, strict=True):
        if kind_of(part) != kind_of(parts[0]):
            raise GoldfoldError(
                "other_kind_of_predictions",
                f"{name} predicts {kind_of(part)} and {fixed.names[0]} {kind_of(parts[0])}: blend members that predict "
                "the same",
            )
    return weighted_mean(parts, fixed.shares)
