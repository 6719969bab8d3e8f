"""Folds: every row is validated once, seeds repeat, results equal the libraries', impossible splits raise."""

from __future__ import annotations

import io
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold, TimeSeriesSplit

from goldfold.competition import Fold
from goldfold.data import fold_checks, fold_tables
from goldfold.data.folds import (
    grouped,
    k_fold,
    multilabel_stratified,
    predefined,
    stratified,
    stratified_grouped,
    time_ordered,
)

RNG = np.random.default_rng(7)
ROWS = 240
TEXT = pd.Series(RNG.choice(["地毯", "牙刷", "grid"], ROWS), index=RNG.permutation(ROWS) + 1000)
SHARES = RNG.choice([0.0, 1 / 3, 2 / 3, 1.0], ROWS)  # scikit-learn would call these continuous
GROUPS = RNG.choice([f"пациент {i}" for i in range(30)], ROWS)
PRESENT = pd.DataFrame(RNG.random((ROWS, 4)) < [0.5, 0.3, 0.1, 0.05], columns=list("abcd"))

DRAWS = {
    "k_fold": (
        lambda folds, seed: k_fold(TEXT, folds, seed),
        lambda folds, seed: KFold(folds, shuffle=True, random_state=seed).split(TEXT),
    ),
    "stratified text": (
        lambda folds, seed: stratified(TEXT, folds, seed),
        lambda folds, seed: StratifiedKFold(folds, shuffle=True, random_state=seed).split(TEXT, TEXT),
    ),
    "stratified floats": (
        lambda folds, seed: stratified(SHARES, folds, seed),
        lambda folds, seed: StratifiedKFold(folds, shuffle=True, random_state=seed).split(SHARES, SHARES.astype(str)),
    ),
    "grouped": (
        lambda folds, seed: grouped(GROUPS, folds, seed),
        lambda folds, seed: GroupKFold(folds, shuffle=True, random_state=seed).split(GROUPS, groups=GROUPS),
    ),
    "stratified grouped": (
        lambda folds, seed: stratified_grouped(TEXT, GROUPS, folds, seed),
        lambda folds, seed: StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(TEXT, TEXT, GROUPS),
    ),
    "multilabel": (
        lambda folds, seed: multilabel_stratified(PRESENT, folds, seed),
        lambda folds, seed: MultilabelStratifiedKFold(folds, shuffle=True, random_state=seed).split(PRESENT, PRESENT),
    ),
}


def same(some: list[Fold], others) -> bool:
    pairs = zip([part for fold in some for part in fold], [part for fold in others for part in fold], strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize(("folds", "seed"), [(2, 0), (3, 1), (5, 4_294_967_295)])
def test_folds_are_the_librarys_and_part_the_rows(name, folds, seed):
    ours, theirs = DRAWS[name]
    drawn = ours(folds, seed)
    assert same(drawn, theirs(folds, seed))
    assert len(drawn) == folds
    assert np.array_equal(np.sort(np.concatenate([fold.validation for fold in drawn])), np.arange(ROWS))
    for fold in drawn:
        assert fold.train.dtype == fold.validation.dtype == np.int64
        assert np.array_equal(np.union1d(*fold), np.arange(ROWS))
        assert len(fold.train) + len(fold.validation) == ROWS
        assert (np.diff(fold.train) > 0).all()


@pytest.mark.parametrize("name", DRAWS)
def test_folds_repeat_for_a_seed_and_differ_between_seeds(name):
    ours, _ = DRAWS[name]
    assert same(ours(3, 5), ours(3, 5))
    assert not same(ours(3, 5), ours(3, 6))


def test_strata_and_groups_are_kept():
    for fold in stratified(TEXT, 4, 0):
        counts = TEXT.iloc[fold.validation].value_counts()
        assert ((counts - TEXT.value_counts() / 4).abs() < 1).all()
    for fold in grouped(GROUPS, 4, 0) + stratified_grouped(TEXT, GROUPS, 4, 0):
        assert not set(GROUPS[fold.train]) & set(GROUPS[fold.validation])
    for fold in multilabel_stratified(PRESENT, 4, 0):
        rate = PRESENT.iloc[fold.validation].mean()
        assert ((rate - PRESENT.mean()).abs() < 0.03).all()


def test_a_rare_class_names_itself():
    labels = ["a"] * 30 + ["ξ"] * 4
    with raises_code("class_too_small", "'ξ' has 4 rows for 5 folds", "at most 4 folds"):
        stratified(labels, 5, 0)
    with raises_code("class_too_small", "'ξ' has 1 groups for 2 folds: merge"):
        stratified_grouped(labels, [1, 2, 3] * 10 + [4] * 4, 2, 0)
    present = np.repeat([[1, 1], [1, 0]], [4, 26], axis=0)
    with raises_code("class_too_small", "label 1 has 4 rows for 5 folds", "leave it out"):
        multilabel_stratified(present, 5, 0)
    with raises_code("single_class", "'a'", "k_fold"):
        stratified(["a"] * 6, 2, 0)


def test_all_rare_labels_are_named_at_once_and_can_be_left_out():
    rare = PRESENT.assign(e=np.arange(ROWS) < 1, f=np.arange(ROWS) < 3)
    with raises_code("class_too_small", "label 'e' has 1 rows and label 'f' has 3 rows for 4", "leave_out=['e', 'f']"):
        multilabel_stratified(rare, 4, 0)
    assert same(multilabel_stratified(rare, 4, 0, leave_out=["e", "f"]), multilabel_stratified(PRESENT, 4, 0))
    with raises_code("unknown_column", "label to leave out 'g'"):
        multilabel_stratified(rare, 4, 0, leave_out=["g"])
    with raises_code("too_few_labels", "leaves ['a']"):
        multilabel_stratified(PRESENT, 4, 0, leave_out=["b", "c", "d"])
    with raises_code("class_too_small", "class 'b' has 2 rows and class 'c' has 1 rows for 3 folds: merge"):
        stratified(["a"] * 9 + ["b", "b", "c"], 3, 0)


def test_all_labels_that_folds_lack_are_named_at_once():
    halves = [Fold(np.array([0, 1]), np.array([2, 3])), Fold(np.array([2, 3]), np.array([0, 1]))]
    present = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1]])
    with raises_code(
        "fold_lacks_class", "fold 0 has no training row of label 'z', and other .* lack 'y'", "['z', 'y']"
    ):
        fold_checks.check_each_present(halves, "label", list("xyz"), lambda positions: present[positions].sum(axis=0))


@pytest.mark.parametrize("draw", [grouped, stratified], ids=["grouped", "stratified"])
def test_numbers_and_text_in_one_column_are_refused(draw):
    mixed = pd.Series([1, "1", 2, "2"] * 6, dtype=object)
    for values in (mixed, mixed.astype("category"), mixed.tolist()):
        with raises_code(
            "values_mixed", "mixes numbers and text, 12 rows such as 1 and 12 such as '1'", ".astype(str)"
        ):
            draw(values, 2, 0)
    with raises_code("values_not_sortable", "got [1]", ".astype(str)"):
        draw([[1], [2]] * 4, 2, 0)
    assert draw(pd.Series([1, 2.0, True, 2] * 6, dtype=object), 2, 0)


def test_the_empty_fold_of_scikit_learn_is_an_error():
    groups = np.repeat([0, 1, 2, 3], [2, 1, 3, 6])
    labels = np.repeat(["a", "b"], [3, 9])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = StratifiedGroupKFold(4, shuffle=True, random_state=0).split(labels, labels, groups)
        drawn = [Fold(*pair) for pair in theirs]
    assert [len(fold.validation) for fold in drawn] == [3, 1, 0, 8]
    with raises_code("fold_part_empty", "fold 2 has no validation row"):
        fold_checks.verified(drawn, 12)
    with raises_code("class_too_small", "class 'a' has 3 rows for 4 folds"):
        stratified_grouped(labels, groups, 4, 0)


def test_a_fold_without_a_class_names_both():
    groups = np.repeat(range(7), [4, 4, 4, 4, 2, 3, 4])
    labels = np.array(list("aabbbabaaaaabbbbaabbbbbaa"))
    with raises_code("fold_lacks_class", "fold 0 has no validation row of class 'b'"):
        stratified_grouped(labels, groups, 3, 0)
    present = [[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 0, 1], [0, 1, 1]]
    with raises_code("fold_lacks_class", r"fold \d has no validation row of label", "leave it out"):
        multilabel_stratified(present, 3, 0)
    halves = [Fold(np.array([0, 1]), np.array([2, 3])), Fold(np.array([2, 3]), np.array([0, 1]))]
    with raises_code("fold_lacks_class", "fold 0 has no training row of class 'y'"):
        fold_checks.verified(halves, 4, labels=["x", "x", "x", "y"])


def test_verified_finds_every_fault():
    def fold(train, validation):
        return Fold(np.array(train, np.int64), np.array(validation, np.int64))

    halves = [fold([0, 1], [2, 3]), fold([2, 3], [0, 1])]
    assert fold_checks.verified(halves, 4) is halves
    for folds, code, fact in [
        ([fold([], [0, 1, 2, 3])], "fold_part_empty", "fold 0 has no training row"),
        ([halves[0], fold([2, 3], [])], "fold_part_empty", "fold 1 has no validation row"),
        ([halves[0], fold([1, 2, 3], [0, 1])], "fold_parts_overlap", "fold 1 .* row 1"),
        ([halves[0], fold([3], [0, 1, 2])], "row_validated_twice", "row 2"),
        ([halves[0], fold([2, 3], [1])], "row_not_validated", "row 0"),
        ([fold([0, 0], [2, 3])], "fold_rows_invalid", r"fold 0 has training rows .* 0\.\.3"),
        ([fold([0, 1], [2, 4])], "fold_rows_invalid", "fold 0 has validation rows"),
        ([fold([0, 1], [2, -1])], "fold_rows_invalid", "fold 0 has validation rows"),
    ]:
        with raises_code(code, fact):
            fold_checks.verified(folds, 4)
    with raises_code("group_in_both_parts", "fold 0 has group 'B'"):
        fold_checks.verified(halves, 4, groups=["A", "B", "C", "B"])


@pytest.mark.parametrize("gap", [0, 1, 7])
@pytest.mark.parametrize("rows", [40, 43])
def test_time_order_of_a_counter_is_scikit_learns(rows, gap):
    times = np.random.default_rng(3).permutation(rows)
    drawn = time_ordered(times, 4, gap=gap)
    for ours, (train, validation) in zip(drawn, TimeSeriesSplit(4, gap=gap).split(times), strict=True):
        assert np.array_equal(np.sort(times[ours.train]), train)
        assert np.array_equal(np.sort(times[ours.validation]), validation)


@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_time_order_keeps_equal_dates_together_and_the_gap_in_days(zone):
    days = pd.Timestamp("2024-01-01", tz=zone) + pd.to_timedelta(np.random.default_rng(4).integers(0, 30, 200), "D")
    times = pd.Series(days)
    drawn = time_ordered(times, 3, gap="2D")
    for before, after in pairwise(drawn):
        assert times[before.validation].max() < times[after.validation].min()
    for fold in drawn:
        start = times[fold.validation].min()
        assert np.array_equal(fold.train, np.flatnonzero(times < start - pd.Timedelta("2D")))
    assert same(drawn, time_ordered(times, 3, gap=pd.Timedelta("2D")))


def test_time_order_says_what_it_cannot_do():
    dates = pd.date_range("2024-01-01", periods=12)
    for times, folds, gap, code, fact in [
        (dates, 3, 2, "gap_wrong_type", 'time span such as "7D", .* got 2'),
        (range(12), 3, "2D", "gap_wrong_type", "number, .* got '2D'"),
        (dates, 3, "two", "gap_invalid", "got 'two'"),
        (range(12), 3, -1, "gap_negative", "got -1"),
        (dates, 3, "-1D", "gap_negative", "got '-1D'"),
        (dates.astype(str), 3, 0, "times_not_numeric", "numbers or dates"),
        ([0, 0, 0, 1, 1, 1, 1, 1], 3, 0, "fold_part_empty", "fold 0 has no training row before 0"),
        ([0, 0, 1, 1, 1, 1, 2, 2], 3, 0, "fold_part_empty", "fold 0 has no validation row, .* share one time"),
        (range(12), 3, 3, "fold_part_empty", "fold 0 has no training row before 3 .gap 3."),
        (range(3), 3, 0, "too_few_for_folds", "3 folds need 4 rows, but there are 3"),
        ([1, 2, None, 4, 5], 2, 0, "values_missing", "time, but 1 of 5"),
    ]:
        with raises_code(code, fact):
            time_ordered(times, folds, gap=gap)


def test_a_given_column_is_taken_as_it_is():
    column = pd.Series([1, 0, -1, 1, 0, 2], index=list("fedcba"))
    drawn = predefined(column)
    assert [fold.validation.tolist() for fold in drawn] == [[1, 4], [0, 3], [5]]
    assert [fold.train.tolist() for fold in drawn] == [[0, 2, 3, 5], [1, 2, 4, 5], [0, 1, 2, 3, 4]]
    assert same(drawn, predefined(column.astype(float)))
    assert len(predefined([-1, -1, 0])) == 1
    for wrong, code, fact in [
        ([1, 2, 1, 2], "fold_numbers_invalid", r"found \['1', '2'\]"),
        ([0, 0.5, 1], "fold_numbers_invalid", "0.5"),
        (["train", "test"], "fold_numbers_invalid", "test"),
        ([-1, -1], "fold_numbers_invalid", "-1"),
        ([0, -2], "fold_numbers_invalid", "-2"),
        ([0, None, 1], "values_missing", "fold, but 1 of 3"),
        ([0, 0], "fold_part_empty", "fold 0 has no training row"),
    ]:
        with raises_code(code, fact):
            predefined(wrong)


def test_missing_and_too_few_are_counted():
    for draw, code, fact in [
        (lambda: stratified(["a", None, "b", np.nan], 2, 0), "values_missing", "label, but 2 of 4"),
        (lambda: grouped([1.0, np.nan, 2.0], 2, 0), "values_missing", "group, but 1 of 3"),
        (lambda: multilabel_stratified([[1, 0], [0, np.nan]], 2, 0), "labels_not_binary", "two or more columns"),
        (lambda: multilabel_stratified([[1], [0]], 2, 0), "labels_not_binary", "two or more columns"),
        (lambda: k_fold(range(4), 5, 0), "too_few_for_folds", "5 folds need 5 rows, but there are 4"),
        (lambda: k_fold(range(4), 1, 0), "too_few_folds", "got 1"),
        (lambda: grouped([1, 1, 2, 2], 3, 0), "too_few_for_folds", "3 folds need 3 groups, but there are 2"),
        (lambda: stratified([], 2, 0), "too_few_for_folds", "2 folds need 2 rows, but there are 0"),
    ]:
        with raises_code(code, fact):
            draw()


@pytest.mark.parametrize(
    "folds",
    [k_fold(range(9), 3, 0), time_ordered(range(9), 2, gap=1), predefined([0, 1, -1] * 3)],
    ids=["parting", "time", "always training"],
)
def test_folds_survive_a_csv_file_in_another_order(folds):
    ids = [f"{i:03}" for i in range(8)] + ["图"]
    frame = fold_tables.folds_to_table(ids, folds)
    assert frame["fold"].dtype == np.int64
    for number, fold in enumerate(folds):
        assert frame.index[frame["fold"] == number].tolist() == fold.validation.tolist()
    written = io.StringIO(frame.sample(frac=1, random_state=1).to_csv(index=False))
    assert same(folds, fold_tables.folds_from_table(pd.read_csv(written, dtype=str), ids))
    assert same(folds, fold_tables.folds_from_table(frame, pd.Series(ids, index=range(50, 59))))


def test_only_time_order_needs_more_than_two_columns():
    assert list(fold_tables.folds_to_table(range(9), k_fold(range(9), 3, 0))) == ["id", "fold"]
    assert list(fold_tables.folds_to_table(range(9), time_ordered(range(9), 2))) == ["id", "fold", "train_0"]


def test_folds_of_other_rows_are_refused():
    frame = fold_tables.folds_to_table([1, 2, 3, 4], k_fold(range(4), 2, 0))
    for rows, ids in [(frame, [1, 2, 3, 5]), (frame, [1, 2, 3]), (frame, [1, 2, 3, 4, 5])]:
        with raises_code("fold_ids_mismatch", "id '[45]'"):
            fold_tables.folds_from_table(rows, ids)
    with raises_code("fold_ids_mismatch", "id '1'"):
        fold_tables.folds_from_table(pd.concat([frame, frame[:1]]), [1, 2, 3, 4])


@pytest.mark.parametrize(
    "table", [{"[]": []}, {"id": ["a"]}, {"id": ["a"], "fold": ["x"]}, {"id": ["a"], "fold": [""]}]
)
def test_a_table_without_fold_numbers_is_told(table: dict) -> None:
    with raises_code("folds_unreadable", "id and fold"):
        fold_tables.folds_from_table(pd.DataFrame(table), ["a"])
