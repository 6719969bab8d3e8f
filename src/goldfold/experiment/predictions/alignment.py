"""Bring given predictions into the order and the columns of a competition, and refuse what is not whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas import DataFrame, Index

from goldfold.competition import Competition, Recipe
from goldfold.data import fields
from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.early_checks import class_order
from goldfold.experiment.predictions.reading import Given
from goldfold.metrics.inputs import ROUNDING
from goldfold.optional_parts import LabelColumns

SHOWN = 3  # ids that a message names
PER_CLASS = 0.005  # what rounding to two decimals may take from the sum of a row, for each class
NUMBERED = "prediction_"  # how columns of predictions are called where goldfold writes them


@dataclass(frozen=True)
class Form:
    """What predictions of a competition look like.

    names: a column each, in the order of the array; empty for one number a row. positive: of two classes the one whose
        probability is that number; None otherwise. negative: the other one. probabilities: whether values lie in
        [0, 1]. exclusive: whether those of a row sum to 1.
    """

    names: tuple[str, ...] = ()
    positive: str | None = None
    negative: str | None = None
    probabilities: bool = False
    exclusive: bool = False

    def __str__(self) -> str:
        if self.positive is not None:
            return f"id and one column with the probability of {self.positive!r}"
        return f"id and the columns {', '.join(self.names)}" if self.names else "id and one column of numbers"


def labeling_recipe(competition: Competition) -> Recipe | None:
    """The first recipe that predicts probabilities of labels; None if none does."""
    return next((each for each in competition.recipes.values() if each.labels is not None), None)


def form_of(competition: Competition, train: DataFrame) -> Form:
    """The form that a competition's recipes and metrics agree on."""
    recipe = labeling_recipe(competition)
    if recipe is not None and isinstance(recipe.labels, LabelColumns):
        return Form(names=tuple(recipe.labels.columns), probabilities=True)
    order = class_order(competition, recipe, train) if recipe is not None else None
    metrics = (competition.metric, *competition.also)
    named = (each.options.classes for each in metrics if each.options.field is None)
    classes = tuple(map(str, order or next(filter(None, named), None) or ()))
    if len(classes) == 2 and len(competition.targets) == 1:
        return Form(positive=classes[1], negative=classes[0], probabilities=recipe is not None)
    if classes:
        return Form(names=classes, probabilities=recipe is not None, exclusive=len(competition.targets) == 1)
    return Form(names=tuple(competition.targets) if len(competition.targets) > 1 else ())


def aligned(given: Given, form: Form, wanted: Index, *, others: Index, known: Index) -> np.ndarray:
    """The predictions of the ids `wanted`, in their order: (n,) or (n, columns) float64, or as the .npy file has them.

    others: ids of the other table, by which swapped files are noticed. known: ids that may be there and are left out.

    Raises:
        GoldfoldError: `import_ids`, ids are missing, unknown or repeated; `import_columns`, columns are;
            `import_range`, values are missing, infinite, no numbers, or no probabilities.
    """
    _check_ids(given, wanted, others, known)
    order = Index(given.ids).get_indexer(wanted)
    if isinstance(given.values, np.ndarray):
        return _of_array(given, form, order, wanted)
    frame = given.values.iloc[order].reset_index(drop=True)
    columns = _columns(given, form)
    values = np.stack([_numbers(given, frame[name], wanted) for name in columns], axis=1)
    return _finished(given, form, values, wanted)


def _check_ids(given: Given, wanted: Index, others: Index, known: Index) -> None:
    own = Index(given.ids)
    missing, strange = wanted.difference(own, sort=False), own.unique().difference(wanted.union(known), sort=False)
    repeated = own[own.duplicated()].unique()
    if not (len(missing) or len(strange) or len(repeated)):
        return
    kinds = {"missing": missing, "unknown": strange, "repeated": repeated}
    told = "; ".join(f"{len(ids):,} {kind}, first {first_ids(ids)}" for kind, ids in kinds.items() if len(ids))
    hint = f"write one row for each of the {len(wanted):,} ids"
    if len(strange) and strange.isin(others).all():
        hint = "its ids are those of the other table, so OOF and TEST may be swapped"
    elif len(missing) and len(strange) and _plain(missing).isin(_plain(strange)).any():
        hint = "ids are spelled differently, such as 7 for 007 or 7.0 for 7, so write them as the table has them"
    raise GoldfoldError("import_ids", f"{given.path} does not hold each row once ({told}): {hint}")


def first_ids(ids: Index) -> str:
    """The first ids, for a message."""
    return ", ".join(map(repr, ids[:SHOWN].tolist()))


def _plain(ids: Index) -> Index:
    """Ids as numbers, where they are such, else without spaces and in lower case."""
    numbers = pd.to_numeric(ids.to_series(), errors="coerce")
    return Index(numbers.astype(object).where(numbers.notna(), ids.str.strip().str.lower()))


def _columns(given: Given, form: Form) -> list[str]:
    """The columns of the file in the order of the array."""
    assert isinstance(given.values, DataFrame), "an array has no named columns"
    found = list(given.values.columns)
    wanted = form.names or tuple(each for each in (form.negative, form.positive) if each is not None)
    if len(found) == 1 and not form.names:
        if form.negative is not None and found[0] == form.negative:
            raise _unfit(given, form, f"its column {found[0]!r} is the class whose probability is not predicted")
        return found
    if len(found) == len(wanted) and found == [f"{NUMBERED}{number}" for number in range(len(found))]:
        return found
    absent, strange = [each for each in wanted if each not in found], [each for each in found if each not in wanted]
    if not wanted:
        raise _unfit(given, form, f"it has {len(found)} columns beside the ids ({', '.join(found[:8])})")
    if strange and absent:
        told = unknown("class", strange[0], wanted).message
        raise _unfit(given, form, f"{len(absent)} of {len(wanted)} classes have no column, first {absent[0]!r}; {told}")
    if absent or strange:
        which = f"lacks the column {absent[0]!r}" if absent else f"has the column {strange[0]!r}, which is none of them"
        raise _unfit(given, form, f"it {which}")
    return [str(name) for name in wanted]


def _unfit(given: Given, form: Form, told: str) -> GoldfoldError:
    return GoldfoldError("import_columns", f"{given.path} does not fit the competition ({told}): it needs {form}")


def _numbers(given: Given, column: pd.Series, ids: Index) -> np.ndarray:
    """A column as float64, text in it refused."""
    numbers = pd.to_numeric(column, errors="coerce") if column.dtype != bool else column.astype(float)
    text = column.notna() & numbers.isna()
    if text.any():
        at = int(text.to_numpy().argmax())
        raise GoldfoldError(
            "import_range",
            f"column {column.name!r} of {given.path} holds {int(text.sum()):,} values that are no numbers, first "
            f"{column.iloc[at]!r} of id {ids[at]!r}: write numbers, of classes their probabilities",
        )
    return numbers.to_numpy(np.float64)


def _of_array(given: Given, form: Form, order: np.ndarray, ids: Index) -> np.ndarray:
    """The rows of an .npy file, in order; only numbers fit a competition of classes."""
    values = np.asarray(given.values)[order]
    if not form.probabilities and not form.names:
        for part in fields.parts(values):
            _check_finite(given, part, ids)
        return values.astype(np.float64) if values.dtype.kind in "iub" else values
    two = form.positive is not None
    if values.dtype.kind not in "fiub" or (values.ndim > 1 and values.shape[1:] != (len(form.names) or 2,)):
        raise _unfit(given, form, f"its values are {values.dtype} of shape {values.shape}")
    if values.ndim == 1 and not two:
        raise _unfit(given, form, f"its values have the shape {values.shape}")
    return _finished(given, form, values.astype(np.float64).reshape(len(values), -1), ids)


def _finished(given: Given, form: Form, values: np.ndarray, ids: Index) -> np.ndarray:
    """Checked (n, columns) values as the competition takes them: (n,) for one number a row."""
    _check_finite(given, values, ids)
    if form.probabilities:
        _refuse(
            given, (values < -ROUNDING) | (values > 1 + ROUNDING), values, ids, "lie outside [0, 1]", "probabilities"
        )
        values = values.clip(0, 1)
    sums = values.sum(axis=1)
    if form.probabilities and values.shape[1] > 1 and (form.exclusive or form.positive is not None):
        slack = 0.01 + PER_CLASS * values.shape[1]
        _refuse(given, np.abs(sums - 1) > slack, sums, ids, "sum to another number than 1", "normalized rows")
    return values if form.names else values[:, -1]


def _check_finite(given: Given, values: np.ndarray, ids: Index) -> None:
    if values.dtype.kind == "f":
        _refuse(given, ~np.isfinite(values), values, ids, "are missing or infinite", "finite numbers")


def _refuse(given: Given, bad: np.ndarray, values: np.ndarray, ids: Index, what: str, cure: str) -> None:
    """Refuse rows that are `bad` in any value, with their number and the first one."""
    each = bad.reshape(len(bad), -1)
    rows = np.asarray(each.any(axis=1))
    if rows.any():
        at = int(rows.argmax())
        value = values.reshape(len(bad), -1)[at, int(np.argmax(each[at]))]
        raise GoldfoldError(
            "import_range",
            f"values of {int(rows.sum()):,} of {len(rows):,} rows of {given.path} {what}, first {value:g} of id "
            f"{ids[at]!r}: write {cure}",
        )
