"""Spread and intervals against SciPy, and scores that cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from goldfold import metrics
from goldfold.cli.main import main
from goldfold.competition import Metric
from goldfold.data.fields import records
from goldfold.errors import GoldfoldError
from goldfold.experiment.scoring import bootstrap_interval, fold_statistics, metrics_for, score
from goldfold.experiment.workspace import Workspace
from goldfold.optional_parts import MetricOptions


def mean_of(column: str, per_row: bool) -> Metric:
    def rows_of(rows, predictions):
        return rows[column].to_numpy()

    return Metric(
        name="mean",
        score=lambda rows, predictions: float(rows_of(rows, predictions).mean()),
        higher_is_better=True,
        bounds=(-np.inf, np.inf),
        chance=lambda rows: 0.0,
        options=MetricOptions(per_row=rows_of if per_row else None),
    )


def test_spread_is_numpys_and_scipys():
    values = [0.6644, 0.6982, 0.6805, 0.6701, 0.6805]
    found = fold_statistics(values, (0, 1))
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert found["interval_95_t"] == pytest.approx([low, high])
    assert (found["n"], round(found["mean"], 5), round(found["sd_ddof1"], 5)) == (5, 0.67874, 0.01290)


def test_one_fold_has_a_mean_and_no_spread():
    assert fold_statistics([0.5], (0, 1)) == {"n": 1, "mean": 0.5, "sd_ddof1": None, "interval_95_t": None}


def test_the_interval_ends_where_the_metric_does():
    low, high = fold_statistics([0.9, 1.0, 1.0], (0, 1))["interval_95_t"]
    assert low == pytest.approx(stats.t.interval(0.95, 2, 29 / 30, stats.sem([0.9, 1.0, 1.0]))[0])
    assert high == 1


@pytest.mark.parametrize("per_row", [True, False])
def test_the_bootstrap_interval_is_the_means(per_row):
    """For a mean of many rows the percentile interval is the normal one: mean ± 1.96 standard errors."""
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap_interval(mean_of("x", per_row), pd.DataFrame({"x": values}), values)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


@pytest.mark.parametrize(("rows", "labels", "draws"), [(50, 4, 1000), (2600, 400, 200)])
def test_fewer_resamples_are_ranked_of_many_labels(rows, labels, draws):
    names, scored = tuple(range(labels)), []
    options = MetricOptions(resampled=lambda *_: lambda index: scored.append(len(index)) or 0.5, classes=names)
    bootstrap_interval(
        replace(mean_of("x", False), options=options), pd.DataFrame({"x": np.zeros(rows)}), np.zeros(rows)
    )
    assert scored == [rows] * draws


def test_resampled_rows_are_numbered_anew_for_metrics_that_compare_columns():
    """A difference of two pandas columns pairs labels of an index, which must not be those of the drawn rows."""
    rows = pd.DataFrame({"x": np.random.default_rng(2).normal(size=60)})
    guesses = rows["x"].to_numpy() + np.linspace(-1, 1, 60)
    by_labels, by_positions = (
        replace(mean_of("x", False), score=lambda rows, found, wrap=wrap: float(abs(rows["x"] - wrap(found)).mean()))
        for wrap in (pd.Series, np.asarray)
    )
    assert bootstrap_interval(by_labels, rows, guesses) == bootstrap_interval(by_positions, rows, guesses)


def test_the_bootstrap_interval_covers_the_truth():
    """19 of 20 intervals should; 36 or more of 40 have a probability of 0.95."""
    draw = np.random.default_rng(0)
    covered = 0
    for _ in range(40):
        values = draw.normal(0, 1, 60)
        low, high = bootstrap_interval(mean_of("x", True), pd.DataFrame({"x": values}), values)
        covered += low <= 0 <= high
    assert 35 <= covered <= 40


def test_groups_are_drawn_whole():
    """Ten copies of each of 30 values hold no more than 30 values do."""
    values = np.random.default_rng(2).normal(0, 1, 30)
    rows, groups = pd.DataFrame({"x": np.repeat(values, 10)}), np.repeat([f"录{i}" for i in range(30)], 10)
    by_row, by_group = (bootstrap_interval(mean_of("x", False), rows, rows["x"].to_numpy(), g) for g in (None, groups))
    assert np.ptp(by_group) == pytest.approx(2 * 1.96 * values.std() / np.sqrt(30), rel=0.15)
    assert np.ptp(by_row) == pytest.approx(2 * 1.96 * values.std() / np.sqrt(300), rel=0.15)


def test_the_bootstrap_repeats_itself_and_leaves_random_states_alone():
    rows = pd.DataFrame({"x": [0.0, 1.0, 3.0]})
    before = np.random.get_state()[1].copy()
    assert bootstrap_interval(mean_of("x", True), rows, rows) == bootstrap_interval(mean_of("x", True), rows, rows)
    assert np.array_equal(np.random.get_state()[1], before)


def test_predictions_are_drawn_with_their_rows():
    rows = pd.DataFrame({"y": [0, 1] * 20})
    assert bootstrap_interval(metrics.auroc(target="y"), rows, rows["y"].to_numpy().astype(float)) == [1.0, 1.0]


def test_too_few_draws_that_can_be_scored_make_no_interval():
    """Three rows drawn from three hold all of them in 6 draws of 27."""

    def score(rows, predictions):
        if rows["y"].nunique() < 3:
            raise GoldfoldError("metric_one_class", "a class is missing")
        return 1.0

    metric = Metric(name="x", score=score, higher_is_better=True, bounds=(0, 1), chance=lambda rows: 0.5)
    assert bootstrap_interval(metric, pd.DataFrame({"y": [0, 1, 2]}), np.zeros(3)) is None


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
    assert bootstrap_interval(other, rows, predictions) == [1.0, 1.0]
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
