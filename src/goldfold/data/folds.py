"""Folds: ways to part a train table's rows, each verified after it is drawn, so that no fold is empty or lacks a class.

Every function is pure and returns a list of `Fold`s, so that a competition's split is one line such as

    def split(train, seed):
        return stratified(train["defect"].astype(str) + train["type"], folds=5, seed=seed)

Labels and groups are one value a row: text in any script, numbers or bools, none missing. What cannot be split as asked
raises GoldfoldError with the fold or class and what to do. Folds equal those of the library named, for the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Sized
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from goldfold.competition import Fold
from goldfold.errors import GoldfoldError

MEND = {"class": "merge it with another", "label": "leave it out of what is stratified"}


def k_fold(rows: Sized, folds: int, seed: int) -> list[Fold]:
    """Shuffled rows in parts of equal size (within one row): scikit-learn's KFold."""
    from sklearn.model_selection import KFold

    _enough(len(rows), "rows", folds)
    return verified(_drawn(KFold(folds, shuffle=True, random_state=seed).split(np.zeros(len(rows)))), len(rows))


def stratified(labels: Sequence, folds: int, seed: int) -> list[Fold]:
    """Each class spread evenly over the folds (within one row): scikit-learn's StratifiedKFold."""
    from sklearn.model_selection import StratifiedKFold

    codes, _ = _classes(labels, folds)
    drawn = _drawn(StratifiedKFold(folds, shuffle=True, random_state=seed).split(codes, codes))
    return verified(drawn, len(codes), labels=labels)


def grouped(groups: Sequence, folds: int, seed: int) -> list[Fold]:
    """All rows of a group (patient, recording) in one fold: scikit-learn's GroupKFold with shuffling.

    Every fold validates on equally many groups (within one), so folds of uneven groups differ in rows.
    """
    from sklearn.model_selection import GroupKFold

    codes, names = _codes(groups, "group")
    _enough(len(names), "groups", folds)
    drawn = _drawn(GroupKFold(folds, shuffle=True, random_state=seed).split(codes, groups=codes))
    return verified(drawn, len(codes), groups=groups)


def stratified_grouped(labels: Sequence, groups: Sequence, folds: int, seed: int) -> list[Fold]:
    """All rows of a group in one fold, and classes as even as groups allow: scikit-learn's StratifiedGroupKFold.

    With few or uneven groups that leaves folds empty or without a class, which is an error here.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    codes, classes = _classes(labels, folds)
    group_codes, names = _codes(groups, "group")
    _enough(len(names), "groups", folds)
    _enough_of_each(pd.Series(group_codes).groupby(codes).nunique(), "class", classes, folds, "groups")
    drawn = _drawn(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(codes, codes, group_codes))
    return verified(drawn, len(codes), labels=labels, groups=groups)


def multilabel_stratified(labels: Any, folds: int, seed: int) -> list[Fold]:
    """Each label's positive rows spread as evenly over the folds as their combinations allow.

    labels: (n, c) table or array of 0 and 1 (or bool), c >= 2. Each fold must hold a positive row of each label.
    Source: Sechidis, Tsoumakas and Vlahavas 2011, as `iterative-stratification` has it.
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    table = pd.DataFrame(labels)
    if table.shape[1] < 2 or not table.isin((0, 1)).all(axis=None):
        raise GoldfoldError("labels must be two or more columns of 0 and 1 without gaps: use `stratified` for others")
    present = table.to_numpy(dtype=bool)
    _enough(len(present), "rows", folds)
    _enough_of_each(present.sum(axis=0), "label", list(table.columns), folds)
    splitter = MultilabelStratifiedKFold(folds, shuffle=True, random_state=seed)
    drawn = verified(_drawn(splitter.split(present, present)), len(present))
    return _holding_each(drawn, "label", list(table.columns), lambda positions: present[positions].sum(axis=0))


def time_ordered(times: Sequence, folds: int, *, gap: Any = 0) -> list[Fold]:
    """Expanding window: successive blocks of rows, each the validation part of a fold that trains on what lies before.

    times: numbers or dates, in any order. A block starts with all rows of its first time, so that rows of one time are
    never parted; the first 1 / (folds + 1) of the rows only train.
    gap: in the unit of `times` (for dates a time span such as "7D"): rows train where they are earlier than the block's
    first time - gap. Times 0, 1, 2 ... give scikit-learn's TimeSeriesSplit, whose gap counts rows.
    """
    times = _complete(times, "time").reset_index(drop=True)
    _enough(len(times), "rows", folds, beside=1)
    span, size = _span(gap, times), len(times) // (folds + 1)
    starts = times.sort_values(ignore_index=True).iloc[len(times) - folds * size :: size].to_list()[:folds]
    drawn = []
    for number, start in enumerate(starts):
        validation, train = times >= start, times < start - span
        if number + 1 < folds:
            validation &= times < starts[number + 1]
        if not train.any() or not validation.any():
            part = "validation row, as too many rows share one time" if train.any() else f"training row before {start}"
            raise GoldfoldError(f"fold {number} has no {part} (gap {gap}): use fewer folds or a smaller gap")
        drawn.append((np.flatnonzero(train), np.flatnonzero(validation)))
    return verified(_drawn(drawn), len(times), covering=False)


def predefined(column: Sequence) -> list[Fold]:
    """Folds given as a column: 0, 1, 2 ... is the fold that validates on the row, -1 marks rows that always train."""
    given = _complete(column, "fold")
    numbers = pd.to_numeric(given, errors="coerce").to_numpy(np.float64)
    used = np.unique(numbers[numbers != -1])
    if not len(used) or not np.array_equal(used, np.arange(len(used))):
        found = sorted(map(str, given.unique()))[:10]
        raise GoldfoldError(f"a fold column must hold all of 0, 1, 2 ... and may hold -1, found {found}: renumber it")
    drawn = [(np.flatnonzero(numbers != number), np.flatnonzero(numbers == number)) for number in used]
    return verified(_drawn(drawn), len(numbers), covering=False)


def check_positions(folds: Sequence[Fold], rows: int) -> np.ndarray:
    """How often each of `rows` rows is validated, (rows,), after checking that a score over folds can mean something.

    GoldfoldError names the first fold with an empty part, or with rows twice or out of range, and the first row that is
    validated in two folds: its predictions would count twice.
    """
    validated = np.zeros(rows, np.int64)
    for number, fold in enumerate(folds):
        for part, positions in zip(("training", "validation"), fold, strict=True):
            if not len(positions):
                raise GoldfoldError(f"fold {number} has no {part} row: use fewer folds or another seed")
            if positions.min() < 0 or positions.max() >= rows or len(np.unique(positions)) < len(positions):
                raise GoldfoldError(f"fold {number} has {part} rows twice or outside 0..{rows - 1}: mend the split")
        validated[fold.validation] += 1
    if (validated > 1).any():
        raise GoldfoldError(f"row {validated.argmax()} is validated in two folds: each row belongs to one")
    return validated


def verified(
    folds: list[Fold], rows: int, *, labels: Any = None, groups: Any = None, covering: bool = True
) -> list[Fold]:
    """`folds` as they are, after checking that they part `rows` rows; GoldfoldError names the first fold that fails.

    No part is empty; no row is in both parts of a fold or in two validation parts; with `covering` each row is in one.
    labels: every part of every fold must hold each class. groups: none may be in both parts of a fold.
    """
    validated = check_positions(folds, rows)
    for number, (train, validation) in enumerate(folds):
        if len(both := np.intersect1d(train, validation)):
            raise GoldfoldError(f"fold {number} trains and validates on row {both[0]}: take it out of one part")
    if covering and not validated.all():
        raise GoldfoldError(f"row {validated.argmin()} is validated in no fold: each row belongs to one")
    if groups is not None:
        _with_groups_apart(folds, groups)
    if labels is not None:
        codes, classes = _codes(labels, "label")
        _holding_each(folds, "class", classes, lambda positions: np.bincount(codes[positions], minlength=len(classes)))
    return folds


def folds_frame(ids: Sequence, folds: Sequence[Fold]) -> pd.DataFrame:
    """Folds as a table to keep: `id`, and `fold`, the number of the fold that validates on the row, -1 where none does.

    Where a fold does not train on all other rows (time order), a column `train_<fold>` of bools says on which it does.
    """
    frame = pd.DataFrame({"id": pd.Series(ids).reset_index(drop=True), "fold": np.int64(-1)})
    for number, fold in enumerate(folds):
        frame.loc[fold.validation, "fold"] = number
        if len(fold.train) + len(fold.validation) < len(frame):
            frame[f"train_{number}"] = np.isin(np.arange(len(frame)), fold.train)
    return frame


def folds_from_frame(frame: pd.DataFrame, ids: Sequence) -> list[Fold]:
    """The folds that `folds_frame` wrote, for rows in the order of `ids`; ids are compared as text.

    `frame` may come from a CSV file: read it with `dtype=str`, or an id such as 007 loses its zeros.
    """
    wanted, kept = pd.Index(ids).astype(str), pd.Index(frame["id"]).astype(str)
    if not kept.is_unique or len(strangers := wanted.symmetric_difference(kept)):
        example = kept[kept.duplicated()][0] if not kept.is_unique else strangers[0]
        raise GoldfoldError(f"folds must list each id of the train table once, unlike id {example!r}: draw them anew")
    frame = frame.set_index(kept).loc[wanted]
    numbers = frame["fold"].to_numpy(np.int64)
    drawn = []
    for number in range(numbers.max() + 1):
        rest = frame[f"train_{number}"].astype(str) == "True" if f"train_{number}" in frame else numbers != number
        drawn.append((np.flatnonzero(rest), np.flatnonzero(numbers == number)))
    return verified(_drawn(drawn), len(frame), covering=False)


def _drawn(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> list[Fold]:
    return [Fold(*(np.sort(np.asarray(part, np.int64)) for part in pair)) for pair in pairs]


def _complete(values: Sequence, kind: str) -> pd.Series:
    values = pd.Series(values)
    if missing := int(values.isna().sum()):
        raise GoldfoldError(f"every row needs a {kind}, but {missing} of {len(values)} have none: fill or drop them")
    return values


def _codes(values: Sequence, kind: str) -> tuple[np.ndarray, list]:
    """Each value's position among the sorted distinct ones, (n,), and those."""
    codes, names = pd.factorize(_complete(values, kind), sort=True)
    return codes, names.tolist()


def _enough(count: int, what: str, folds: int, beside: int = 0) -> None:
    if folds < 2:
        raise GoldfoldError(f"a split needs 2 or more folds, got {folds}: ask for 5")
    if count < folds + beside:
        raise GoldfoldError(f"{folds} folds need {folds + beside} {what}, but there are {count}: use fewer folds")


def _enough_of_each(counts: Iterable[int], of: str, names: Sequence, folds: int, what: str = "rows") -> None:
    for name, count in zip(names, counts, strict=True):
        if count < folds:
            fewer = f"use at most {count} folds or " if count > 1 else ""
            raise GoldfoldError(f"{of} {name!r} has {count} {what} for {folds} folds: {fewer}{MEND[of]}")


def _classes(labels: Sequence, folds: int) -> tuple[np.ndarray, list]:
    """`_codes` of labels that can be stratified."""
    codes, classes = _codes(labels, "label")
    _enough(len(codes), "rows", folds)
    if len(classes) == 1:
        raise GoldfoldError(f"stratifying needs two classes, but all labels are {classes[0]!r}: use k_fold")
    _enough_of_each(np.bincount(codes), "class", classes, folds)
    return codes, classes


def _holding_each(folds: list[Fold], of: str, names: Sequence, count: Callable[[np.ndarray], np.ndarray]) -> list[Fold]:
    """`folds` after checking that both parts hold a row of each name; `count`: positions -> rows of each name."""
    for number, fold in enumerate(folds):
        for part, positions in zip(("training", "validation"), fold, strict=True):
            if len(lacking := np.flatnonzero(count(positions) == 0)):
                what = f"{part} row of {of} {names[lacking[0]]!r}"
                raise GoldfoldError(f"fold {number} has no {what}: use fewer folds, another seed, or {MEND[of]}")
    return folds


def _with_groups_apart(folds: list[Fold], groups: Sequence) -> None:
    codes, names = _codes(groups, "group")
    for number, (train, validation) in enumerate(folds):
        if len(both := np.intersect1d(codes[train], codes[validation])):
            raise GoldfoldError(f"fold {number} has group {names[both[0]]!r} in both parts: split by groups")


def _span(gap: Any, times: pd.Series) -> Any:
    if times.dtype.kind not in "iufmM":
        raise GoldfoldError(f"times must be numbers or dates, got {times.dtype}: convert them with pd.to_datetime")
    dates = times.dtype.kind in "mM"
    if gap != 0 and dates != isinstance(gap, str | timedelta | np.timedelta64):
        wanted = 'time span such as "7D"' if dates else "number"
        raise GoldfoldError(f"gap must be a {wanted}, as times are {times.dtype}, got {gap!r}: change its unit")
    try:
        span = pd.Timedelta(gap) if dates else gap
    except ValueError as error:
        raise GoldfoldError(f'gap must be a time span such as "7D" or "12h", got {gap!r} ({error})') from error
    if span != abs(span):
        raise GoldfoldError(f"gap must not be negative, got {gap!r}: time runs forward")
    return span
