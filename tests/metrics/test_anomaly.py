"""Rankings within classes, of damaged copies, and F1 at thresholds: against scikit-learn and slow re-expressions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from sklearn.metrics import f1_score, precision_recall_curve, roc_auc_score

from goldfold import metrics
from goldfold.anomaly import thresholds
from goldfold.competition import Metric
from goldfold.data.fields import records

RNG = np.random.default_rng(7)
N = 300
CLASSES = ("地毯", "牙刷", "grid")
ROWS = pd.DataFrame(
    {
        "kind": RNG.choice(CLASSES, N),
        "anomalous": RNG.random(N) < 0.3,
        "judged": RNG.choice([0.0, 1 / 3, 2 / 3, 1.0], N),
        "state": RNG.choice(["good", "hole"], N),
    },
    index=RNG.permutation(N) + 50,
)
TRUTH = ROWS["anomalous"].to_numpy()
SCORES = (RNG.normal(size=N) + TRUTH + 3 * (ROWS["kind"] == "grid")).round(1).to_numpy()  # ties, and one class higher
PSEUDO = (SCORES + RNG.normal(size=N)).round(1)
TOGETHER = records(score=SCORES, pseudo=PSEUDO, map=np.zeros((N, 2, 2), np.float16))

METRICS = {
    "class mean": metrics.auroc_class_mean("anomalous", "kind"),
    "class mean of some": metrics.auroc_class_mean("judged", "kind", other_classes="leave_out"),
    "pseudo": metrics.pseudo_auroc("anomalous"),
    "quantile": metrics.f1_at_quantile("anomalous"),
    "best": metrics.f1_best("anomalous"),
    "jump": metrics.f1_at_first_jump("anomalous"),
    "best by class": metrics.f1_best("anomalous", by="kind"),
}


def stepped() -> np.ndarray:
    """Scores at equal distances, with one jump between normal and anomalous rows."""
    scores = np.empty(N)
    scores[~TRUTH], scores[TRUTH] = np.linspace(1, 2, (~TRUTH).sum()), np.linspace(6, 7, TRUTH.sum())
    return scores


def drawn(metric: Metric, index: np.ndarray) -> tuple[float, float]:
    """The score of rows drawn again, quickly and one by one."""
    return metric.options.resampled(ROWS, TOGETHER)(index), metric.score(ROWS.iloc[index], TOGETHER[index])


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_keeps_the_seams_promises(name):
    metric = METRICS[name]
    for value in (metric.score(ROWS, TOGETHER), metric.chance(ROWS)):
        assert type(value) is float
        assert 0 <= value <= 1
    assert metric.bounds == (0.0, 1.0)
    spoilt = TOGETHER.copy()
    spoilt["score"][4] = np.nan
    for predictions, code, fact in [
        (spoilt, "predictions_not_finite", "1 of 300"),
        (TOGETHER[1:], "predictions_wrong_length", "300 rows"),
        (records(pseudo=PSEUDO), "unknown_field", "known: pseudo"),
    ]:
        with raises_code(code, fact):
            metric.score(ROWS, predictions)


@pytest.mark.parametrize("name", sorted(set(METRICS) - {"pseudo"}))
def test_plain_scores_are_scored_as_a_field_of_records(name):
    assert METRICS[name].score(ROWS, SCORES) == METRICS[name].score(ROWS, TOGETHER)


@pytest.mark.parametrize("name", sorted(set(METRICS) - {"jump", "best by class"}))
def test_rows_drawn_again_are_scored_as_their_table(name):
    for seed in range(5):
        quick, slow = drawn(METRICS[name], np.random.default_rng(seed).integers(0, N, N))
        assert quick == pytest.approx(slow, abs=1e-12)


# -- the mean over classes


def test_auroc_class_mean_is_scikit_learns_of_each():
    metric = METRICS["class mean"]
    each = [roc_auc_score(TRUTH[ROWS["kind"] == one], SCORES[ROWS["kind"] == one]) for one in CLASSES]
    assert metric.name == "auroc_class_mean"
    assert metric.score(ROWS, TOGETHER) == pytest.approx(np.mean(each), abs=1e-12)
    assert metric.score(ROWS, TOGETHER) > metrics.auroc("anomalous").score(ROWS, TOGETHER) + 0.05  # scales differ
    assert metric.score(ROWS, np.zeros(N)) == metric.chance(ROWS) == 0.5
    moved = SCORES + 100 * ROWS["kind"].map(CLASSES.index).to_numpy()
    assert metric.score(ROWS, moved) == pytest.approx(metric.score(ROWS, SCORES), abs=1e-12)
    wrong = metric.options.row_error(ROWS, TOGETHER)
    for one, area in zip(CLASSES, each, strict=True):
        assert wrong[(ROWS["kind"] == one) & TRUTH].mean() == pytest.approx(1 - area, abs=1e-12)


def test_a_class_with_one_label_is_left_out_of_the_mean():
    metric = METRICS["class mean"]
    some = ((ROWS["kind"] != "grid") | ~TRUTH).to_numpy()
    kept = (ROWS["kind"] != "grid").to_numpy()
    assert metric.score(ROWS[some], SCORES[some]) == metric.score(ROWS[kept], SCORES[kept])
    assert not metric.options.row_error(ROWS[some], SCORES[some])[ROWS["kind"][some] == "grid"].any()
    with raises_code("metric_one_class", "anomalous", "of 3 "):
        metric.score(ROWS[~TRUTH], SCORES[~TRUTH])
    with raises_code("unknown_column", "did you mean 'kind'"):
        metrics.auroc_class_mean("anomalous", "knd").score(ROWS, SCORES)
    with raises_code("values_missing", "kind"):
        metric.score(ROWS.assign(kind=ROWS["kind"].where(ROWS["judged"] < 1)), SCORES)


def test_auroc_class_mean_ranks_two_of_several_classes():
    metric, sure = METRICS["class mean of some"], ROWS["judged"].isin([0, 1]).to_numpy()
    assert metric.name == "auroc_class_mean_judged_1_against_0"
    expected = metrics.auroc_class_mean("judged", "kind").score(ROWS[sure], SCORES[sure])
    assert metric.score(ROWS, TOGETHER) == pytest.approx(expected, abs=1e-12)
    assert not metric.options.row_error(ROWS, TOGETHER)[~sure].any()


# -- synthetic defects


def test_pseudo_auroc_ranks_normal_images_against_their_damaged_copies():
    metric = METRICS["pseudo"]
    assert metric.name == "pseudo_auroc (says nothing about real defects)"
    assert metric.options.field == "pseudo"
    clean, damaged = SCORES[~TRUTH], PSEUDO[~TRUTH]
    expected = roc_auc_score(np.repeat([0, 1], len(clean)), np.concatenate([clean, damaged]))
    assert metric.score(ROWS, TOGETHER) == pytest.approx(expected, abs=1e-12)
    assert metric.score(ROWS, records(score=SCORES, pseudo=SCORES)) == metric.chance(ROWS) == 0.5
    real = np.where(TRUTH, 99.0, SCORES)  # scores of defective images do not enter
    assert metric.score(ROWS, records(score=real, pseudo=PSEUDO)) == metric.score(ROWS, TOGETHER)
    named = metrics.pseudo_auroc("state", normal="good")
    good = (ROWS["state"] == "good").to_numpy()
    assert named.score(ROWS, TOGETHER) == metrics.pseudo_auroc("state", "good").score(ROWS[good], TOGETHER[good])


def test_pseudo_auroc_without_damaged_copies_or_normal_rows_is_refused():
    metric = METRICS["pseudo"]
    with raises_code("unknown_field", "pseudo"):
        metric.score(ROWS, SCORES)
    with raises_code("unknown_field", "pseudo", "known: score"):
        metric.score(ROWS, records(score=SCORES))
    with raises_code("metric_no_normal_rows", "'anomalous' 0"):
        metric.score(ROWS[TRUTH], TOGETHER[TRUTH])
    with raises_code("metric_no_normal_rows", "300", "'state' 'gut'"):
        metrics.pseudo_auroc("state", "gut").score(ROWS, TOGETHER)


# -- decisions


def test_f1_at_a_quantile_of_normal_scores():
    metric, other = METRICS["quantile"], metrics.f1_at_quantile("anomalous", 0.9)
    assert (metric.name, other.name) == ("f1_at_0.95_quantile_of_normals", "f1_at_0.9_quantile_of_normals")
    for q, one in ((0.95, metric), (0.9, other)):
        found = np.quantile(SCORES[~TRUTH], q) <= SCORES
        assert one.score(ROWS, TOGETHER) == pytest.approx(f1_score(TRUTH, found), abs=1e-12)
    few = np.r_[np.flatnonzero(~TRUTH)[:19], np.flatnonzero(TRUTH)]
    with raises_code("too_few_scores", "20", "19"):
        metric.score(ROWS.iloc[few], SCORES[few])
    with raises_code("quantile_out_of_range", "95", "0.95"):
        metrics.f1_at_quantile("anomalous", 95)


def test_f1_best_is_the_highest_of_every_threshold():
    metric = METRICS["best"]
    assert metric.name == "f1_best (threshold chosen on the scored rows)"
    precision, recall, _ = precision_recall_curve(TRUTH, SCORES)
    best = np.nanmax(2 * precision * recall / np.maximum(precision + recall, 1e-300))
    assert metric.score(ROWS, TOGETHER) == pytest.approx(best, abs=1e-12)
    assert metric.score(ROWS, TRUTH.astype(float)) == 1.0
    lowest = 2 * TRUTH.sum() / (N + TRUTH.sum())  # every row is called anomalous
    assert metric.score(ROWS, np.zeros(N)) == pytest.approx(lowest, abs=1e-12)
    assert metric.score(ROWS, -TRUTH.astype(float)) == pytest.approx(lowest, abs=1e-12)
    assert metric.chance(ROWS) > lowest


def test_f1_at_the_first_jump():
    metric = METRICS["jump"]
    assert metric.name == "f1_at_first_jump (transductive)"
    found = thresholds.decide(SCORES, thresholds.first_jump(SCORES))
    assert 0 < found.sum() < N
    assert metric.score(ROWS, TOGETHER) == pytest.approx(f1_score(TRUTH, found), abs=1e-12)
    assert metric.score(ROWS, stepped()) == 1.0
    assert metric.score(ROWS, np.linspace(1, 2, N)) == 0.0  # nothing is called anomalous
    with raises_code("too_few_scores", "21", "20"):
        metric.score(ROWS[:20], SCORES[:20])


def test_rows_drawn_again_keep_the_jump_of_all():
    """A row drawn twice makes a gap of 0, so that each other one would look like a jump."""
    index = np.random.default_rng(0).integers(0, N, N)
    assert METRICS["jump"].options.resampled(ROWS, stepped())(index) == 1.0
    assert METRICS["jump"].score(ROWS.iloc[index], stepped()[index]) < 0.9


@pytest.mark.parametrize("name", ["quantile", "best", "jump"])
def test_f1_without_anomalous_or_normal_rows_is_refused(name):
    for some in (TRUTH, ~TRUTH):
        with raises_code("metric_one_class", "anomalous"):
            METRICS[name].score(ROWS[some], SCORES[some])


def test_chance_at_the_first_jump_is_the_best_of_random_flags_at_any_rate():
    draw = np.random.default_rng(0)
    blind = []
    for rate in (0.1, 0.3, 0.6, 0.9, 1.0):
        flags = draw.random((2000, N)) < rate
        hits, flagged = (flags & TRUTH).sum(axis=1), flags.sum(axis=1)
        blind.append(np.mean(2 * hits / (flagged + TRUTH.sum())))
    assert METRICS["jump"].chance(ROWS) == pytest.approx(max(blind), abs=2e-3)


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (metrics.f1_best, thresholds.best_f1),
        (metrics.f1_at_quantile, lambda scores, truth: thresholds.validation_quantile(scores[truth == 0], 0.95)),
        (metrics.f1_at_first_jump, lambda scores, truth: thresholds.first_jump(scores)),
    ],
)
def test_thresholds_by_class_are_found_within_each(make, rule):
    metric = make("anomalous", by="kind")
    assert metric.name == f"{make('anomalous').name}, by kind"
    called = np.zeros(N, bool)
    for kind in CLASSES:
        own = (ROWS["kind"] == kind).to_numpy()
        called[own] = SCORES[own] >= rule(SCORES[own], TRUTH[own].astype(int)).value
    assert metric.score(ROWS, SCORES) == pytest.approx(f1_score(TRUTH, called))
    assert metric.options.resampled(ROWS, SCORES)(np.arange(N)) == metric.score(ROWS, SCORES)


def test_one_class_that_scores_higher_than_the_others_needs_a_threshold_of_its_own():
    assert metrics.f1_best("anomalous", by="kind").score(ROWS, SCORES) > metrics.f1_best("anomalous").score(
        ROWS, SCORES
    )
    with raises_code("metric_one_class", "'牙刷'"):
        metrics.f1_best("anomalous", by="kind").score(ROWS.assign(anomalous=TRUTH & (ROWS["kind"] != "牙刷")), SCORES)
