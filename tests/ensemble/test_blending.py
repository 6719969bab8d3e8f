"""Blending against scikit-learn, a grid and a literal transcription; no fold's targets reach what predicts it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from goldfold import metrics
from goldfold.cli.main import main
from goldfold.competition import Competition, Metric, Submission, Tables
from goldfold.data import fields
from goldfold.ensemble import blending
from goldfold.ensemble import members as blend_members
from goldfold.ensemble.blending import Members, MethodResult, align
from goldfold.ensemble.methods import METHODS, power_mean, rank_shares
from goldfold.ensemble.weight_search import (
    Objective,
    ensemble_selection,
    is_smooth,
    optimize_by_exchange,
    optimize_weights,
    select_from_bag,
    weighted_mean,
)
from goldfold.errors import GoldfoldError
from goldfold.experiment.workspace import Workspace
from goldfold.optional_parts import MetricOptions
from goldfold.project import Project
from goldfold.report.ensemble import blends
from goldfold.trust.comparisons import blend_protocol, comparable_metrics
from goldfold.workflows.blend import blend

RUNS = Path("runs/blobs")
LOG_LOSS, AUROC, ACCURACY = metrics.log_loss("label"), metrics.auroc("label"), metrics.accuracy("label")


def competition(metric: Metric) -> Competition:
    return Competition(
        slug="made",
        metric=metric,
        targets=("label",),
        prepare=lambda raw, public, private: None,
        load=lambda public: Tables(train=pd.DataFrame(), test=pd.DataFrame(), sample_submission=pd.DataFrame()),
        split=lambda train, seed: [],
        recipes={},
        submission=Submission(write=lambda test, predictions: test),
    )


def members(metric: Metric, rows: int = 240, runs: int = 3, folds: int = 4, seed: int = 0) -> Members:
    """Probabilities of a label by runs that see it through noise of their own, the first the clearest."""
    draw = np.random.default_rng(seed)
    label = draw.integers(0, 2, rows)
    seen = [2 * label - 1 + draw.normal(size=rows) * (1.2 + 0.4 * run) for run in range(runs)]
    return Members(
        competition=competition(metric),
        names=[f"run-r{run}" for run in range(runs)],
        rows=pd.DataFrame({"id": range(rows), "label": label}),
        fold=draw.permutation(np.arange(rows) % folds),
        oof=[1 / (1 + np.exp(-each)) for each in seen],
        test=[draw.uniform(size=5) for _ in range(runs)],
    )


def goodness(own: Members, positions: np.ndarray | None = None):
    everywhere = np.arange(len(own.rows))
    return own.task.objective.on(everywhere if positions is None else positions)


def trials(own: Members, names=tuple(METHODS)) -> list[MethodResult]:
    found = dict(blending.evaluate_methods(own, {name: METHODS[name] for name in names}))
    assert all(isinstance(each, MethodResult) for each in found.values()), found
    return list(found.values())


# what blends


def test_a_weighted_mean_is_numpys_in_whatever_chunks(monkeypatch):
    draw = np.random.default_rng(0)
    maps, weights = draw.uniform(size=(3, 7, 4, 5)).astype(np.float32), np.array([0.2, 0.5, 0.3])
    monkeypatch.setattr("goldfold.ensemble.weight_search.CHUNK", 40)
    found = weighted_mean(list(maps), weights)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.average(maps.astype(float), axis=0, weights=weights), rtol=1e-6)
    for weights in draw.dirichlet(np.ones(4), size=50):
        assert weighted_mean([np.ones(3)] * 4, weights).tolist() == [1, 1, 1]  # never above its parts


def test_records_are_blended_field_by_field_and_names_by_vote():
    runs = [
        fields.records(score=np.array([0.2, 0.4]), kind=np.array(["a", "b"]), map=np.full((2, 2, 2), 1.0)),
        fields.records(score=np.array([0.6, 0.0]), kind=np.array(["b", "c"]), map=np.full((2, 2, 2), 3.0)),
        fields.records(score=np.array([0.1, 0.8]), kind=np.array(["b", "b"]), map=np.full((2, 2, 2), 2.0)),
    ]
    found = weighted_mean(runs, np.array([0.6, 0.1, 0.3]))
    assert found["score"] == pytest.approx([0.21, 0.48])
    assert found["kind"].tolist() == ["a", "b"]
    assert found["map"] == pytest.approx(1.5)
    equal, known = weighted_mean(runs, np.full(3, 1 / 3)), fields.mean(np.stack(runs))
    assert equal["kind"].tolist() == known["kind"].tolist()
    assert equal["score"] == pytest.approx(known["score"])


def test_ranks_and_power_means_are_the_textbooks():
    values = np.array([[0.3, 0.1], [0.3, 0.9], [0.8, 0.5]])
    assert rank_shares(values)[:, 0] == pytest.approx((pd.Series(values[:, 0]).rank() - 0.5) / 3)
    assert power_mean([values, values[::-1]], 2) == pytest.approx(np.sqrt((values**2 + values[::-1] ** 2) / 2))
    assert power_mean([values, values[::-1]], 0) == pytest.approx(stats.gmean([values, values[::-1]], axis=0))
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 6))
    assert power_mean(probabilities, 0).sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(("metric", "slack"), [(LOG_LOSS, 0.0), (AUROC, 2e-4), (ACCURACY, 0.005)])
def test_weights_are_as_good_as_the_best_of_a_grid(metric, slack):
    own = members(metric)
    good = goodness(own)
    steps = range(41)
    grid = [np.array([a, b, 40 - a - b]) / 40 for a, b in product(steps, steps) if a + b <= 40]
    found = optimize_weights(good, 3)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    assert good(found) >= max(map(good, grid)) - slack
    assert is_smooth(good, np.full(3, 1 / 3)) == (metric is LOG_LOSS)


def test_gradient_and_exchange_agree_where_there_is_a_gradient():
    good = goodness(members(LOG_LOSS, runs=4))
    by_exchange = optimize_by_exchange(good, np.full(4, 0.25), 1 / 256)
    assert good(optimize_weights(good, 4)) == pytest.approx(good(by_exchange), abs=1e-5)
    assert optimize_weights(good, 4) == pytest.approx(by_exchange, abs=0.01)


def test_a_large_weight_goes_to_the_run_that_alone_is_good_and_equal_runs_keep_equal_ones():
    own = members(LOG_LOSS)
    noise = np.random.default_rng(1).uniform(0.4, 0.6, size=len(own.rows))
    perfect = np.where(own.rows["label"] == 1, 0.99, 0.01)
    objective = Objective(LOG_LOSS, own.rows, [noise, perfect])
    everywhere = objective.on(np.arange(len(own.rows)))
    assert optimize_weights(everywhere, 2) == pytest.approx([0, 1], abs=1e-6)
    assert optimize_by_exchange(everywhere, np.full(2, 0.5), 1 / 64) == pytest.approx([0, 1])
    same = Objective(AUROC, own.rows, [perfect, perfect]).on(np.arange(len(own.rows)))
    assert optimize_weights(same, 2).tolist() == [0.5, 0.5]


def caruana(own: Members, bag: tuple[int, ...], rounds: int = 20) -> np.ndarray:
    """Ensemble selection as the paper tells it: a bag of models that grows by copies, scored from its predictions."""
    metric, sign = own.competition.metric, 1 if own.competition.metric.higher_is_better else -1

    def score(ensemble: list[int]) -> float:
        total = np.zeros(len(own.rows))
        for model in ensemble:
            total = total + own.oof[model]
        return round(sign * metric.score(own.rows, total / len(ensemble)), 12)

    by_score = sorted(bag, key=lambda model: -score([model]))
    ensemble = by_score[:1]
    for many in range(2, len(bag) + 1):
        if score(by_score[:many]) > score(ensemble):
            ensemble = by_score[:many]
    best = list(ensemble)
    for _ in range(rounds):
        chosen = bag[0]
        for model in bag[1:]:
            if score([*ensemble, model]) > score([*ensemble, chosen]):
                chosen = model
        ensemble = [*ensemble, chosen]
        if score(ensemble) > score(best):
            best = list(ensemble)
    counts = Counter(best)
    return np.array([counts[model] / len(best) for model in range(len(own.oof))])


@pytest.mark.parametrize("metric", [LOG_LOSS, AUROC, ACCURACY])
def test_greedy_selection_is_the_papers(metric):
    own = members(metric, rows=120, runs=4)
    everyone = tuple(range(4))
    assert select_from_bag(goodness(own), 4, everyone) == pytest.approx(caruana(own, everyone))
    bags = list(combinations(range(4), 2))
    assert ensemble_selection(goodness(own), 4) == pytest.approx(np.mean([caruana(own, bag) for bag in bags], axis=0))


# what is learned where


def test_stacking_is_scikit_learns_over_the_same_folds():
    own = members(AUROC)
    (found,) = trials(own, ["stacking"])
    odds = np.log(np.stack(own.oof, axis=1)) - np.log1p(-np.stack(own.oof, axis=1))
    known = cross_val_predict(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        odds,
        own.rows["label"],
        cv=PredefinedSplit(own.fold),
        method="predict_proba",
    )[:, 1]
    assert found.oof == pytest.approx(known)


def test_stacking_of_class_probabilities_keeps_the_order_of_their_columns():
    own = members(metrics.log_loss("label", classes=("no", "maybe", "yes")), rows=300)
    draw = np.random.default_rng(0)
    labels = draw.choice(["no", "maybe", "yes"], 300)
    place = pd.Index(["no", "maybe", "yes"]).get_indexer(labels)
    runs = [draw.dirichlet(np.ones(3) / 2, 300) + 0.5 * np.eye(3)[place] for _ in range(2)]
    object.__setattr__(own, "rows", own.rows.assign(label=labels))
    object.__setattr__(own, "oof", [each / each.sum(axis=1, keepdims=True) for each in runs])
    for trial in trials(own):
        assert trial.oof.sum(axis=1) == pytest.approx(1)
        assert (trial.oof.argmax(axis=1) == place).mean() > 0.5, trial.method


def test_scores_that_fall_where_the_positive_class_rises_are_stacked_the_right_way_round():
    own = members(AUROC)
    object.__setattr__(own, "rows", own.rows.assign(label=np.where(own.rows["label"] == 1, "bad", "good")))
    object.__setattr__(own.competition, "metric", metrics.auroc("label", classes=("good", "bad")))
    (found,) = trials(own, ["stacking"])
    assert np.mean([scores["auroc"] for scores in found.scores.values()]) > 0.8


def test_a_number_is_stacked_by_ridge():
    own = members(metrics.rmse("label"))
    draw = np.random.default_rng(0)
    own.rows["label"] = draw.normal(10, 3, len(own.rows))
    object.__setattr__(own, "oof", [own.rows["label"].to_numpy() + draw.normal(size=len(own.rows)) for _ in range(3)])
    known = cross_val_predict(
        make_pipeline(StandardScaler(), Ridge()), np.stack(own.oof, 1), own.rows["label"], cv=PredefinedSplit(own.fold)
    )
    (found,) = trials(own, ["stacking"])
    assert found.oof == pytest.approx(known)


@pytest.mark.parametrize("metric", [LOG_LOSS, ACCURACY])
def test_no_target_of_a_fold_reaches_what_predicts_it(metric):
    own = members(metric, rows=100, folds=4)
    changed = members(metric, rows=100, folds=4)
    hidden = own.of_fold(2)
    changed.rows.loc[hidden, "label"] = 1 - changed.rows.loc[hidden, "label"]
    before, after = trials(own), trials(changed)
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one.oof[hidden], other.oof[hidden]), one.method
    whole, other = blending.choose_blend(own, before), blending.choose_blend(changed, after)
    assert whole.by_fold[2] == other.by_fold[2]
    assert np.array_equal(whole.oof[hidden], other.oof[hidden])


def test_what_noise_promises_in_sample_is_not_there_nested():
    draw, rows, runs = np.random.default_rng(3), 40, 8
    own = Members(
        competition=competition(ACCURACY),
        names=[f"noise-r{run}" for run in range(runs)],
        rows=pd.DataFrame({"label": draw.integers(0, 2, rows)}),
        fold=np.arange(rows) % 5,
        oof=list(draw.uniform(size=(runs, rows))),
        test=list(draw.uniform(size=(runs, 4))),
    )
    found = {trial.method: trial for trial in trials(own, ["mean", "weights", "greedy"])}
    in_sample = np.mean(list(found["weights"].in_sample.values()))
    nested = np.mean([scores["accuracy"] for scores in found["weights"].scores.values()])
    assert in_sample > 0.65
    assert abs(nested - 0.5) < 0.16  # two standard deviations of 40 throws
    whole = blending.choose_blend(own, list(found.values()))
    assert np.mean([scores["accuracy"] for scores in whole.scores.values()]) < 0.66


def test_the_method_is_chosen_for_each_fold_by_the_others_and_for_the_test_rows_by_all():
    own = members(LOG_LOSS, rows=120)
    found = trials(own, ["mean", "rank_mean", "greedy"])
    whole = blending.choose_blend(own, found)
    means = {trial.method: np.mean([scores["log_loss"] for scores in trial.scores.values()]) for trial in found}
    assert whole.method == min(means, key=means.get)
    for k in own.folds:
        inner = {}
        for trial in found:
            learn, scores = METHODS[trial.method].learn, []
            for j in (fold for fold in own.folds if fold != k):
                at = own.of_fold(j)
                blender = learn(own.task, own.outside(j, k))
                scores.append(LOG_LOSS.score(own.rows.iloc[at], blender.apply([each[at] for each in own.oof])))
            inner[trial.method] = np.mean(scores)
        assert whole.by_fold[k] == min(inner, key=inner.get)
    final = next(trial for trial in found if trial.method == whole.method)
    assert np.array_equal(whole.test, final.blenders[None].apply(own.test))


def test_a_run_is_picked_for_a_fold_by_the_other_folds():
    own = members(LOG_LOSS, folds=3, runs=2)
    scores = [{0: 0.1, 1: 0.5, 2: 0.5}, {0: 0.9, 1: 0.4, 2: 0.4}]  # the first wins by fold 0 alone
    assert blending.best_on_other_folds(own, scores) == {0: 1, 1: 0, 2: 0}


def test_errors_are_correlated_as_numpy_does():
    own = members(LOG_LOSS)
    what, found = blending.error_correlations(own)
    wrong = [np.abs(own.rows["label"].to_numpy() - each) for each in own.oof]
    assert what == "errors of rows"
    assert found == pytest.approx(np.corrcoef(wrong))


def test_the_exponent_is_the_best_of_those_tried():
    own = members(LOG_LOSS)
    blender = METHODS["power_mean"].learn(own.task, np.arange(len(own.rows)))
    losses = {p: LOG_LOSS.score(own.rows, power_mean(own.oof, p)) for p in (0, 0.5, 1, 2, 4, 8)}
    assert blender.description == f"p = {min(losses, key=losses.get):g}"
    assert LOG_LOSS.score(own.rows, blender.apply(own.oof)) == pytest.approx(min(losses.values()))


def test_with_two_folds_nothing_is_left_to_choose_a_method_by():
    own = members(LOG_LOSS, folds=2)
    whole = blending.choose_blend(own, trials(own))
    assert (whole.method, set(whole.by_fold.values())) == ("mean", {"mean"})


def test_what_fits_no_map_is_left_out_with_a_reason():
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({"label": draw.integers(0, 2, 12)})

    def by_row(rows: pd.DataFrame, maps: np.ndarray) -> np.ndarray:
        return np.abs(maps.mean(axis=(1, 2)) - rows["label"].to_numpy())

    score = Metric(
        name="error",
        score=lambda rows, maps: float(by_row(rows, maps).mean()),
        higher_is_better=False,
        bounds=(0, 1),
        chance=lambda rows: 0.5,
        options=MetricOptions(per_row=by_row),
    )
    maps = [draw.uniform(size=(12, 3, 3)), np.tile(rows["label"].to_numpy()[:, None, None], (1, 3, 3)) * 0.9]
    own = Members(
        competition=competition(score), names=["a", "b"], rows=rows, fold=np.arange(12) % 3, oof=maps, test=maps
    )
    found = dict(blending.evaluate_methods(own, METHODS))
    assert {name for name, each in found.items() if isinstance(each, MethodResult)} == {"mean", "weights"}
    assert "takes too long for maps" in found["greedy"]
    assert found["weights"].blenders[None].weights.tolist() == [0, 1]


def test_records_are_weighed_by_what_the_metric_reads_of_them():
    plain = members(AUROC)
    maps = [np.full((len(plain.rows), 2, 2), float(run)) for run in range(3)]
    own = members(AUROC)
    records = [fields.records(score=score, row=each[:, 0]) for score, each in zip(plain.oof, maps, strict=True)]
    object.__setattr__(own, "oof", records)
    found, known = dict(blending.evaluate_methods(own, METHODS)), dict(blending.evaluate_methods(plain, METHODS))
    for name in ("mean", "weights", "greedy"):
        assert np.array_equal(found[name].oof["score"], known[name].oof)
        weights = found[name].blenders[0].weights
        assert found[name].oof["row"][own.of_fold(0)] == pytest.approx(weights @ [0, 1, 2])
    for name in ("rank_mean", "power_mean", "stacking"):
        assert "these are records" in found[name]


def test_rows_are_found_by_their_ids():
    values = np.arange(4.0)
    assert align(values, ["d", "a", "c", "b"], ["a", "b", "c", "d"], "oof.npy").tolist() == [1, 3, 2, 0]
    for ids in (["a", "b", "c"], ["a", "b", "c", "c"], ["a", "b", "c", "x"]):
        with pytest.raises(GoldfoldError) as error:
            align(values, ids, ["a", "b", "c", "d"], "oof.npy")
        assert error.value.code == "ids_not_aligned"
        assert "oof.npy" in str(error.value)


# the command


def train(config: str, *overrides: str, comp: str = "blobs") -> None:
    main(["train", "--comp", comp, "--config", config, "--quiet", *overrides])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that trains leaves its runs for the others."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def three(toy: Path, kept: Path, capsys: pytest.CaptureFixture) -> list[str]:
    """Three runs of two recipes; one of them twice, with other seeds."""
    if (kept / "runs").exists():
        shutil.copytree(kept, toy, dirs_exist_ok=True)
    else:
        train("estimator")
        train("perceptron")
        train("perceptron", "seeds=[1,2]")
        for part in ("runs", "data", "submissions"):
            shutil.copytree(toy / part, kept / part)
    capsys.readouterr()
    return ["estimator-r1", "perceptron-r1", "perceptron-r2"]


def read(run: str, name: str):
    return json.loads((RUNS / run / name).read_text(encoding="utf-8"))


def test_a_blend_is_a_run_like_any_other(three, capsys):
    main(["blend", *three, "--quiet"])
    told = capsys.readouterr().out
    run = Project(quiet=True).run("blend-r1", finished=True)
    folder = run.folder
    assert folder == RUNS / "blend-r1"
    assert told.startswith(f"run {folder}: blend of estimator-r1, perceptron-r1, perceptron-r2\n\nThe blend ")
    facts, own = read("blend-r1", "blend.json"), read("blend-r1", "metrics.json")["auroc"]
    assert "best single run" in told
    assert set(facts["methods"]) == set(METHODS)
    assert own["mean"] == pytest.approx(facts["blend"]["mean"])
    assert own["protocol"] == "auroc, out of fold, 3 of 3 folds drawn with seed 0, blend of 3 runs"
    assert facts["runs"]["estimator-r1"]["mean"] == pytest.approx(read("estimator-r1", "metrics.json")["auroc"]["mean"])
    assert json.loads(Path("submissions/blobs/blend-r1.csv.json").read_text())["cv"]["mean"] == own["mean"]
    before = run.record
    hidden = run.grade()
    page = run.record
    assert "## Blend" in before
    assert "![Scores of the runs and of each blending method" in before
    assert f"On the hidden test labels: **{hidden:.4f}**" in page
    assert (folder / "blend.png").read_bytes().startswith(b"\x89PNG")
    assert run.submission["label"].astype(float).to_numpy() == pytest.approx(run.test["prediction"])
    with pytest.raises(GoldfoldError) as refused:
        run.pick(1)
    assert refused.value.code == "no_epochs"


def test_a_blend_is_scored_and_compared_by_the_commands(three, capsys):
    blend(Workspace(), three)
    main(["score", "--run", "blend-r1"])
    main(["compare", "blend-r1", "perceptron-r2", "estimator-r1"])
    assert "blend-r1" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["epochs", "--run", "blend-r1"])
    assert "trained nothing by epochs" in capsys.readouterr().err


def test_a_blend_can_be_blended_and_a_method_named(three):
    first = blend(Workspace(), three[:2], "mean")
    parts = [np.load(RUNS / name / "oof.npy") for name in three[:2]]
    assert np.load(first / "oof.npy") == pytest.approx(np.mean(parts, axis=0))
    parts = [np.load(RUNS / name / "test.npy") for name in three[:2]]
    assert np.load(first / "test.npy") == pytest.approx(np.mean(parts, axis=0))
    second = blend(Workspace(), ["blend-r1", three[2]], "rank_mean")
    assert read(second.name, "config.json")["runs"] == ["blend-r1", "perceptron-r2"]
    with pytest.raises(GoldfoldError, match="did you mean 'rank_mean'") as refused:
        blend(Workspace(), three, "rank-mean")
    assert refused.value.code == "unknown_method"


def test_the_order_of_rows_in_a_run_is_of_no_consequence(three):
    blend(Workspace(), three)
    shuffle(RUNS / three[1])
    blend(Workspace(), three)
    for name in ("oof.npy", "test.npy", "metrics.json", "blend.json", "oof_ids.csv"):
        assert (RUNS / "blend-r1" / name).read_bytes() == (RUNS / "blend-r2" / name).read_bytes(), name


def test_runs_of_two_folds_are_blended_by_the_mean(toy):
    train("estimator", "folds=[0,2]")
    train("estimator", "folds=[0,2]", "strength=0.01")
    folder = blend(Workspace(), ["estimator-r1", "estimator-r2"])
    assert (read(folder.name, "blend.json")["too_few_folds"], read(folder.name, "blend.json")["method"]) == (
        True,
        "mean",
    )
    assert "Two folds are too few to choose a method by: it is mean" in blends.section(folder)
    assert list(read(folder.name, "metrics.json")["auroc"]["folds"]) == ["0", "2"]
    parts = [np.load(RUNS / name / "oof.npy") for name in ("estimator-r1", "estimator-r2")]
    assert np.load(folder / "oof.npy") == pytest.approx(np.mean(parts, axis=0))


def shuffle(run: Path) -> None:
    """Another order of rows in everything a run keeps of them."""
    draw = np.random.default_rng(0)
    (run / "manifest.json").unlink()
    for side in ("oof", "test"):
        predictions, ids = np.load(run / f"{side}.npy"), pd.read_csv(run / f"{side}_ids.csv", dtype=str)
        order = draw.permutation(len(ids))
        np.save(run / f"{side}.npy", predictions[order])
        ids.iloc[order].to_csv(run / f"{side}_ids.csv", index=False)
    pd.read_csv(run / "folds.csv", dtype=str).sample(frac=1, random_state=0).to_csv(run / "folds.csv", index=False)


def test_runs_that_do_not_belong_together_are_refused(three):
    train("estimator", "seed=1")
    train("estimator", "folds=[0,1]")
    train("estimator", "folds=[1,2]")
    train("estimator", "accept=[x]")
    train("estimator", "folds=[1]")
    train("perceptron", "folds=[1]")
    train("two_stage", comp="neighbors")
    train("two_stage", "epochs_metric=4", comp="neighbors")
    refusals = {
        ("estimator-r1",): ("too_few_runs", "blobs/estimator-r1"),
        ("estimator-r1", "blobs/estimator-r1"): ("too_few_runs", "blobs/estimator-r1"),
        ("estimator-r1", "two_stage-r1"): ("several_competitions", "neighbors/two_stage-r1"),
        ("estimator-r1", "estimator-r2"): (None, 'different folds.*CONFIG=estimator SET="seed=0" does'),
        ("estimator-r3", "estimator-r4"): (
            None,
            r'scored folds 1, 2 and estimator-r3 folds 0, 1.*SET="folds=\[0,1\]" does',
        ),
        ("estimator-r1", "estimator-r5"): ("equal_predictions", "estimator-r5.*estimator-r1"),
        ("two_stage-r1", "two_stage-r2"): ("predictions_not_pooled", "two_stage-r1"),
        ("estimator-r6", "perceptron-r3"): ("too_few_folds", "have fold 1 alone"),
        ("estimator-r1", "nobody"): (None, "there is no run 'nobody'"),
    }
    for names, (code, told) in refusals.items():
        with pytest.raises(GoldfoldError, match=told) as refused:
            blend(Workspace(), names)
        assert code in (None, refused.value.code)
    assert not list(Path("runs").glob("*/blend-r*"))


def damaged(run: Path, what: str) -> None:
    (run / "manifest.json").unlink()
    oof = np.load(run / "oof.npy")
    if what == "shape":
        np.save(run / "oof.npy", np.stack([1 - oof, oof], axis=1))
    elif what == "ids":
        (run / "oof_ids.csv").write_text((run / "oof_ids.csv").read_text().replace("点7\n", "点8\n"))
    elif what == "rule":
        finding = {"code": "rule_broken", "level": "error", "message": "two models", "where": "config"}
        (run / "findings.json").write_text(json.dumps([finding]))
    elif what == "unfinished":
        (run / "record.md").unlink()
    else:
        facts = read(run.name, "reproduce.json")
        (run / "reproduce.json").write_text(json.dumps({**facts, "data_hash": "another"}))


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("shape", r"predicts floats \(n, 2\) and estimator-r1 floats \(n\)"),
        ("ids", "each row of its folds once"),
        ("rule", "breaks a rule"),
        ("unfinished", "is not finished"),
        ("data", "trained on other data"),
    ],
)
def test_a_run_that_is_not_whole_is_refused(three, what, told):
    damaged(RUNS / "perceptron-r1", what)
    with pytest.raises(GoldfoldError, match=told):
        blend(Workspace(), three[:2])


def test_findings_of_the_runs_are_findings_of_the_blend(three):
    finding = {"code": "shared_groups", "level": "error", "message": "a patient on both sides", "where": "fold 0"}
    (RUNS / three[0] / "manifest.json").unlink()
    (RUNS / three[0] / "findings.json").write_text(json.dumps([finding]))
    folder = blend(Workspace(), three, "mean")
    found = {each["code"]: each for each in read(folder.name, "findings.json")}
    assert found["shared_groups"]["where"] == "estimator-r1, fold 0"
    assert read(folder.name, "config.json")["accept"] == ["shared_groups"]


def test_an_interrupted_blend_is_taken_up_again(three):
    folder = blend(Workspace(), three, "mean")
    (folder / "record.md").unlink()
    shutil.rmtree(folder / "fold0-seed0")
    assert blend(Workspace(), three, "mean") == folder
    assert blend(Workspace(), three, "mean") == RUNS / "blend-r2"


def page(blend: list[float], higher_is_better: bool) -> dict:
    """The facts of a blend of two runs, the second the better one, that score 0.5 and more."""

    def summary(folds: list[float], **more) -> dict:
        return {"folds": {str(at): value for at, value in enumerate(folds)}, "mean": float(np.mean(folds)), **more}

    worse, best = ([0.50, 0.51, 0.50], [0.60, 0.62, 0.61])[:: 1 if higher_is_better else -1]
    return {
        "metric": "m",
        "higher_is_better": higher_is_better,
        "runs": {"a": summary(worse), "b": summary(best)},
        "best_run": "b",
        "best_elsewhere": summary(best),
        "methods": {"mean": summary(blend, in_sample=float(np.mean(blend)) + 0.01, weights=None, told="")},
        "left_out": {},
        "named": True,
        "method": "mean",
        "blend": summary(blend),
        "correlations": None,
    }


@pytest.mark.parametrize(
    ("scores", "higher_is_better", "better"),
    [
        ([0.70, 0.72, 0.71], True, True),
        ([0.70, 0.60, 0.61], True, None),
        ([0.55, 0.55, 0.55], True, False),
        ([0.40, 0.41, 0.40], False, True),
        ([0.30, 0.50, 0.51], False, None),
        ([0.70, 0.72, 0.71], False, False),
    ],
)
def test_the_page_says_whether_the_blend_pays(scores, higher_is_better, better):
    facts = page(scores, higher_is_better)
    assert blends.beats(facts) is better
    words = {True: "beats", False: "does not beat", None: "is not shown to beat"}[better]
    assert f"The blend {words} the best single run" in blends.told(facts)
    assert ("+0.0100" if higher_is_better else "-0.0100") in blends.scores(facts).split("mean ")[-1]


def test_a_blend_stands_beside_runs_with_any_number_of_seeds():
    def run(protocol: str, folds: tuple[str, ...] = ("0", "1")) -> dict:
        return {"auroc": {"protocol": protocol, "folds": dict.fromkeys(folds, 0.9)}}

    head = "auroc, out of fold, 2 of 3 folds drawn with seed 0"
    one, three = f"{head}, 1 seed a fold, last epoch", f"{head}, 3 seeds a fold"
    both = blend_protocol(one, 2)
    assert both == f"{head}, blend of 2 runs" == blend_protocol(blend_protocol(three, 5), 2)
    assert comparable_metrics(["a", "b", "c"], [run(both), run(one), run(three)], ["", "", ""]) == ["auroc"]
    with pytest.raises(GoldfoldError) as error:
        comparable_metrics(["a", "b"], [run(one), run(three)], ["", ""])
    assert error.value.code == "different_protocols"
    assert comparable_metrics(["a", "b"], [run(one), run(three)], ["", ""], may_differ=("seeds",)) == ["auroc"]
    best = f"{one.removesuffix(', last epoch')}, best epoch on the scored fold"
    with pytest.raises(GoldfoldError) as error:
        comparable_metrics(["a", "b"], [run(one), run(best)], ["", ""], may_differ=("seeds",))
    assert error.value.code == "different_protocols"
    assert blend_protocol(best, 2).endswith("blend of 2 runs, best epoch on the scored fold")
    with pytest.raises(GoldfoldError) as error:
        comparable_metrics(["a", "b"], [run(one), run(one, ("1", "2"))], ["", ""])
    assert error.value.code == "different_scored_folds"
    assert "b scored folds 1, 2 and a folds 0, 1" in str(error.value)
    assert comparable_metrics(["a", "b"], [run(one), run(one)], ["id,fold\n1,0\n2,1\n", "id,fold\n2,1\n1,0\n"]) == [
        "auroc"
    ]


def test_a_score_beside_other_things_is_blended_with_scores_alone():
    """A run whose records hold a score and a map, and one that predicts scores: the scores of both."""
    score = np.array([0.1, 0.9], np.float32)
    both = fields.records(score=score, map=np.zeros((2, 3, 3)))
    found = blend_members.alike([both, score.astype(float)])
    assert [each.dtype.names for each in found] == [None, None]
    np.testing.assert_array_equal(found[0], score)
    kept = blend_members.alike([both, both])
    assert all(each is both for each in kept)
    other = fields.records(map=np.zeros((2, 3, 3)))
    assert blend_members.alike([other, score])[0] is other
