"""The recipe on small made recordings: its two stages, what stays frozen, what it watches, and what it refuses."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from sklearn.metrics import average_precision_score
from torch import nn

from goldfold.competition import Competition, Fold, Metric, Plan, Runtime, Submission, Tables
from goldfold.errors import GoldfoldError
from goldfold.experiment.config import resolve_config
from goldfold.experiment.cross_validation import cross_validate
from goldfold.experiment.fits import Experiment, Protocol
from goldfold.images import reading as images
from goldfold.io.progress import EpochProgress
from goldfold.nn import collapse
from goldfold.recipes import embedder
from goldfold.retrieval import losses as metric_losses
from goldfold.retrieval.cosines import normalize
from goldfold.training.loop import train
from goldfold.training.predictor import finish_plan
from goldfold.training.settings import LoopOptions

CPU = torch.device("cpu")
KINDS = ("横", "quer", "längs", "dots")


def picture(number: int, kind: int) -> np.ndarray:
    """Stripes or waves of 28 x 36 pixels whose phase moves with the number."""
    y, x = np.mgrid[:28, :36] / 3.0
    waves = (np.sin(y + number), np.sin(x + number), np.sin(x + y + number), np.sin(x + number) * np.sin(y))[kind]
    shown = 127 + 90 * waves[..., None] * (1, 0.7, 0.5)
    return np.clip(shown + np.random.default_rng(number).normal(0, 6, shown.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> pd.DataFrame:
    """Forty pictures of four kinds, two recordings of twenty frames, two categories."""
    folder = tmp_path_factory.mktemp("画像")
    table = []
    for number in range(40):
        kind = number % 4
        path = folder / f"{number:02d} é.png"
        cv2.imencode(".png", picture(number, kind))[1].tofile(path)
        table.append(
            {"id": f"f{number}", "path": path, "kind": KINDS[kind], "of": kind // 2, "film": number // 20, "t": number}
        )
    return pd.DataFrame(table)


class Small(nn.Module):
    """Sixteen features; its BatchNorm tells whether it was in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 5, 2)
        self.norm = nn.BatchNorm2d(16)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(pixels)).relu().mean((2, 3))


SMALL = {
    "image_size": 16,
    "projector_dim": 24,
    "simsiam_batch_size": 16,
    "metric_batch_size": 16,
    "simsiam_epochs": 0,
    "metric_epochs": 0,
    "metric_learning_rate": 1e-2,
}
RECIPE = embedder.recipe("kind", sequence="film", time="t", category="of", network=Small, **SMALL)


def planned(rows: pd.DataFrame, folder: Path, recipe=RECIPE, workers: int = 0, seed: int = 0, **given) -> Plan:
    torch.manual_seed(seed)
    return recipe.build(recipe.params(**given), rows, Runtime(seed=seed, device=CPU, cache=folder, workers=workers))


def fitted(plan: Plan, **given):
    return train(plan, loop=LoopOptions(), device=CPU, validate=lambda model, last: {"none": 0.0}, **given)


def predicted(plan: Plan, rows: pd.DataFrame) -> np.ndarray:
    return finish_plan(plan, plan.model, ("kind",), "float32")(rows)


def copied(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def mean_average_precision(rows: pd.DataFrame, embeddings: np.ndarray) -> float:
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    right = rows["kind"].to_numpy()[:, None] == rows["kind"].to_numpy()
    others = ~np.eye(len(rows), dtype=bool)
    found = [average_precision_score(right[k][others[k]], (units @ units[k])[others[k]]) for k in range(len(rows))]
    return float(np.mean(found))


@pytest.mark.parametrize("loss", ["fastap", "triplet", "contrastive", "arcface", "multi_similarity"])
def test_a_metric_loss_brings_equal_labels_together(rows, tmp_path, loss):
    plan = planned(rows, tmp_path, metric_epochs=8, metric_loss=loss, metric_augmentation="none")
    before = mean_average_precision(rows, predicted(plan, rows))
    history, facts = fitted(plan)
    after = mean_average_precision(rows, predicted(plan, rows))
    assert before < 0.95 < 0.99 < after
    assert list(history[0]["loss"]) == [loss]
    assert history[-1]["loss"][loss] < history[0]["loss"][loss]
    assert set(facts["metric"]["trainable"]) == set(facts["metric"]["held"])
    assert any("metric" in name for name in facts["metric"]["held"]) == (loss == "arcface")
    assert facts["metric"]["without_gradient"] == []


def test_both_stages_follow_each_other_and_each_trains_its_parts(rows, tmp_path):
    plan = planned(rows, tmp_path, simsiam_epochs=2, metric_epochs=1, embedding="projector", freeze_backbone=True)
    trained = {}

    def observe(progress: EpochProgress) -> None:
        if progress.row and progress.row["stage"] == "simsiam":
            trained.update({part: copied(getattr(plan.model, part)) for part in ("backbone", "projector", "predictor")})

    start = copied(plan.model.backbone)
    history, facts = fitted(plan, observe=observe)
    assert [row["stage"] for row in history] == ["simsiam", "simsiam", "metric"]
    assert not torch.equal(trained["backbone"]["conv.weight"], start["conv.weight"])
    assert_same(copied(plan.model.backbone), trained["backbone"])  # statistics of BatchNorm too
    assert_same(copied(plan.model.predictor), trained["predictor"])
    assert not torch.equal(plan.model.projector[0].weight, trained["projector"]["0.weight"])
    assert not torch.equal(plan.model.projector[1].running_mean, trained["projector"]["1.running_mean"])
    assert {name for stage in facts.values() for name in stage["held"]} == set(facts["simsiam"]["trainable"])
    assert predicted(plan, rows).shape == (40, 24)


def test_a_frozen_projector_is_passed_and_kept(rows, tmp_path):
    plan = planned(rows, tmp_path, simsiam_epochs=1, metric_epochs=1, embedding="projector", freeze_projector=True)
    kept = {}

    def observe(progress: EpochProgress) -> None:
        if progress.row and progress.row["stage"] == "simsiam":
            kept.update(projector=copied(plan.model.projector), backbone=copied(plan.model.backbone))

    fitted(plan, observe=observe)
    assert_same(copied(plan.model.projector), kept["projector"])
    _, facts = fitted(planned(rows, tmp_path, metric_epochs=1, embedding="projector", freeze_projector=True))
    assert facts["metric"]["trainable"] == facts["metric"]["held"]  # what no stage trains says so
    assert not torch.equal(plan.model.backbone.conv.weight, kept["backbone"]["conv.weight"])


def test_simsiam_alone_needs_no_labels_and_embeds_by_its_backbone(rows, tmp_path):
    recipe = embedder.recipe(network=Small, **SMALL)
    plan = planned(rows.drop(columns="kind"), tmp_path, recipe, simsiam_epochs=2)
    history, facts = fitted(plan)
    assert [list(row["loss"]) for row in history] == [["simsiam"]] * 2
    assert -1 <= history[-1]["loss"]["simsiam"] <= 1
    assert predicted(plan, rows).shape == (40, 16)
    assert facts["simsiam"]["rates"]["configured"] == [0.05 * 16 / 256] * 2


def test_the_predictors_rate_stays_where_the_others_fall_over_the_planned_epochs(rows, tmp_path):
    for given, lowest in (({}, [0.5, 1.0]), ({"fixed_predictor_rate": False}, [0.5, 0.5])):
        plan = planned(rows, tmp_path, simsiam_epochs=2, simsiam_learning_rate=0.1, **given)
        _, facts = fitted(plan)
        assert np.allclose(facts["simsiam"]["rates"]["final"], 0.1 * np.array(lowest))
    plan = planned(rows, tmp_path, simsiam_epochs=2, simsiam_learning_rate=0.1, simsiam_schedule_epochs=8)
    _, facts = fitted(plan)
    assert facts["simsiam"]["rates"]["final"][0] == pytest.approx(0.1 * (1 + np.cos(np.pi / 8)) / 2)


def test_without_stages_nothing_is_trained_and_embeddings_are_the_networks(rows, tmp_path):
    plan = planned(rows, tmp_path)
    assert list(plan.stages) == []
    found = predicted(plan, rows)
    pixels = torch.from_numpy(images.load_resized(rows["path"], 16)).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        expected = plan.model.backbone.eval()(pixels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert plan.model.projector is plan.model.predictor is plan.model.metric is None


def test_features_of_a_pretrained_backbone_that_never_changes_are_computed_once(rows, tmp_path):
    recipe = embedder.recipe("kind", backbone="efficientnet_lite0", **{**SMALL, "image_size": 32})
    given = {"metric_epochs": 2, "embedding": "projector", "freeze_backbone": True, "metric_augmentation": "none"}
    plan = planned(rows, tmp_path, recipe, **given)
    kept = copied(plan.model.backbone)
    _, facts = fitted(plan)
    found = predicted(plan, rows)
    assert facts["metric"]["trainable"] == facts["metric"]["held"]
    assert_same(copied(plan.model.backbone), kept)
    shards = list(tmp_path.glob("features/*/*.npz"))
    assert sum(len(np.load(path)["names"]) for path in shards) == 40
    with torch.no_grad():
        straight = plan.model(torch.from_numpy(images.load_resized(rows["path"], 32))).numpy()
    np.testing.assert_allclose(found, straight, rtol=1e-3, atol=1e-3)


def test_the_temporal_term_is_of_frames_of_the_same_recording(rows, tmp_path):
    plan = planned(rows, tmp_path, simsiam_epochs=1, simsiam_batch_size=40, temporal_weight=0.2, temporal_step=2)
    ((first, _, ahead, known),) = plan.stages[0].batches(0)
    calm = {"crop": 1.0, "strength": 0.0, "flip": False, "simsiam_batch_size": 40, "temporal_step": 2}
    calm_plan = planned(rows, tmp_path, simsiam_epochs=1, temporal_weight=0.2, **calm)
    here, _, later, followed = next(iter(calm_plan.stages[0].batches(0)))
    pixels = images.load_resized(rows["path"], 16).reshape(40, -1).astype(float)
    at, after = (np.linalg.norm(view.numpy().reshape(-1, 1, 768) - pixels, axis=2).argmin(1) for view in (here, later))
    assert np.array_equal(after - at, np.where(followed, 2, 0))
    assert np.array_equal(followed, at % 20 < 18)
    assert known.sum() == 36  # the last two frames of either recording are followed by none
    history, _ = fitted(plan)
    assert set(history[0]["loss"]) == {"simsiam", "temporal"}
    assert [part.requires_grad for part in plan.model(first, first, ahead)[2:]] == [False]
    assert 0 < abs(history[0]["loss"]["temporal"]) < 0.2
    assert first.shape == ahead.shape == (40, 16, 16, 3)
    with pytest.raises(GoldfoldError, match="has another one 100 later"):
        planned(rows, tmp_path, simsiam_epochs=1, temporal_weight=0.2, temporal_step=100)


@pytest.mark.parametrize(
    "given", [{"simsiam_epochs": 1}, {"metric_epochs": 1}, {"metric_epochs": 1, "labels": "views"}]
)
@pytest.mark.parametrize("change", [{"workers": 2}, {"memory": 0.0}])
def test_batches_depend_on_seed_and_epoch_alone(rows, tmp_path, given, change):
    def batch(epoch: int, seed: int = 0, **more) -> list[torch.Tensor]:
        return list(next(iter(planned(rows, tmp_path, seed=seed, **given, **more).stages[0].batches(epoch))))

    first, other = batch(0), batch(0, **change)
    assert all(torch.equal(one, two) for one, two in zip(first, other, strict=True))
    assert not torch.equal(first[0], batch(1)[0])
    assert not torch.equal(first[0], batch(0, seed=1)[0])
    if first[1].ndim == 4:
        assert not torch.equal(first[0], first[1])


def test_an_image_that_a_sampler_draws_again_in_an_epoch_has_another_view(rows, tmp_path):
    few = pd.concat([rows[rows["kind"] == kind][:count] for kind, count in zip(KINDS, (10, 2, 2), strict=False)])
    given = {"metric_epochs": 1, "sampler": "m_per_class", "m_per_class": 2, "metric_batch_size": 4}

    def views(workers: int) -> torch.Tensor:
        stage = planned(few.reset_index(drop=True), tmp_path, workers=workers, **given).stages[0]
        return torch.cat([batch[0] for epoch in (0, 1) for batch in stage.batches(epoch)])

    found = views(0)
    assert len(found.flatten(1).unique(dim=0)) == len(found)
    assert torch.equal(found, views(2))


def test_views_of_one_image_are_right_for_one_another(rows, tmp_path):
    plan = planned(rows, tmp_path, metric_epochs=1, labels="views")
    stage = plan.stages[0]
    batch = next(iter(stage.batches(0)))
    assert batch[0].shape == batch[1].shape == (8, 16, 16, 3)  # a batch of 16 embeddings
    plan.model.eval()
    with torch.no_grad():
        found = stage.losses(plan.model, batch)["fastap"]
        embeddings = torch.cat([plan.model(view) for view in batch])
        expected = metric_losses.create("fastap")(embeddings, torch.arange(8).repeat(2))
    assert found == pytest.approx(expected.item(), abs=1e-6)


def test_a_neighbor_may_be_the_second_view_and_no_other_neighbor_is_in_the_batch(rows, tmp_path):
    recipe = embedder.recipe(sequence="film", time="t", network=Small, **SMALL)
    given = {"metric_epochs": 1, "neighbors": 1, "crop": 1.0, "strength": 0.0, "flip": False, "metric_batch_size": 8}
    plan = planned(rows, tmp_path, recipe, **given)
    pixels = images.load_resized(rows["path"], 16).reshape(40, -1).astype(float)
    moved: dict[int, set[int]] = {}
    for first, second in chain.from_iterable(map(plan.stages[0].batches, range(8))):
        a, b = (np.linalg.norm(view.numpy().reshape(-1, 1, 768) - pixels, axis=2).argmin(1) for view in (first, second))
        assert (np.abs(a - b) <= 1).all()
        assert (a // 20 == b // 20).all()
        together = (np.abs(a[:, None] - a) <= 2) & (a[:, None] // 20 == a // 20)
        assert together.sum() == len(a)
        for one, other in zip(a, b, strict=True):
            moved.setdefault(one, set()).add(other - one)
    assert set().union(*moved.values()) == {-1, 0, 1}
    assert np.mean([len(each) > 1 for each in moved.values()]) > 0.8  # another one in another epoch


@pytest.mark.parametrize(
    "given",
    [
        {"labels": "views", "bins": 100, "kernel": "gaussian"},
        {"sampler": "m_per_class"},
        {"sampler": "two_category"},
        {"metric_loss": "arcface"},
        {"metric_loss": "triplet", "miner": "semihard"},
    ],
)
def test_an_unlearned_metric_loss_is_that_of_random_embeddings(rows, tmp_path, given):
    plan = planned(rows, tmp_path, metric_epochs=1, **given)
    stage = plan.stages[0]
    (name,), (found,) = zip(*stage.untrained_loss(plan.model).items(), strict=True)
    draw, labels = torch.Generator().manual_seed(9), []
    for batch in stage.batches(0):
        labels.append(torch.arange(len(batch[0])).repeat(2) if batch[1].ndim == 4 else batch[1])
    epochs = []
    for _ in range(60):
        each = [plan.model.metric(torch.randn(len(some), 16, generator=draw), some) for some in labels]
        epochs.append(torch.stack(each).mean().item())
    assert name == given.get("metric_loss", "fastap")
    assert abs(found.value - np.mean(epochs)) < 3 * np.hypot(found.sd, np.std(epochs) / 60**0.5)
    assert 0.5 < found.sd / np.std(epochs) < 2


def test_an_unlearned_simsiam_is_the_network_as_it_was_built(rows, tmp_path):
    plan = planned(rows, tmp_path, simsiam_epochs=1)
    stage, kept = plan.stages[0], copied(plan.model)
    found = stage.untrained_loss(plan.model.train())["simsiam"]
    plan.model.load_state_dict(kept)
    with torch.no_grad():
        epochs = [list(stage.batches(epoch)) for epoch in (0, 1)]
        values = [stage.losses(plan.model.train(), batch)["simsiam"].item() for epoch in epochs for batch in epoch]
    assert len(values) == 4
    assert found.value == pytest.approx(np.mean(values), abs=1e-5)
    assert found.sd == pytest.approx(np.std(values, ddof=1) / 2**0.5, rel=1e-3)


def test_what_is_watched_agrees_with_its_brick_and_a_collapsed_network_rings_the_alarm(rows, tmp_path):
    plan = planned(rows, tmp_path, simsiam_epochs=1)
    history, _ = fitted(plan)
    watched, seen = history[0]["monitored"], collapse.measure_features(predicted(plan, rows))
    assert watched["spread_to_isotropic"]["value"] == pytest.approx(seen.spread / seen.isotropic, rel=1e-4)
    assert watched["effective_rank"]["value"] == pytest.approx(seen.effective_rank, rel=1e-4)
    assert watched["median_cosine"]["value"] == pytest.approx(seen.median_cosine, rel=1e-4)
    assert {value["higher_is_better"] for value in watched.values()} == {None}
    with torch.no_grad():
        plan.model.backbone.norm.weight *= 1e-3
        plan.model.backbone.norm.bias.fill_(1)
    assert plan.monitor(plan.model.eval())["spread_to_isotropic"].alarm == "one point"


def test_pictures_are_the_four_nearest_training_images_and_never_the_row_itself(rows, tmp_path):
    plan = planned(rows, tmp_path)
    predict = finish_plan(plan, plan.model, ("kind",), "float32")
    shown = predict.pictures(rows.iloc[[3, 17]])["nearest"]
    assert shown.shape == (2, 32, 32, 3)
    units = normalize(predict(rows))
    pixels = images.load_resized(rows["path"], 16) / 255
    for at, row in enumerate((3, 17)):
        cosines = units @ units[row]
        cosines[row] = -2
        one, two, three, four = pixels[np.argsort(-cosines)[:4]]
        np.testing.assert_allclose(shown[at], np.block([[[one], [two]], [[three], [four]]]), atol=1e-6)


def test_grey_images_pass_both_stages(rows, tmp_path):
    class Grey(Small):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 16, 5, 2)

    recipe = embedder.recipe("kind", network=Grey, gray=True, **SMALL)
    plan = planned(rows, tmp_path, recipe, simsiam_epochs=1, metric_epochs=1)
    fitted(plan)
    assert predicted(plan, rows).shape == (40, 16)
    assert next(iter(plan.stages[0].batches(0)))[0].shape == (16, 16, 16, 1)
    assert plan.pictures(plan.model, None, rows[:2])["nearest"].shape == (2, 32, 32, 3)


def test_pseudo_labels_take_the_place_of_labels(rows, tmp_path):
    reference = str(rows["path"][2])
    given = {"metric_epochs": 1, "labels": "pseudo", "reference": reference, "metric_augmentation": "none"}
    plan = planned(rows, tmp_path, **given, motion_percentile=60, stable_frames=1, metric_batch_size=40)
    ((_, labels),) = plan.stages[0].batches(0)
    assert 0 < labels.sum() < 30
    with pytest.raises(GoldfoldError, match="has no columns for sequence and time"):
        planned(rows, tmp_path, embedder.recipe("kind", network=Small, **SMALL), **given)


def chance(rows: pd.DataFrame) -> float:
    return 0.25


def score(rows: pd.DataFrame, embeddings: np.ndarray) -> float:
    return mean_average_precision(rows, embeddings)


def experiment(rows: pd.DataFrame, folder: Path) -> Experiment:
    even, odd = np.arange(0, 40, 8), np.setdiff1d(np.arange(40), np.arange(0, 40, 8))
    tables = Tables(train=rows, test=rows[["id", "path", "film", "t", "of"]][:6], sample_submission=rows[["id"]])
    competition = Competition(
        slug="made",
        metric=Metric(name="map", score=score, higher_is_better=True, bounds=(0, 1), chance=chance),
        targets=("kind",),
        prepare=lambda *folders: None,
        load=lambda folder: tables,
        split=lambda train, seed: [],
        recipes={"embedder": RECIPE},
        submission=Submission(write=lambda rows, predictions: rows),
    )
    given = {
        "simsiam_epochs": 2,
        "metric_epochs": 3,
        "embedding": "projector",
        "labels": "views",
        "neighbors": 1,
    }
    return Experiment(
        competition=competition,
        recipe=RECIPE,
        params=RECIPE.params(**given, temporal_weight=0.1),
        loop=LoopOptions(),
        protocol=Protocol(),
        tables=tables,
        folds=[Fold(odd, even)],
        runtime=Runtime(seed=0, device=CPU, cache=folder),
    )


def test_a_fit_interrupted_in_its_second_stage_ends_with_the_same_bits(rows, tmp_path):
    def observe(fold: int, seed: int, progress: EpochProgress) -> None:
        if progress.row and (progress.stage, progress.epoch) == ("metric", 2):
            raise KeyboardInterrupt

    (expected,) = cross_validate(experiment(rows, tmp_path / "cache"), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        list(cross_validate(experiment(rows, tmp_path / "cache"), tmp_path / "cut", observe))
    (found,) = cross_validate(experiment(rows, tmp_path / "cache"), tmp_path / "cut")
    assert np.array_equal(found.validation, expected.validation)
    assert np.array_equal(found.test, expected.test)
    assert [row["loss"] for row in found.history] == [row["loss"] for row in expected.history]
    assert [row["monitored"] for row in found.history] == [row["monitored"] for row in expected.history]


def test_fits_are_put_side_by_side(rows, tmp_path):
    assert RECIPE.pooled is False
    plans = [planned(rows, tmp_path, seed=seed) for seed in (0, 1)]
    apart = [predicted(plan, rows) for plan in plans]
    together = RECIPE.combine(np.stack(apart))
    units = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in apart]
    np.testing.assert_allclose(together @ together.T, sum(each @ each.T for each in units) / 2, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"metric_loss": "fast_ap"}, "no metric_loss 'fast_ap'; did you mean 'fastap'"),
        ({"miner": "semi_hard"}, "did you mean 'semihard'"),
        ({"sampler": "two_categories"}, "did you mean 'two_category'"),
        ({"labels": "view"}, "did you mean 'views'"),
        ({"kernel": "gauss"}, "did you mean 'gaussian'"),
        ({"embedding": "projection"}, "did you mean 'projector'"),
        ({"metric_epochs": 1, "freeze_backbone": True}, "the metric loss trains nothing"),
        ({"metric_loss": "fastap", "miner": "semihard"}, "set miner=none"),
        ({"labels": "views", "sampler": "m_per_class"}, "set sampler=random"),
        ({"labels": "views", "metric_augmentation": "none"}, "do not set metric_augmentation=none"),
        ({"metric_epochs": 1, "labels": "pseudo"}, "set reference"),
    ],
)
def test_contradictory_parameters_raise(given, told):
    with pytest.raises(GoldfoldError, match=told):
        resolve_config("made", {"recipe": "embedder", **given}, {"embedder": RECIPE})


@pytest.mark.parametrize(
    ("recipe", "given", "told"),
    [
        (embedder.recipe(network=Small, **SMALL), {"labels": "true"}, "labels=true needs a column of labels"),
        (embedder.recipe("id", network=Small, **SMALL), {}, "each at most 1 times"),
        (
            embedder.recipe("kind", network=Small, **SMALL),
            {"sampler": "two_category"},
            "sampler=two_category needs a column of categories",
        ),
        (RECIPE, {"sampler": "m_per_class", "m_per_class": 20}, "at least two classes"),
    ],
)
def test_unusable_labels_raise(rows, tmp_path, recipe, given, told):
    with pytest.raises(GoldfoldError, match=told):
        planned(rows, tmp_path, recipe, metric_epochs=1, **given)


def test_one_image_is_not_enough(rows, tmp_path):
    with raises_code("fold_too_small", "this fold has 1"):
        planned(rows[:1], tmp_path, simsiam_epochs=1)


def test_rows_without_a_label_are_used_by_simsiam_only(rows, tmp_path):
    some = rows.assign(kind=[kind if number % 2 else None for number, kind in enumerate(rows["kind"])])
    given = {"simsiam_epochs": 1, "metric_epochs": 1, "metric_batch_size": 40, "simsiam_batch_size": 40}
    plan = planned(some, tmp_path, **given)
    counts = [len(next(iter(stage.batches(0)))[0]) for stage in plan.stages]
    assert counts == [40, 20]
    given |= {"crop": 1.0, "strength": 0.0, "flip": False}
    shown, codes = next(iter(planned(some, tmp_path, **given).stages[1].batches(0)))
    pixels = images.load_resized(rows["path"], 16).reshape(40, -1).astype(float)
    found = np.linalg.norm(shown.numpy().reshape(-1, 1, 768) - pixels, axis=2).argmin(1)
    assert sorted(found) == list(range(1, 40, 2))
    assert len(set(zip(rows["kind"].iloc[found], codes.tolist(), strict=True))) == 2
