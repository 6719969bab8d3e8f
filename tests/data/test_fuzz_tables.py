"""Random tables end in a finished run with a finite score or in one GoldfoldError; clean ones score as scikit-learn."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_tables import train
from random_tables import SPLITS, Case, by_hand, case
from sklearn.pipeline import make_pipeline

import goldfold as gf
from goldfold import metrics
from goldfold.competition import Metric, Recipe
from goldfold.errors import GoldfoldError
from goldfold.recipes import tabular

UNFORESEEN = "competition_failed"  # code of an exception that no check foresaw
OF_SMALL_CLASSES = ("fold_lacks_class", "class_too_small", "untrained_class")  # errors of tables without a fault
SHORT = {"linear": {}, "forest": {"forest_trees": 5}, "boosting": {"boosting_rounds": 4, "boosting_leaf": 2}}


def _recipe(made: Case) -> Recipe:
    make = tabular.regressor if made.kind == "regression" else tabular.classifier

    def estimator(params: tabular.TabularParams, seed: int):
        return make_pipeline(tabular.preprocess(made.numeric, made.categorical), make(params, seed))

    return tabular.recipe(tabular.TabularParams, estimator, "y", made.kind)


def _metrics(made: Case) -> list[Metric]:
    if made.kind == "regression":
        return [metrics.rmse("y")]
    return [metrics.accuracy("y", classes=made.classes), metrics.log_loss("y", classes=made.classes)]


def _train(made: Case) -> gf.Run:
    metric, *also = _metrics(made)
    return train(
        metric,
        _recipe(made),
        (made.train, made.test),
        also=also,
        outputs=len(made.classes) if made.kind == "multiclass" else 1,
        split=SPLITS[made.split],
        group="g" if "grouped" in made.split else None,
        estimator=made.estimator,
        **SHORT[made.estimator],
    )


def check(number: int) -> str:
    """Train a case in the toy project and check its end; returns it in a word."""
    made = case(number)
    shutil.rmtree("runs/table", ignore_errors=True)
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            run = _train(made)
        except GoldfoldError as error:
            return _refused(made, error, f"case {number} {made.faults}: {error.code}, {error}")
    means = run.scores["mean"]
    assert np.isfinite(means).all(), f"case {number} {made.faults}: {means.to_dict()}"
    if not made.faults:
        scores, predictions = by_hand(made)
        assert means.to_dict() == pytest.approx(scores, rel=1e-6, abs=1e-9), f"case {number}"
        np.testing.assert_allclose(
            np.load(run.folder / "test.npy"), predictions, rtol=1e-5, atol=1e-7, err_msg=f"case {number}"
        )
    return "finished"


def _refused(made: Case, error: GoldfoldError, about: str) -> str:
    assert made.faults or error.code in OF_SMALL_CLASSES, about
    assert error.code != UNFORESEEN or "split() of" in str(error), about
    assert "\n" not in str(error), about
    assert not list(Path("runs").glob("table/*/fold*/fit.json")), f"only after a fit, {about}"
    return error.code


def test_a_few_random_tables(toy: Path) -> None:
    assert len({check(number) for number in range(8)}) > 1


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_many_random_tables(toy: Path, block: int) -> None:
    ends = [check(number) for number in range(60 * block, 60 * (block + 1))]
    assert 20 < ends.count("finished") < 55
