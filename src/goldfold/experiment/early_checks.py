"""Checks before anything is computed: columns, one order of the classes, metrics that fit what the recipe predicts."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldfold.data import columns
from goldfold.data.columns import binary_columns
from goldfold.errors import GoldfoldError
from goldfold.experiment.failures import absent_column, explained
from goldfold.experiment.scoring import MISFITS, metrics_for
from goldfold.metrics.inputs import class_indices
from goldfold.optional_parts import LabelColumns
from goldfold.params import Role, values
from goldfold.submission import sample_checks

if TYPE_CHECKING:
    from pandas import DataFrame
    from pydantic import BaseModel

    from goldfold.competition import Competition, Recipe, Submission, Tables

COLUMN_FAULTS = frozenset({"unknown_column", "column_not_a_name"})


def check_recipe(competition: Competition, name: str, params: BaseModel, tables: Tables) -> None:
    """Check that a recipe fits the tables and the metrics.

    Raises:
        GoldfoldError: a column is absent; those of `class_order` and of the recipe's own `check`; `label_names_differ`,
            the sample submission spells a label in another way; a metric cannot score such predictions;
            `submission_columns_differ`, the submission would have other columns than the sample.
    """
    recipe = competition.recipes[name]
    for column in recipe.columns:
        columns.require(tables.train, column, f"column of recipe '{name}' in the train table")
        if column == "path":
            columns.require(tables.test, column, f"column of recipe '{name}' in the test table")
    for key, column in values(params, Role.COLUMN).items():
        if column is not None:
            columns.require(tables.train, column, f"column {key} in the train table")
    classes = class_order(competition, recipe, tables.train)
    if isinstance(recipe.labels, LabelColumns):
        _check_label_names(recipe.labels.columns, list(map(str, tables.sample_submission.columns[1:])))
    if recipe.check:
        with explained("the check of the tables", name):
            recipe.check(params, tables.train, tables.test)
    _check_metrics(competition, name, params, _two_rows(tables.train, competition.targets), classes)
    if recipe.example:
        rows = tables.test.head(2)
        _check_columns(competition.submission, rows, recipe.example(params, len(rows), classes), tables)


def _check_columns(submission: Submission, rows: DataFrame, example: np.ndarray, tables: Tables) -> None:
    """Refuse a submission of an example that has other columns than the sample; its rows and values mean nothing."""
    try:
        with warnings.catch_warnings(action="ignore"):
            written = submission.write(rows, example)
    except Exception:  # the example may have values that no model predicts; the real ones are written after training
        return
    if isinstance(written, pd.DataFrame):
        sample_checks.check_columns(list(written.columns), list(tables.sample_submission.columns))


def _check_label_names(labels: Sequence[str], sample: Sequence[str]) -> None:
    """Refuse labels that the sample submission spells in another way; columns of other names are no labels."""
    others = [name for name in sample if name not in labels]
    plain = {_plain(name): name for name in others}
    near: dict[str, str] = {}
    for label in labels:
        if label not in sample and (found := difflib.get_close_matches(_plain(label), plain, n=1, cutoff=0.8)):
            near[label] = plain[found[0]]
    if near:
        told = ", ".join(f"{label!r} there {other!r}" for label, other in near.items())
        raise GoldfoldError(
            "label_names_differ",
            f"{len(near)} of {len(labels)} label columns have another name in the sample submission: {told}. Rename "
            "the columns of the train table in load()",
        )


def _plain(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum()) or name


def _check_metrics(
    competition: Competition, name: str, params: BaseModel, rows: DataFrame, classes: tuple | None
) -> None:
    """Let each metric score an example of what the recipe predicts, and refuse errors that rows cannot cause."""
    example_of = competition.recipes[name].example
    example = np.full(len(rows), 0.5) if example_of is None else example_of(params, len(rows), classes)
    refused = COLUMN_FAULTS if example_of is None else MISFITS
    for metric in metrics_for(competition, example):
        for part in (lambda metric=metric: metric.chance(rows), lambda metric=metric: metric.score(rows, example)):
            fault = _fault(part, rows, refused)
            if fault is not None:
                told = f"recipe '{name}' and metric {metric.name} do not fit together: {fault.message}"
                raise GoldfoldError(fault.code, told) from fault


def _fault(part: Callable[[], Any], rows: DataFrame, refused: frozenset[str]) -> GoldfoldError | None:
    """The error of a metric that has one of the codes `refused`; others may come from scoring two rows alone."""
    try:
        with warnings.catch_warnings(action="ignore"):
            part()
    except GoldfoldError as error:
        return error if error.code in refused else None
    except Exception as error:
        return absent_column(error, rows)
    return None


def _two_rows(train: DataFrame, targets: tuple[str, ...]) -> DataFrame:
    """Two rows with different values of the first target, where there are such."""
    target = train[targets[0]].astype(str) if targets else train["id"].astype(str)
    other = (target != target.iloc[0]).to_numpy()
    second = int(other.argmax()) if other.any() else len(train) - 1
    return train.iloc[sorted({0, second})].reset_index(drop=True)


def class_order(competition: Competition, recipe: Recipe, train: DataFrame) -> tuple | None:
    """All labels, or label columns, in the order that a recipe predicts; None if it predicts no probabilities of them.

    It is the order that the recipe names, else that of the first metric that names one, else that of the sorted labels.

    Raises:
        GoldfoldError: the train table has no such column; `class_order_differs`, the recipe and a metric, or two
            metrics, name other classes or another order; `unknown_class`, a train row has another label;
            `single_class`; `values_not_sortable`; `labels_not_binary`, a label column holds more than 0 and 1.
    """
    if recipe.labels is None:
        return None
    if isinstance(recipe.labels, LabelColumns):
        binary_columns(train, recipe.labels.columns)
        return _agreed_order(competition, recipe.labels.columns)
    column, order = recipe.labels
    order = _agreed_order(competition, order)
    columns.require(train, column, "target column of the recipe in the train table")
    labels = train[column].to_numpy()
    order = _sorted(labels.tolist(), column) if order is None else order
    found = class_indices(labels, order, f"target '{column}'")
    if (found == found[0]).all():
        raise GoldfoldError(
            "single_class",
            f"target '{column}' is {order[found[0]]!r} in all {len(found)} train rows, and a classifier needs two "
            "classes: check which rows load() reads",
        )
    return order


def _agreed_order(competition: Competition, order: tuple | None) -> tuple | None:
    """The order that the recipe names, else that of the first metric; raises `class_order_differs`."""
    source = "the recipe"
    for metric in (competition.metric, *competition.also):
        declared = metric.options.classes
        if declared is None or metric.options.field:
            continue
        if order is None:
            order, source = declared, f"metric {metric.name}"
        elif not _agree(order, declared):
            raise GoldfoldError(
                "class_order_differs",
                f"{source} has the classes {list(order)} and metric {metric.name} {list(declared)}, but the columns of "
                "predictions have one order: give both the same `classes`, or `targets`",
            )
    return order


def _agree(order: tuple, other: tuple) -> bool:
    """Whether columns of one are columns of the other: equal, or as many classes of another target column."""
    return order == other or (len(order) == len(other) and not set(order) & set(other))


def _sorted(labels: list, column: str) -> tuple:
    try:
        return tuple(sorted(set(labels)))
    except TypeError as error:
        raise GoldfoldError(
            "values_not_sortable",
            f"labels in '{column}' must be text, numbers or bools, got {labels[0]!r} first ({error}): convert them in "
            "load() with .astype(str)",
        ) from None
