"""Random tables for tests: plain values for scikit-learn, and the same in other dtypes, perhaps with faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from made_tables import halves
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, root_mean_squared_error
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from goldfold.competition import Fold
from goldfold.data import folds
from goldfold.io.seeding import derive

NAMES = ["a", "a.b", "größe in m²", "特征 1", "x y", "id.1", "0", "y_1", "Ünïcode", "p0"]
CLASSIFIERS = {
    "linear": lambda seed: LogisticRegression(C=1.0, max_iter=2000),
    "forest": lambda seed: RandomForestClassifier(n_estimators=5, min_samples_leaf=3, random_state=seed),
    "boosting": lambda seed: HistGradientBoostingClassifier(
        max_iter=4, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=2, random_state=seed
    ),
}
REGRESSORS = {
    "linear": lambda seed: Ridge(alpha=1.0),
    "forest": lambda seed: RandomForestRegressor(n_estimators=5, min_samples_leaf=3, random_state=seed),
    "boosting": lambda seed: HistGradientBoostingRegressor(
        max_iter=4, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=2, random_state=seed
    ),
}
SPLITS: dict[str, Callable[[pd.DataFrame, int], list[Fold]]] = {
    "halves": halves,
    "k_fold": lambda rows, seed: folds.k_fold(rows, 3, seed),
    "stratified": lambda rows, seed: folds.stratified(rows["y"], 3, seed),
    "grouped": lambda rows, seed: folds.grouped(rows["g"], 3, seed),
    "stratified_grouped": lambda rows, seed: folds.stratified_grouped(rows["y"], rows["g"], 2, seed),
    "multilabel": lambda rows, seed: folds.multilabel_stratified(pd.get_dummies(rows["y"]), 3, seed),
    "time": lambda rows, seed: folds.time_ordered(rows["t"], 2),
    "predefined": lambda rows, seed: folds.predefined(rows["t"] % 3),
}


@dataclass
class Case:
    """A random table and how it is used. plain: the values; train, test: the tables that goldfold gets."""

    draw: np.random.Generator
    kind: str
    split: str
    estimator: str
    numeric: list[str]
    categorical: list[str]
    plain: pd.DataFrame = field(default_factory=pd.DataFrame)
    train: pd.DataFrame = field(default_factory=pd.DataFrame)
    test: pd.DataFrame = field(default_factory=pd.DataFrame)
    classes: list = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def pick(draw: np.random.Generator, options: list) -> object:
    return options[draw.integers(len(options))]


def case(number: int) -> Case:
    """The case of a number: plain values, dtypes, faults."""
    draw = np.random.default_rng(number)
    kind = str(pick(draw, ["binary", "multiclass", "multiclass", "regression"]))
    splits = list(SPLITS) if kind != "regression" else ["halves", "k_fold", "grouped", "time", "predefined"]
    names = draw.permutation(NAMES).tolist()
    wide = draw.integers(1, 4)
    made = Case(draw, kind, str(pick(draw, splits)), str(pick(draw, list(CLASSIFIERS))), names[:wide], names[wide:5])
    _draw_values(made, int(draw.integers(30, 80)), int(draw.integers(5, 20)))
    if draw.random() < 0.5:
        for name in draw.permutation(list(FAULTS))[: draw.integers(1, 4)].tolist():
            made.faults.append(name)
            FAULTS[name](made)
    return made


def _draw_values(made: Case, rows: int, asked: int) -> None:
    draw, total = made.draw, rows + asked
    plain = pd.DataFrame({"t": draw.permutation(total)})
    hidden = draw.normal(size=total)
    for name in made.numeric:
        gaps = draw.random(total) < pick(draw, [0, 0.2, 1.0])
        values = hidden + draw.normal(size=total) if draw.random() < 0.5 else draw.integers(-3, 4, total)
        plain[name] = np.where(gaps, np.nan, values.astype(float) * pick(draw, [1.0, 1e6, 1e-6]))
    for name in made.categorical:
        plain[name] = pd.Series(draw.integers(0, pick(draw, [1, 3, 8]), total)).astype(float)
        plain.loc[draw.random(total) < pick(draw, [0, 0.2, 1.0]), name] = np.nan
    count = 2 if made.kind == "binary" else int(draw.integers(2, 5))
    made.classes = sorted(pick(draw, [["n", "m", "ü", "o p"], [3, 1, 2, 0], [10, 9, 1, 2]])[:count])
    codes = (np.argsort(np.argsort(hidden + draw.normal(size=total))) * count) // total
    plain["y"] = hidden if made.kind == "regression" else [made.classes[code] for code in codes]
    plain["g"] = [f"g{number}" for number in draw.integers(0, 12, total)]
    for name in made.categorical:
        plain[name] = _categories(draw, plain[name])
    made.plain, ids = plain, _ids(draw, total)
    made.train, made.test = (_dressed(made, plain.assign(id=ids)[part]) for part in (slice(rows), slice(rows, None)))
    made.test = made.test.drop(columns=["y", "g"]).reset_index(drop=True)


def _dressed(made: Case, plain: pd.DataFrame) -> pd.DataFrame:
    """The same values in other dtypes, which train and test rows have independently, and columns in another order."""
    draw, dressed = made.draw, plain.copy()
    for name in made.numeric:
        dressed[name] = _as_numbers(draw, plain[name])
    for name in made.categorical:
        dressed[name] = _as_categories(draw, plain[name])
    dressed["y"], dressed["g"] = _as_target(draw, plain["y"], made.kind), _as_groups(draw, plain["g"])
    return dressed[draw.permutation(dressed.columns)]


def _ids(draw: np.random.Generator, total: int) -> object:
    numbers = np.arange(total)
    mixed = pd.Series([f"k{at}" if at % 3 else int(at) for at in numbers], dtype=object)
    return pick(
        draw,
        [
            *(numbers, numbers + 2**62, numbers + 0.5, [f"{at:05}" for at in numbers], mixed, pd.Categorical(numbers)),
            *(
                pd.array(numbers, dtype="Int64"),
                pd.date_range("2024-01-01", periods=total),
                [f'图,"{at}' for at in numbers],
            ),
        ],
    )


def _as_numbers(draw: np.random.Generator, values: pd.Series) -> pd.Series:
    whole = (values.dropna() % 1 == 0).all()
    options = [values, values, values.astype("Float64"), values.astype(object).where(values.notna(), None)]
    options += [values.astype("category"), values.map(repr, na_action="ignore")]
    return pick(draw, options + ([values.astype("Int64")] * 2 if whole else []))


def _categories(draw: np.random.Generator, codes: pd.Series) -> pd.Series:
    """Codes as they are, or as text, of which some spells numbers."""
    if draw.random() < 0.5:
        return codes
    return codes.map(lambda code: f"k{code:.0f}" if code % 2 else f"{code:.0f}", na_action="ignore").astype(object)


def _as_categories(draw: np.random.Generator, values: pd.Series) -> pd.Series:
    if values.dtype == float:
        flags = [values > 0] if values.isin((0, 1)).all() else []
        text = values.map("{:.0f}".format, na_action="ignore").astype(object)
        mixed = text.where(draw.random(len(values)) < 0.5, values)
        return pick(
            draw, [values, values.astype("Int64"), values.astype("category"), values.astype(object), mixed, *flags]
        )
    mixed = values.map(lambda value: int(value) if value.isdecimal() else value, na_action="ignore").astype(object)
    absent = mixed.where(mixed.notna(), None)
    return pick(draw, [values, values.astype("str"), values.astype("category"), mixed, absent])


def _as_target(draw: np.random.Generator, values: pd.Series, kind: str) -> pd.Series:
    if kind == "regression":
        return pick(draw, [values, values.astype("Float64"), values.astype(object)])
    numbers = [values.astype("Int64"), values.astype(float)] if values.dtype.kind == "i" else [values.astype("str")]
    return pick(draw, [values, values.astype(object), values.astype("category"), *numbers])


def _as_groups(draw: np.random.Generator, values: pd.Series) -> pd.Series:
    numbers = values.str[1:].astype(int)
    dates = pd.Timestamp("2024-01-01") + pd.to_timedelta(numbers, "D")
    return pick(
        draw, [values, values.astype("category"), numbers, numbers.astype("Int64"), dates, numbers.astype(object)]
    )


def _set(table: str, column: Callable[[Case], str], value: object, share: float = 0.1) -> Callable[[Case], None]:
    """A fault: some cells of a column have another value."""

    def spoil(made: Case) -> None:
        rows, name = getattr(made, table).copy(), column(made)
        if name in rows and rows.columns.is_unique:
            at = made.draw.random(len(rows)) < share
            cells = [value if hit else cell for cell, hit in zip(rows[name].tolist(), at, strict=True)]
            rows[name] = pd.Series(cells, rows.index, dtype=object)
            setattr(made, table, rows)

    return spoil


def _change(table: str, change: Callable[[Case, pd.DataFrame], pd.DataFrame]) -> Callable[[Case], None]:
    return lambda made: setattr(made, table, change(made, getattr(made, table)))


def _number(made: Case) -> str:
    return made.numeric[0]


def _category(made: Case) -> str:
    return made.categorical[0]


FAULTS: dict[str, Callable[[Case], None]] = {
    **{
        f"{value!r} in {table}": _set(table, _number, value) for table in ("train", "test") for value in (np.inf, -1e39)
    },
    **{
        f"{value!r} among {kind.__name__} of {table}": _set(table, kind, value)
        for table in ("train", "test")
        for kind in (_number, _category)
        for value in ("viele", "", True, pd.NA, pd.NaT, [1], 10**400, 1j, pd.Timestamp("2024-01-01"), np.inf)
    },
    **{
        f"{value!r} among {column}": _set("train", lambda made, column=column: column, value, 0.2)
        for column in ("y", "g", "id", "t")
        for value in ("7", 7, None, 0.5, np.inf, (1, 2), [1], pd.Timestamp("2024-01-01"))
    },
    "one label": _change("train", lambda made, rows: rows.assign(y=rows["y"].iloc[0])),
    "rare label": _change(
        "train", lambda made, rows: rows.assign(y=[made.classes[0]] * (len(rows) - 1) + [made.classes[-1]])
    ),
    "no train row": _change("train", lambda made, rows: rows[:0]),
    "one train row": _change("train", lambda made, rows: rows[:1]),
    "no test row": _change("test", lambda made, rows: rows[:0]),
    "few rows": _change("train", lambda made, rows: rows[:7]),
    "test lacks a number": _change("test", lambda made, rows: rows.drop(columns=made.numeric[0], errors="ignore")),
    "test lacks a category": _change(
        "test", lambda made, rows: rows.drop(columns=made.categorical[0], errors="ignore")
    ),
    "train lacks a number": _change("train", lambda made, rows: rows.drop(columns=made.numeric[0], errors="ignore")),
    "train lacks y": _change("train", lambda made, rows: rows.drop(columns="y", errors="ignore")),
    "train lacks g": _change("train", lambda made, rows: rows.drop(columns="g", errors="ignore")),
    "test has y": _change("test", lambda made, rows: rows.assign(y=1)),
    "repeated column": _change("train", lambda made, rows: pd.concat([rows, rows.iloc[:, [0]]], axis=1)),
    "repeated test column": _change("test", lambda made, rows: pd.concat([rows, rows.iloc[:, [-1]]], axis=1)),
    "numbered column": _change("train", lambda made, rows: rows.assign(**{"z": 1}).rename(columns={"z": 0})),
    "repeated rows": _change("train", lambda made, rows: pd.concat([rows, rows[:3]])),
    "odd index": _change("train", lambda made, rows: rows.set_axis(np.zeros(len(rows)), axis=0)),
}


def by_hand(made: Case) -> tuple[dict[str, float], np.ndarray]:
    """scikit-learn on the plain values: the mean scores over the folds, and the mean test predictions."""
    rows, asked = made.plain[: len(made.train)], made.plain[len(made.train) :]
    scores, predictions = [], []
    for number, fold in enumerate(SPLITS[made.split](made.train.reset_index(drop=True), 0)):
        seen, scored = rows.iloc[fold.train], rows.iloc[fold.validation]
        model = _model(made, derive(0, "fold", number)).fit(seen, seen["y"])
        if made.kind == "regression":
            scores.append({"rmse": root_mean_squared_error(scored["y"], model.predict(scored))})
            predictions.append(model.predict(asked))
            continue
        shares, test_shares = (_shares(made, model, part) for part in (scored, asked))
        guesses = [made.classes[at] for at in shares.argmax(1)]
        loss = log_loss(scored["y"], shares, labels=made.classes)
        scores.append({"accuracy": accuracy_score(scored["y"], guesses), "log_loss": loss})
        predictions.append(test_shares[:, 1] if made.kind == "binary" else test_shares)
    return pd.DataFrame(scores).mean().to_dict(), np.mean(predictions, axis=0)


def _model(made: Case, seed: int) -> Pipeline:
    numbers = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
    )
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    table = ColumnTransformer([("n", numbers, made.numeric), ("c", categories, made.categorical)])
    return make_pipeline(table, (REGRESSORS if made.kind == "regression" else CLASSIFIERS)[made.estimator](seed))


def _shares(made: Case, model: Pipeline, rows: pd.DataFrame) -> np.ndarray:
    shares = np.zeros((len(rows), len(made.classes)))
    shares[:, [made.classes.index(each) for each in model.classes_]] = model.predict_proba(rows)
    return shares
