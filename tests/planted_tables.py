"""Tables and images with planted faults that make a score mislead, and clean ones; for tests alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.optional_parts import Neighbors
from goldfold.trust import audits
from goldfold.trust.audits import Finding
from goldfold.trust.table_audits import of_tables


@dataclass(frozen=True)
class Case:
    """Tables, folds and what a competition declares of them."""

    train: pd.DataFrame
    test: pd.DataFrame
    folds: Sequence[Fold]
    group: str | None = None
    neighbors: Neighbors | None = None
    targets: tuple[str, ...] = ("y",)

    def findings(self) -> dict[str, Finding]:
        """Code -> finding of all audits of tables."""
        made: Any = SimpleNamespace(targets=self.targets, group=self.group, neighbors=self.neighbors)
        sample = self.test[["id"]]
        tables = Tables(train=self.train, test=self.test, sample_submission=sample)
        features = self.train.drop(columns=["id", *self.targets])
        contents = pd.util.hash_pandas_object(features.astype(str), index=False)
        checks = of_tables(made, tables, self.folds, contents)
        return {finding.code: finding for finding in audits.findings_of(checks)}


def random_folds(rows: int, random: np.random.Generator, number: int = 5) -> list[Fold]:
    part = random.permutation(np.arange(rows) % number)
    return [Fold(np.flatnonzero(part != at), np.flatnonzero(part == at)) for at in range(number)]


def clean(seed: int = 0, rows: int = 300, numbers: int = 8, target: str = "binary") -> Case:
    """A table without any of the faults: two useful columns, gaps, categories, whole numbers, shuffled ids."""
    random = np.random.default_rng(seed)
    size = rows + rows // 3
    table = pd.DataFrame(random.normal(size=(size, numbers)), columns=[f"x{at}" for at in range(numbers)])
    table["skewed"] = np.exp(table["x0"] + random.normal(size=size))
    table.loc[random.random(size) < 0.1, "x1"] = np.nan
    table["site"] = random.choice(list("abcdef"), size, p=[0.4, 0.2, 0.2, 0.1, 0.05, 0.05])
    table["age"] = random.integers(18, 90, size)
    value = table["x0"] + table["x2"] + random.normal(size=size) * 1.5
    table["y"] = {"binary": (value > 0).astype(int), "classes": pd.qcut(value, 4, labels=False), "number": value}[
        target
    ]
    table["id"] = [f"r{at}" for at in random.permutation(size)]
    train, test = table[:rows], table[rows:].drop(columns="y").reset_index(drop=True)
    return Case(train, test, random_folds(rows, random))


def both(case: Case, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Case:
    return replace(case, train=change(case.train), test=change(case.test))


def patients(case: Case, shared: bool) -> Case:
    """Four rows of each patient; the test rows have the train table's patients, or their own."""
    random = np.random.default_rng(2)
    every = random.permutation(np.arange(100))
    train = random.permutation(np.repeat(every[:75], 4))
    test = random.permutation(np.repeat(every[:25] if shared else every[75:], 4))
    named = [rows.assign(patient_id=names) for rows, names in ((case.train, train), (case.test, test))]
    return replace(case, train=named[0], test=named[1])


def timed(case: Case, later: bool, name: str, text: bool = False) -> Case:
    random = np.random.default_rng(3)
    days = np.concatenate([random.uniform(0, 300, len(case.train)), random.uniform(300 * later, 400, len(case.test))])
    values = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(days, unit="D")) if text else pd.Series(days)
    values = values.dt.strftime("%Y-%m-%d") if text else values
    train, test = values[: len(case.train)].to_numpy(), values[len(case.train) :].to_numpy()
    return replace(case, train=case.train.assign(**{name: train}), test=case.test.assign(**{name: test}))


def jittered(case: Case, copied: int = 30) -> Case:
    """The first rows once more with noise on their numbers, ids `copy<position>`, and all rows in random folds."""
    random = np.random.default_rng(6)
    copies = case.train[:copied].copy()
    numbers = copies.select_dtypes(float).columns
    copies[numbers] += random.normal(size=(copied, len(numbers))) * 0.01
    copies["id"] = [f"copy{at}" for at in range(copied)]
    rows = pd.concat([case.train, copies], ignore_index=True).sample(frac=1, random_state=0).reset_index(drop=True)
    return replace(case, train=rows, folds=random_folds(len(rows), random))


def mislabeled(wrong: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """300 train and 100 test rows whose class is the sign of `x0`; that many clear ones have the other label."""
    random = np.random.default_rng(1)
    table = pd.DataFrame({"x0": random.normal(size=400), "x1": random.normal(size=400), "id": range(400)})
    table["y"] = (table["x0"] > 0).astype(int)
    swapped = np.flatnonzero(table["x0"].abs() > 1)[:wrong]
    table.loc[swapped, "y"] = 1 - table.loc[swapped, "y"]
    return table[:300], table[300:].drop(columns="y").reset_index(drop=True)


def scene(seed: int, size: int = 64) -> np.ndarray:
    """A smooth random image, uint8 (size, size)."""
    noise = np.random.default_rng(seed).normal(size=(8, 8)).astype(np.float32)
    large = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 40 * large, 0, 255).astype(np.uint8)
