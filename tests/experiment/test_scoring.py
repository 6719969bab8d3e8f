"""Scores that cannot be, and what is scored of which predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from goldfold import metrics
from goldfold.cli.main import main
from goldfold.competition import Metric
from goldfold.data.fields import records
from goldfold.errors import GoldfoldError
from goldfold.experiment.scoring import metrics_for, score
from goldfold.experiment.workspace import Workspace


@pytest.mark.parametrize("value", [1.01, -0.01, float("nan"), float("inf")])
def test_a_score_outside_its_range_is_refused(value):
    """A share of 15 classes of which the largest is below 1/15, for one, comes from names that were never resolved."""
    purity = Metric(
        name="purity", score=lambda *_: value, higher_is_better=True, bounds=(0, 1), chance=lambda rows: 1 / 15
    )
    with pytest.raises(GoldfoldError) as error:
        score(purity, pd.DataFrame(), np.array([]))
    assert error.value.code == "score_out_of_bounds"
    assert "purity must lie in [0, 1]" in str(error.value)


def test_a_share_below_its_floor_is_refused():
    purity = Metric(
        name="purity", score=lambda *_: 0.009, higher_is_better=True, bounds=(1 / 15, 1), chance=lambda rows: 1 / 15
    )
    with pytest.raises(GoldfoldError) as error:
        score(purity, pd.DataFrame(), np.array([]))
    assert error.value.code == "score_out_of_bounds"
    assert "purity must lie in [0.0666667, 1], and it is 0.009" in str(error.value)


def test_nan_is_refused_where_every_number_is_allowed():
    unbounded = Metric(
        name="rmse", score=lambda *_: float("nan"), higher_is_better=False, bounds=(0, np.inf), chance=lambda rows: 1.0
    )
    with pytest.raises(GoldfoldError) as error:
        score(unbounded, pd.DataFrame(), np.array([]))
    assert error.value.code == "score_out_of_bounds"
    assert "it is nan" in str(error.value)


@pytest.mark.parametrize("value", [0.0, 1.0, 1 + 1e-12])
def test_the_edges_of_the_range_are_inside(value):
    edge = Metric(name="x", score=lambda *_: value, higher_is_better=True, bounds=(0, 1), chance=lambda rows: 0.5)
    assert score(edge, pd.DataFrame(), np.array([])) == value


def test_auroc_of_drawn_rows_is_scikit_learns():
    """The fast way of the bootstrap, with ties and both kinds of labels, against scikit-learn on each draw."""
    draw = np.random.default_rng(3)
    rows = pd.DataFrame({"y": draw.integers(0, 2, 60).astype(bool)})
    predictions = (draw.normal(size=60) + rows["y"]).round(1).to_numpy()
    score_of = metrics.auroc("y").options.resampled(rows, predictions)
    for _ in range(20):
        index = draw.integers(0, 60, 60)
        expected = roc_auc_score(rows["y"].to_numpy()[index], predictions[index])
        assert score_of(index) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(GoldfoldError, match="needs both classes"):
        score_of(np.flatnonzero(rows["y"]))


def test_what_predictions_do_not_hold_is_not_measured(toy):
    """One vector per image has no map: neither where a defect is nor a routing can be scored then."""
    blobs = Workspace().competition("blobs")
    masks = metrics.pixel_auroc(lambda rows: [])
    competition = replace(blobs, also=(masks, metrics.routing_accuracy("label"), metrics.pseudo_auroc("label")))
    plain, scores = np.zeros(3), {"score": np.zeros(3, np.float32)}
    assert metrics_for(competition, plain) == metrics_for(competition, records(**scores)) == [blobs.metric]
    maps = records(**scores, map=np.zeros((3, 4, 4), np.float16))
    assert metrics_for(competition, maps) == [blobs.metric, masks]


def test_the_metric_is_computed_of_the_other_scores_that_a_recipe_names(toy):
    blobs = Workspace().competition("blobs")
    recipe = replace(blobs.recipes["estimator"], other_scores={"second": "by_hand"})
    competition = replace(blobs, recipes={"estimator": recipe})
    truth = np.array([0, 0, 1, 1])
    rows = pd.DataFrame({"label": truth})
    predictions = records(score=1.0 - truth, by_hand=truth + 0.0, score_third=truth + 0.0)
    own, other = metrics_for(competition, predictions)
    assert (own.name, other.name) == ("auroc", "auroc of second")
    assert (own.score(rows, predictions), other.score(rows, predictions)) == (0.0, 1.0)
    assert other.options.row_error(rows, predictions).tolist() == [0, 0, 0, 0]
    assert other.options.p_value(rows, predictions) == blobs.metric.options.p_value(rows, truth)
    assert metrics_for(competition, truth) == [blobs.metric]
    reads = replace(blobs.metric, options=replace(blobs.metric.options, field="score"))
    assert metrics_for(replace(competition, metric=reads), predictions) == [reads]


def test_the_best_possible_score_and_the_protocol_are_told_beside_the_score(toy, capsys):
    """A metric that cannot reach its bound on the rows of a fold, measured in its own way."""
    path = toy / "competitions/neighbors/__init__.py"
    changed = path.read_text(encoding="utf-8").replace(
        "bounds=(0, 1),",
        "bounds=(0, 1), retrieval=Retrieval(pairs=lambda rows: by_label(rows['label']), "
        "protocol='self left out', best_possible=lambda rows: len(rows) / 100),",
    )
    changed = changed.replace(
        "from goldfold.params import Epochs, Params\n",
        "from goldfold.optional_parts import Retrieval\nfrom goldfold.params import Epochs, Params\n"
        "from goldfold.retrieval.pairs import by_label\n",
    )
    path.write_text(changed, encoding="utf-8")
    main(["train", "--comp", "neighbors", "--config", "two_stage"])
    told = capsys.readouterr().out
    assert "best possible 0.6000, range [0, 1]" in told
    assert "precision_at_1_cosine, out of fold, self left out, 2 of 2 folds" in told
    record = (toy / "runs/neighbors/two_stage-r1/record.md").read_text(encoding="utf-8")
    assert "best possible" in record
    main(["train", "--comp", "blobs", "--config", "estimator"])
    assert "best possible" not in capsys.readouterr().out
    assert "best possible" not in (toy / "runs/blobs/estimator-r1/record.md").read_text(encoding="utf-8")
