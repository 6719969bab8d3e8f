"""Recipes for windows: what is fitted, on which windows, how often files are read, and what padding may not change."""

from __future__ import annotations

import json
from pathlib import Path

import made_windows
import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from pydantic import ValidationError
from sklearn.preprocessing import StandardScaler
from torch import nn

from goldfold.competition import Plan, Recipe, Runtime
from goldfold.recipes import sequence_network, statistics_pooling
from goldfold.recipes.statistics_pooling import pooled
from goldfold.sequences import inputs, windows
from goldfold.sequences.pooled_rows import scaled
from goldfold.sequences.preparation import statistics
from goldfold.sequences.scaler import Scaler

CLASSES = ("still", "slow", "fast")
POOLING, NETWORK = statistics_pooling.recipe("kind", CLASSES), sequence_network.recipe("kind", CLASSES)
SMALL = {"channels": 16, "layers": 2, "epochs": 12, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """60 windows of 20 to 27 frames, whose frequency is their class."""
    folder, made = tmp_path_factory.mktemp("窗"), []
    for number in range(60):
        path = folder / f"{number:02d}.npz"
        windows.write(path, **made_windows.wave(number, number % 3, 20 + number % 8))
        made.append({"id": f"w{number}", "path": path, "kind": CLASSES[number % 3], "fast": int(number % 3 > 1)})
    return pd.DataFrame(made)


def runtime(folder: Path, progress=lambda *_: None) -> Runtime:
    return Runtime(seed=0, device=torch.device("cpu"), cache=folder, progress=progress)


def built(recipe: Recipe, rows: pd.DataFrame, where: Runtime, **params) -> Plan:
    torch.manual_seed(0)
    return recipe.build(recipe.params(**params), rows.reset_index(drop=True), where)


def trained(plan: Plan) -> nn.Module:
    (stage,) = plan.stages
    optimizer = stage.optimizer(plan.model)
    for epoch in range(stage.epochs):
        for batch in stage.batches(epoch):
            optimizer.zero_grad()
            sum(stage.losses(plan.model.train(), batch).values()).backward()
            optimizer.step()
    return plan.model.eval()


def predicted(plan: Plan, model: nn.Module, rows: pd.DataFrame) -> np.ndarray:
    with torch.inference_mode():
        return plan.predict(model, None, rows[["id", "path"]].reset_index(drop=True))


def loss_of(plan: Plan) -> float:
    return terms(plan)["cross_entropy"].item()


@pytest.mark.parametrize(
    ("recipe", "params"),
    [
        (POOLING, {}),
        (POOLING, {"pack": "features", "smoothing": 3, "batch_norm": True, "hidden": (32,), "learning_rate": 1e-2}),
        (NETWORK, SMALL),
        (NETWORK, {**SMALL, "network": "transformer", "learning_rate": 3e-3, "epochs": 25}),
    ],
)
def test_classes_are_learned_and_predicted_in_their_order(recipe, params, rows, tmp_path):
    plan = built(recipe, rows[:45], runtime(tmp_path), **{"epochs": 20, **params})
    predictions = predicted(plan, trained(plan), rows[45:])
    assert (predictions.shape, predictions.dtype) == ((15, 3), np.float64)
    np.testing.assert_allclose(predictions.sum(1), 1)
    assert np.mean(np.array(CLASSES)[predictions.argmax(1)] == rows["kind"][45:]) > 0.8


@pytest.mark.parametrize("module", [statistics_pooling, sequence_network])
def test_of_two_classes_the_second_is_predicted(module, rows, tmp_path):
    params = SMALL if module is sequence_network else {"epochs": 20}
    plan = built(module.recipe("fast", (0, 1)), rows[:45], runtime(tmp_path), **params)
    predictions = predicted(plan, trained(plan), rows[45:])
    assert predictions.shape == (15,)
    assert np.mean((predictions > 0.5) == rows["fast"][45:]) > 0.8


def test_one_logit_has_the_loss_of_binary_cross_entropy(rows, tmp_path):
    plan = built(statistics_pooling.recipe("fast", (0, 1)), rows, runtime(tmp_path), single_logit=True)
    features, labels = next(iter(plan.stages[0].batches(0)))
    logits = plan.model.eval()(features)
    assert plan.model.layers[-1].out_features == 1
    wanted = nn.functional.binary_cross_entropy_with_logits(logits[:, 1] - logits[:, 0], labels.float())
    assert loss_of(plan) == pytest.approx(wanted.item(), rel=1e-6)
    with raises_code("single_logit_needs_two_classes", "3 outputs"):
        POOLING.check(POOLING.params(single_logit=True), rows, rows)


def test_scaled_statistics_are_those_of_scaled_frames(rows):
    params = statistics_pooling.StatisticsPoolingParams(smoothing=3, domain_summary=True)
    scaler = Scaler(mean=(1.0, -2.0, 0.5), sd=(2.0, 0.3, 1.0), frames=9, contents=())
    window = windows.read(rows["path"][0])
    frames = (inputs.prepare(window, params) - scaler.mean) / np.array(scaler.sd)
    row = pooled(window, params)
    done = scaled(np.stack([row, np.r_[0, np.zeros(17)]]), scaler)
    np.testing.assert_allclose(done[0], np.r_[statistics(frames, window.valid), row[-2:]], atol=1e-9)
    assert not done[1].any(), "a window without a valid frame stays at zero"


@pytest.mark.parametrize("recipe", [POOLING, NETWORK])
def test_the_scaler_is_fitted_on_valid_frames_of_training_windows(recipe, rows, tmp_path):
    plan = built(recipe, rows[:20], runtime(tmp_path))
    read = [windows.read(path) for path in rows["path"][:20]]
    reference = StandardScaler().fit(np.concatenate([window.features[window.valid] for window in read]))
    kept = json.loads(json.dumps(plan.kept["scaler"]))
    np.testing.assert_allclose(kept["mean"], reference.mean_, atol=1e-6)
    np.testing.assert_allclose(kept["sd"], reference.scale_, rtol=1e-6)
    assert built(recipe, rows[:30], runtime(tmp_path)).kept != plan.kept


@pytest.mark.parametrize("recipe", [POOLING, NETWORK])
def test_each_window_is_standardized_by_itself_without_a_scaler(recipe, rows, tmp_path):
    batches = {}
    for zscore in ("none", "per_file"):
        plan = built(recipe, rows, runtime(tmp_path), zscore=zscore)
        assert plan.kept == {}
        batches[zscore] = next(iter(plan.stages[0].batches(0)))[0]
    assert not torch.allclose(batches["none"], batches["per_file"])


def test_windows_are_read_once_for_all_folds_and_epochs(rows, tmp_path):
    told = []
    where = runtime(tmp_path, lambda what, done, total: told.append((what, total)))
    copies = rows.assign(path=[tmp_path / path.name for path in rows["path"]])
    for source, copy in zip(rows["path"], copies["path"], strict=True):
        copy.write_bytes(source.read_bytes())
    plan = built(POOLING, copies, where)
    assert set(told) == {("statistics", 60)}
    told.clear()
    built(POOLING, copies[:30], where, zscore="none", hidden=[8])
    assert not told, "scaling and the network need no new statistics"
    built(POOLING, copies[:30], where, smoothing=3)
    assert set(told) == {("statistics", 30)}
    for copy in copies["path"]:
        copy.unlink()
    assert len(list(plan.stages[0].batches(3))) == 2


def test_a_last_batch_of_one_row_is_left_out_with_batch_norm(rows, tmp_path):
    plan = built(POOLING, rows[:33], runtime(tmp_path), batch_norm=True, batch_size=8)
    assert [len(labels) for _, labels in plan.stages[0].batches(0)] == [8, 8, 8, 8]
    assert len(plan.stages[0].batches(0)) == 4
    trained(plan)
    whole = built(POOLING, rows[:33], runtime(tmp_path), batch_size=8)
    assert [len(labels) for _, labels in whole.stages[0].batches(0)] == [8, 8, 8, 8, 1]
    with raises_code("batch_norm_single_row", "batch_size=1"):
        built(POOLING, rows, runtime(tmp_path), batch_norm=True, batch_size=1)


@pytest.mark.parametrize("network", ["convolution", "transformer"])
def test_padding_and_invalid_frames_change_no_logit(network):
    torch.manual_seed(1)
    model = sequence_network.Network(3, 2, NETWORK.params(**SMALL, network=network)).eval()
    features, valid = torch.randn(2, 9, 3), torch.ones(2, 9, dtype=torch.bool)
    valid[0, 3] = valid[1, 6:] = False
    features = features * valid[..., None]
    padded = torch.cat([features, torch.zeros(2, 5, 3)], 1), torch.cat([valid, torch.zeros(2, 5, dtype=torch.bool)], 1)
    with torch.inference_mode():
        torch.testing.assert_close(model(*padded), model(features, valid))
        torch.testing.assert_close(model(features[1:, :6], valid[1:, :6]), model(features[1:], valid[1:]))
        nobody = model(torch.zeros(1, 4, 3), torch.zeros(1, 4, dtype=torch.bool))
    assert torch.isfinite(nobody).all()


def test_predictions_do_not_depend_on_the_batch(rows, tmp_path):
    plan = built(NETWORK, rows, runtime(tmp_path), **{**SMALL, "batch_size": 7})
    together = predicted(plan, plan.model.eval(), rows)
    alone = np.concatenate([predicted(plan, plan.model, rows[place : place + 1]) for place in range(5)])
    np.testing.assert_allclose(together[:5], alone, atol=1e-6)


def test_long_windows_are_thinned_evenly(rows, tmp_path):
    plan = built(NETWORK, rows, runtime(tmp_path), **{**SMALL, "max_frames": 10})
    features, valid, _ = next(iter(plan.stages[0].batches(0)))
    assert features.shape[1] == valid.shape[1] == 10


def test_windows_of_another_width_are_named(rows, tmp_path):
    windows.write(tmp_path / "wide.npz", features=np.ones((20, 4)))
    mixed = pd.concat([rows, rows[:1].assign(id="x", path=tmp_path / "wide.npz")], ignore_index=True)
    for recipe in (POOLING, NETWORK):
        with raises_code("feature_counts_differ", "wide.npz", "has 4 features", "has 3"):
            built(recipe, mixed, runtime(tmp_path))


def test_training_windows_without_any_valid_frame_are_refused(rows, tmp_path):
    windows.write(tmp_path / "blind.npz", features=np.ones((20, 3)), mask=np.zeros(20))
    blind = rows[:3].assign(path=tmp_path / "blind.npz")
    for recipe in (POOLING, NETWORK):
        with raises_code("no_valid_frame", "none of 3 training windows"):
            built(recipe, blind, runtime(tmp_path))
    some = pd.concat([rows, blind[:1].assign(id="x")], ignore_index=True)
    plan = built(POOLING, some, runtime(tmp_path), epochs=1)
    assert np.isfinite(predicted(plan, trained(plan), some)).all()


def kept_scaler(rows: pd.DataFrame, folder: Path) -> Path:
    path = folder / "scaler.json"
    path.write_text(json.dumps(built(POOLING, rows, runtime(folder)).kept["scaler"]), encoding="utf-8")
    return path


@pytest.mark.parametrize("recipe", [POOLING, NETWORK])
def test_a_kept_scaler_is_loaded_by_its_path_unless_it_leaks(recipe, rows, tmp_path):
    path = kept_scaler(rows[:20], tmp_path)
    params = recipe.params(scaler=str(path))
    recipe.check(params, rows[20:], rows)
    plan = built(recipe, rows[20:], runtime(tmp_path), scaler=str(path))
    assert plan.kept["scaler"] == json.loads(path.read_text(encoding="utf-8"))
    with raises_code("scaler_leaks", "20 windows of the train table"):
        recipe.check(params, rows, rows)
    with raises_code("scaler_width_differs", "3 features", "12"):
        recipe.check(recipe.params(scaler=str(path), pack="light"), rows[20:], rows)


@pytest.mark.parametrize(
    ("recipe", "params", "code", "fact"),
    [
        (POOLING, {"smoothing": 4}, "smoothing_even", "use 5"),
        (POOLING, {"smoothing": 21}, "smoothing_too_wide", "one of 20"),
        (POOLING, {"domain_summary": True, "mouth": "head"}, "joints_unnamed", "'head'"),
        (POOLING, {"domain_summary": True, "hands": (9,)}, "unknown_joint", "0 to 3"),
        (NETWORK, {"kernel": 4}, "kernel_even", "4"),
        (NETWORK, {"network": "transformer", "heads": 3}, "heads_not_a_divisor", "3 and 64"),
    ],
)
def test_parameters_are_checked_before_training(recipe, params, code, fact, rows):
    with raises_code(code, fact):
        recipe.check(recipe.params(**params), rows, rows)


def test_a_joint_that_does_not_exist_is_told_with_the_near_miss(rows):
    named = statistics_pooling.recipe("kind", CLASSES, joint_names=("head", "spine", "left hand", "right hand"))
    with raises_code("unknown_joint", "did you mean 'left hand'"):
        named.check(named.params(domain_summary=True, hands=("left hnd",)), rows, rows)
    named.check(named.params(domain_summary=True, mouth="head", hands=("left hand", "right hand")), rows, rows)


def losses_by_hand(plan: Plan, model: nn.Module, rows: pd.DataFrame) -> np.ndarray:
    """The cross-entropy of each row, from the probabilities that a plan predicts."""
    guess = predicted(plan, model, rows)
    return -np.log(guess[np.arange(len(rows)), [CLASSES.index(kind) for kind in rows["kind"]]])


@pytest.mark.parametrize(("recipe", "params"), [(POOLING, {}), (NETWORK, SMALL)])
def test_losses_of_rows_are_exact_whatever_the_sampler(recipe, params, rows, tmp_path):
    plan = built(recipe, rows[:40], runtime(tmp_path), balanced_sampler=True, **{**params, "epochs": 3})
    model = trained(plan)
    with torch.inference_mode():
        losses = plan.stages[0].row_losses(model)
    np.testing.assert_allclose(losses, losses_by_hand(plan, model, rows[:40]), atol=1e-6)


@pytest.mark.parametrize(("recipe", "params"), [(POOLING, {}), (NETWORK, SMALL)])
def test_classes_are_balanced_once_and_focal_loss_is_of_rows(recipe, params, rows, tmp_path):
    few = pd.concat([rows[rows["kind"] == "still"], rows[rows["kind"] == "slow"][:2]], ignore_index=True)
    plan = built(recipe, few, runtime(tmp_path), balanced_sampler=True, **params)
    drawn = torch.cat([batch[-1] for epoch in range(8) for batch in plan.stages[0].batches(epoch)])
    assert abs((drawn == 1).float().mean() - 0.5) < 0.15, "2 of 22 rows are half of the draws"
    with pytest.raises(ValidationError, match="more than once"):
        recipe.params(balanced_sampler=True, class_weights="balanced")
    losses = {}
    for options in ({}, {"loss": "focal", "focal_gamma": 0}, {"loss": "focal", "focal_gamma": 2}):
        plan = built(recipe, rows, runtime(tmp_path), **options, **params)
        losses[str(options)] = next(iter(terms(plan).values())).item()
    plain, gamma_0, gamma_2 = losses.values()
    assert gamma_0 == plain
    assert gamma_2 < plain


def terms(plan: Plan) -> dict[str, torch.Tensor]:
    return plan.stages[0].losses(plan.model.eval(), next(iter(plan.stages[0].batches(0))))


def test_statistics_may_be_mixed(rows, tmp_path):
    plan = built(POOLING, rows[:45], runtime(tmp_path), mixup=0.2, epochs=20)
    predictions = predicted(plan, trained(plan), rows[45:])
    assert np.mean(np.array(CLASSES)[predictions.argmax(1)] == rows["kind"][45:]) > 0.8
