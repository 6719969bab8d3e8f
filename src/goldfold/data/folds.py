"""Draw cross-validation folds; every result is verified, so that no fold is empty, lacks a class or splits a group.

Every function is pure and returns a list of `Fold`s, so that the split of a competition is one line such as

    def split(train, seed):
        return stratified(train["defect"].astype(str) + train["type"], folds=5, seed=seed)

Labels and groups have one value per row: text in any script, numbers or bools, without missing values. A split that is
not possible raises GoldfoldError with the fold or class and the fix. For equal seeds the folds are those of the named
scikit-learn splitter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence, Sized
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from goldfold.competition import Fold
from goldfold.data.fold_checks import REMEDY, check_each_present, codes_of, complete, verified
from goldfold.errors import GoldfoldError, unknown


def k_fold(rows: Sized, folds: int, seed: int) -> list[Fold]:
    """Shuffle the rows and split them into folds of equal size (within one row): scikit-learn's KFold."""
    from sklearn.model_selection import KFold

    _enough(len(rows), "rows", folds)
    return verified(_drawn(KFold(folds, shuffle=True, random_state=seed).split(np.zeros(len(rows)))), len(rows))


def stratified(labels: Sequence, folds: int, seed: int) -> list[Fold]:
    """Spread each class evenly over the folds (within one row): scikit-learn's StratifiedKFold."""
    from sklearn.model_selection import StratifiedKFold

    codes, _ = _classes(labels, folds)
    drawn = _drawn(StratifiedKFold(folds, shuffle=True, random_state=seed).split(codes, codes))
    return verified(drawn, len(codes), labels=labels)


def grouped(groups: Sequence, folds: int, seed: int) -> list[Fold]:
    """Keep all rows of a group (patient, recording) in one fold: scikit-learn's GroupKFold with shuffling.

    Every fold validates on the same number of groups (within one), so groups of uneven size give folds of uneven size.
    """
    from sklearn.model_selection import GroupKFold

    codes, names = codes_of(groups, "group")
    _enough(len(names), "groups", folds)
    drawn = _drawn(GroupKFold(folds, shuffle=True, random_state=seed).split(codes, groups=codes))
    return verified(drawn, len(codes), groups=groups)


def stratified_grouped(labels: Sequence, groups: Sequence, folds: int, seed: int) -> list[Fold]:
    """Keep groups in one fold and classes as even as the groups allow: scikit-learn's StratifiedGroupKFold.

    Few or uneven groups can leave folds empty or without a class, which is an error here.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    codes, classes = _classes(labels, folds)
    group_codes, names = codes_of(groups, "group")
    _enough(len(names), "groups", folds)
    _enough_of_each(pd.Series(group_codes).groupby(codes).nunique(), "class", classes, folds, "groups")
    drawn = _drawn(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(codes, codes, group_codes))
    return verified(drawn, len(codes), labels=labels, groups=groups)


def multilabel_stratified(labels: Any, folds: int, seed: int, leave_out: Collection = ()) -> list[Fold]:
    """Spread the positive rows of each label over the folds as evenly as their combinations allow.

    labels: (n, c) table or array of 0 and 1 (or bool), c >= 2. Both parts of each fold need a positive row of each
        label.
    leave_out: columns of labels that are too rare to stratify; two others must remain. A fold may lack them.
    Source: Sechidis, Tsoumakas and Vlahavas 2011, implemented by `iterative-stratification`.
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    table = pd.DataFrame(labels)
    if table.shape[1] < 2 or not table.isin((0, 1)).all(axis=None):
        raise GoldfoldError(
            "labels_not_binary",
            "multilabel folds need two or more columns of 0 and 1 without gaps: use `stratified` for other labels",
        )
    if unknown_labels := [name for name in leave_out if name not in table]:
        raise unknown("label to leave out", str(unknown_labels[0]), map(str, table.columns), code="unknown_column")
    table = table.drop(columns=list(leave_out))
    if table.shape[1] < 2:
        raise GoldfoldError(
            "too_few_labels",
            f"multilabel folds need two labels, but leave_out leaves {list(table.columns)}: use stratified or k_fold",
        )
    present = table.to_numpy(dtype=bool)
    _enough(len(present), "rows", folds)
    _enough_of_each(present.sum(axis=0), "label", list(table.columns), folds)
    splitter = MultilabelStratifiedKFold(folds, shuffle=True, random_state=seed)
    drawn = verified(_drawn(splitter.split(present, present)), len(present))
    return check_each_present(drawn, "label", list(table.columns), lambda positions: present[positions].sum(axis=0))


def time_ordered(times: Any, folds: int, *, gap: Any = 0) -> list[Fold]:
    """Expanding window: each fold validates on the next block in time and trains on all rows before it.

    times: numbers or dates, in any order. A block starts with all rows of its first time, so that rows of equal time
        stay together; the first 1 / (folds + 1) of the rows only train.
    gap: in the unit of `times` (for dates a time span such as "7D"). A fold trains on rows earlier than the first time
        of its block minus the gap. Times 0, 1, 2 ... give scikit-learn's TimeSeriesSplit, whose gap counts rows.
    """
    times = complete(times, "time").reset_index(drop=True)
    _enough(len(times), "rows", folds, extra=1)
    span, size = _span(gap, times), len(times) // (folds + 1)
    starts = times.sort_values(ignore_index=True).iloc[len(times) - folds * size :: size].to_list()[:folds]
    drawn = []
    for number, start in enumerate(starts):
        validation, train = times >= start, times < start - span
        if number + 1 < folds:
            validation &= times < starts[number + 1]
        if not train.any() or not validation.any():
            part = "validation row, as too many rows share one time" if train.any() else f"training row before {start}"
            raise GoldfoldError(
                "fold_part_empty", f"fold {number} has no {part} (gap {gap}): use fewer folds or a smaller gap"
            )
        drawn.append((np.flatnonzero(train), np.flatnonzero(validation)))
    return verified(_drawn(drawn), len(times), covering=False)


def predefined(column: Sequence) -> list[Fold]:
    """Use folds given as a column: the number (0, 1, 2 ...) of the fold that validates on the row, -1 for none."""
    given = complete(column, "fold")
    numbers = pd.to_numeric(given, errors="coerce").to_numpy(np.float64)
    used = np.unique(numbers[numbers != -1])
    if not len(used) or not np.array_equal(used, np.arange(len(used))):
        found = sorted(map(str, given.unique()))[:10]
        raise GoldfoldError(
            "fold_numbers_invalid",
            f"the fold column must hold all of 0, 1, 2 ... and may hold -1, found {found}: renumber it",
        )
    drawn = [(np.flatnonzero(numbers != number), np.flatnonzero(numbers == number)) for number in used]
    return verified(_drawn(drawn), len(numbers), covering=False)


def _drawn(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> list[Fold]:
    return [Fold(*(np.sort(np.asarray(part, np.int64)) for part in pair)) for pair in pairs]


def _enough(count: int, what: str, folds: int, extra: int = 0) -> None:
    if folds < 2:
        raise GoldfoldError("too_few_folds", f"a split needs at least 2 folds, got {folds}: ask for 5")
    if count < folds + extra:
        raise GoldfoldError(
            "too_few_for_folds",
            f"{folds} folds need {folds + extra} {what}, but there are {count}: use fewer folds",
        )


def _enough_of_each(counts: Iterable[int], of: str, names: Sequence, folds: int, what: str = "rows") -> None:
    rare = {name: int(count) for name, count in zip(names, counts, strict=True) if count < folds}
    if not rare:
        return
    told = " and ".join(f"{of} {name!r} has {count} {what}" for name, count in rare.items())
    fewest = min(rare.values())
    fewer = f"use at most {fewest} folds or " if fewest > 1 else ""
    raise GoldfoldError("class_too_small", f"{told} for {folds} folds: {fewer}{REMEDY[of].format(names=list(rare))}")


def _classes(labels: Sequence, folds: int) -> tuple[np.ndarray, list]:
    """Return `_codes` of labels after checking that they can be stratified."""
    codes, classes = codes_of(labels, "label")
    _enough(len(codes), "rows", folds)
    if len(classes) == 1:
        raise GoldfoldError(
            "single_class", f"stratifying needs two classes, but all labels are {classes[0]!r}: use k_fold"
        )
    _enough_of_each(np.bincount(codes), "class", classes, folds)
    return codes, classes


def _span(gap: Any, times: pd.Series) -> Any:
    if times.dtype.kind not in "iufmM":
        raise GoldfoldError(
            "times_not_numeric",
            f"times must be numbers or dates, got {times.dtype}: convert them with pd.to_datetime",
        )
    dates = times.dtype.kind in "mM"
    if gap != 0 and dates != isinstance(gap, str | timedelta | np.timedelta64):
        wanted = 'time span such as "7D"' if dates else "number"
        raise GoldfoldError(
            "gap_wrong_type", f"gap must be a {wanted}, since times are {times.dtype}, got {gap!r}: change its type"
        )
    try:
        span = pd.Timedelta(gap) if dates else gap
    except ValueError as error:
        raise GoldfoldError(
            "gap_invalid", f'gap must be a time span such as "7D" or "12h", got {gap!r} ({error})'
        ) from error
    if span != abs(span):
        raise GoldfoldError("gap_negative", f"gap must be 0 or more, got {gap!r}: folds validate on later rows")
    return span
