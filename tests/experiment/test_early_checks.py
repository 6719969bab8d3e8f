"""Columns are checked against the tables, and metrics against what a recipe predicts, before anything is computed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from made_tables import on_columns, train

from goldfold import metrics
from goldfold.competition import Competition, Fold, Metric, Plan, Recipe, Submission, Tables
from goldfold.data import tables
from goldfold.experiment.early_checks import check_recipe, class_order
from goldfold.metrics import retrieval
from goldfold.optional_parts import ClassLabels, Neighbors
from goldfold.params import Column, Params
from goldfold.recipes import autoencoder, embedder, frozen_backbone, image_classifier, patch_library, segmenter
from goldfold.retrieval.pairs import by_label

TABLE = pd.DataFrame(
    {"id": range(12), "path": "x.png", "Action": [0, 1, 2] * 4, "defect": [0, 1] * 6, "size": np.arange(12.0)}
)
CLASSES = (0, 1, 2)


def competition(recipe: Recipe, metric: Metric, targets: tuple[str, ...] = ("Action", "defect"), **own) -> Competition:
    return Competition(
        slug="made",
        metric=metric,
        targets=targets,
        prepare=lambda *_: None,
        load=lambda _: Tables(train=TABLE, test=TABLE, sample_submission=TABLE),
        split=lambda train, seed: [],
        recipes={"made": recipe},
        submission=Submission(write=lambda test, _: test[["id"]]),
        **own,
    )


def check(recipe: Recipe, metric: Metric, table: pd.DataFrame = TABLE, **own) -> tuple | None:
    both = Tables(train=table, test=table.drop(columns=["Action", "defect"]), sample_submission=table[["id"]])
    made, values = competition(recipe, metric, **own), {}
    check_recipe(made, "made", recipe.params(**values), both)
    return class_order(made, recipe, both.train)


def masks(rows: pd.DataFrame):
    return (np.eye(8, dtype=np.int64) for _ in range(len(rows)))


ACCURACY = metrics.accuracy("Action", classes=CLASSES)
CELLS = frozen_backbone.recipe("Action", CLASSES)
FINDER = retrieval.mean_average_precision(lambda rows: by_label(rows["Action"]), protocol="all others")


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        (frozen_backbone.recipe(("Action", "defect"), CLASSES), ("column_not_a_name", "('Action', 'defect')")),
        (image_classifier.recipe("action", CLASSES), ("unknown_column", "'action'", "did you mean 'Action'")),
        (embedder.recipe("Action", sequence="sise", time="size"), ("unknown_column", "did you mean 'size'")),
        (autoencoder.recipe("defect", class_="clas"), ("unknown_column", "'clas'")),
        (patch_library.recipe("defct"), ("unknown_column", "did you mean 'defect'")),
        (Recipe(params=Params, build=lambda *_: None, labels=ClassLabels("Acton")), ("unknown_column", "'Action'")),
    ],
)
def test_columns_of_a_recipe_exist(recipe: Recipe, told) -> None:
    with raises_code(*told):
        check(recipe, ACCURACY)


def test_image_recipes_need_paths_in_both_tables() -> None:
    with raises_code("unknown_column", "train table 'path'"):
        check(segmenter.recipe(masks), metrics.dice(masks), TABLE.drop(columns="path"))
    test = TABLE.drop(columns=["path", "Action", "defect"])
    both = Tables(train=TABLE, test=test, sample_submission=TABLE[["id"]])
    with raises_code("unknown_column", "test table 'path'"):
        check_recipe(competition(CELLS, ACCURACY), "made", CELLS.params(), both)


def test_a_column_that_a_parameter_names_exists() -> None:
    class ByColumn(Params):
        feature: Column = "sise"
        weight: Column | None = None

    with raises_code("unknown_column", "feature", "did you mean 'size'"):
        check(Recipe(params=ByColumn, build=lambda *_: None), ACCURACY)


@pytest.mark.parametrize("column", ["Acton", ("Action", "defect")])
@pytest.mark.parametrize(
    "metric",
    [
        lambda column: metrics.accuracy(column, classes=CLASSES),
        lambda column: metrics.auroc(column, classes=CLASSES[:2]),
        lambda column: metrics.auroc_class_mean("defect", column),
        lambda column: replace(ACCURACY, score=lambda rows, _: float(rows[column].mean()), chance=lambda rows: 0.5),
    ],
)
def test_columns_of_a_metric_exist(metric: Callable, column) -> None:
    undeclared = Recipe(params=Params, build=lambda *_: None)
    code = "unknown_column" if isinstance(column, str) else "column_not_a_name"
    with raises_code(code, "metric", repr(column)):
        check(undeclared, metric(column))


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"targets": "Action"}, ("targets_not_a_tuple", "targets=('Action',)")),
        ({"targets": (("Action", "defect"),)}, ("column_not_a_name", "('Action', 'defect')")),
        ({"group": "sise"}, ("unknown_column", "group column", "did you mean 'size'")),
        ({"object_class": "sise"}, ("unknown_column", "object_class", "did you mean 'size'")),
        ({"neighbors": Neighbors("id", "sise", 1)}, ("unknown_column", "time column", "did you mean 'size'")),
    ],
)
def test_columns_of_a_competition_exist(own, told, tmp_path: Path) -> None:
    table = TABLE.drop(columns="path")
    both = Tables(train=table, test=table.drop(columns=["Action", "defect"]), sample_submission=table[["id"]])
    with raises_code(*told):
        tables.check(competition(CELLS, ACCURACY, **own), both)


@pytest.mark.parametrize(
    ("column", "told"), [("Acton", ("unknown_column", "did you mean")), (("Action", "id"), ("column_not_a_name",))]
)
def test_columns_that_split_reads_exist(toy: Path, column, told) -> None:
    rows = TABLE.drop(columns=["path", "defect"])
    with raises_code(*told, "split()", "line"):
        recipe = on_columns(["size"], target="Action")
        data = rows, rows.drop(columns="Action")
        train(ACCURACY, recipe, data, targets=("Action",), outputs=3, split=lambda rows, seed: rows[column].unique())
    assert not list(Path("runs").glob("table/*"))


SCORES = "score, map"


@pytest.mark.parametrize(
    ("recipe", "metric", "wanted", "got"),
    [
        (
            on_columns([], target="size", kind="regression"),
            metrics.log_loss("Action", classes=CLASSES),
            "(n, 3)",
            "(n,)",
        ),
        (on_columns([], target="Action"), metrics.rmse("size"), "(n,)", "(n, 3)"),
        (CELLS, metrics.dice(masks), "(n, height, width)", "(n, 3)"),
        (CELLS, metrics.pixel_auroc(masks), "(n, height, width)", "(n, 3)"),
        (on_columns([], target="size", kind="regression"), ACCURACY, "[0, 1, 2]", "0.5"),
        (segmenter.recipe(masks), ACCURACY, "(n,) or (n, 3)", "(n, 256, 256)"),
        (segmenter.recipe(masks), metrics.rmse("size"), "(n,)", "(n, 256, 256)"),
        (embedder.recipe("Action"), ACCURACY, "(n,) or (n, 3)", "(n, 2048)"),
        (patch_library.recipe("defect"), ACCURACY, "(n,) or (n, 3)", f"records with the fields {SCORES}"),
        (
            patch_library.recipe("defect"),
            metrics.pseudo_auroc("defect"),
            "'pseudo'",
            SCORES.replace("score, map", "map, score"),
        ),
        (patch_library.recipe("defect"), metrics.dice(masks), "array", f"records with the fields {SCORES}"),
        (autoencoder.recipe("defect"), metrics.rmse("size"), "(n,)", "score_library"),
        (patch_library.recipe("defect"), FINDER, r"\(rows, width\)", "score"),
        (on_columns([], target="size", kind="regression"), FINDER, r"\(rows, width\)", "(2,)"),
        (CELLS, metrics.routing_accuracy("Action"), "(n,)", "(n, 3)"),
    ],
)
def test_a_metric_of_other_predictions_is_refused(recipe: Recipe, metric: Metric, wanted, got) -> None:
    targets = ("Action", "defect", "size")
    with pytest.raises(Exception, match="do not fit together") as error:
        check(recipe, metric, targets=targets)
    message = str(error.value)
    assert "recipe 'made'" in message
    assert metric.name in message
    assert "\n" not in message
    for fact in (wanted, got):
        with raises_code(error.value.code, fact):
            raise error.value


@pytest.mark.parametrize(
    ("recipe", "metric"),
    [
        (CELLS, metrics.quadratic_kappa("Action", classes=CLASSES)),  # undefined for constant predictions
        (patch_library.recipe("defect"), metrics.auroc("defect")),
        (patch_library.recipe("defect"), metrics.f1_at_quantile("defect")),  # needs more than two rows
        (patch_library.recipe("defect"), metrics.aupro(masks)),
        (autoencoder.recipe("defect"), metrics.pseudo_auroc("defect")),
        (segmenter.recipe(masks), metrics.iou(masks)),
        (embedder.recipe("Action"), FINDER),  # two rows of two classes have no relevant rows
        (on_columns([], target="size", kind="regression"), metrics.rmsle("size")),
        (on_columns([], target="defect", kind="binary"), metrics.log_loss("defect")),
        (Recipe(params=Params, build=lambda *_: None), ACCURACY),
    ],
)
def test_metrics_that_fit_are_accepted_although_two_rows_are_few(recipe: Recipe, metric: Metric) -> None:
    check(recipe, metric)


def test_what_a_metric_warns_of_two_rows_is_not_shown(recwarn: pytest.WarningsRecorder) -> None:
    def score(rows: pd.DataFrame, predictions: np.ndarray) -> float:
        warnings.warn("too few rows", RuntimeWarning, stacklevel=1)
        return 0.5

    check(CELLS, replace(ACCURACY, score=score))
    assert not list(recwarn)


def test_a_recipe_that_declares_nothing_is_refused_once_a_fold_is_predicted(toy: Path) -> None:
    built = []

    def build(params: Params, rows: pd.DataFrame, runtime) -> Plan:
        built.append(len(rows))
        return Plan(predict=lambda model, finished, rows: np.zeros(len(rows)))

    rows = TABLE.drop(columns=["path", "defect"])
    with raises_code("wrong_prediction_shape", "metric log_loss", "(n, 3)", "(n,)"):
        train(
            metrics.log_loss("Action", classes=CLASSES),
            Recipe(params=Params, build=build),
            (rows, rows.drop(columns="Action")),
            targets=("Action",),
        )
    assert built == [6]


def test_a_shape_that_does_not_fit_stops_before_folds_are_drawn(toy: Path) -> None:
    def split(rows: pd.DataFrame, seed: int) -> list[Fold]:
        raise AssertionError("no fold is drawn")

    rows = TABLE.drop(columns=["path", "defect"])
    recipe = on_columns(["id"], target="size", kind="regression")
    with raises_code("wrong_prediction_shape", "log_loss"):
        data = rows, rows.drop(columns=["Action", "size"])
        train(metrics.log_loss("Action", classes=CLASSES), recipe, data, targets=("Action", "size"), split=split)
