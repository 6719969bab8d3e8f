from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from PIL import Image
from sklearn.preprocessing import StandardScaler
from torch import nn

from goldfold.competition import Plan, Recipe, Runtime
from goldfold.data.folds import stratified
from goldfold.errors import GoldfoldError
from goldfold.images import reading as images
from goldfold.params import without_effect
from goldfold.recipes import frozen_backbone, image_classifier

KINDS = ("flach", "条纹", "grid")
TINY = {"backbone": "test_resnet", "pretrained": False, "image_size": 64}


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> pd.DataFrame:
    """75 noisy gray-level pictures of 40 x 40 pixels: flat, striped, or both ways striped."""
    folder = tmp_path_factory.mktemp("图像")
    rng = np.random.default_rng(0)
    wave = 60 * np.sign(np.sin(np.arange(40)))
    patterns = {KINDS[0]: 0, KINDS[1]: wave[None], KINDS[2]: wave[None] / 2 + wave[:, None] / 2}
    made = []
    for i in range(75):
        kind = KINDS[i % 3]
        picture = np.clip(128 + patterns[kind] + rng.normal(0, 20, (40, 40)), 0, 255).astype(np.uint8)
        path = folder / f"{i:02d}.png"
        Image.fromarray(picture).save(path)
        made.append({"id": f"p{i}", "path": path, "kind": kind, "striped": int(i % 3 > 0)})
    return pd.DataFrame(made)


def runtime(folder: Path, seed: int = 0, workers: int = 0) -> Runtime:
    return Runtime(seed=seed, device=torch.device("cpu"), cache=folder, workers=workers)


def trained(plan: Plan) -> nn.Module:
    for stage in plan.stages:
        optimizer = stage.optimizer(plan.model)
        schedule = stage.schedule(optimizer, stage.epochs, len(stage.batches(0)))
        for epoch in range(stage.epochs):
            for batch in stage.batches(epoch):
                loss = sum(stage.losses(plan.model.train(), batch).values())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return plan.model.eval()


def fitted(recipe: Recipe, train: pd.DataFrame, test: pd.DataFrame, where: Runtime, **params) -> np.ndarray:
    torch.manual_seed(where.seed)
    plan = recipe.build(recipe.params(**params), train, where)
    model = trained(plan)
    with torch.inference_mode():
        return plan.predict(model, plan.finish(model), test[["id", "path"]])


FROZEN = {**TINY, "stages": 2, "views": "mirrored", "epochs": 20, "learning_rate": 3e-3, "weight_decay": 0.1}
FINE_TUNED = {**TINY, "augmentation": "flips", "epochs": 10, "learning_rate": 3e-3, "batch_size": 8}


@pytest.mark.parametrize("recipe", [frozen_backbone.recipe, image_classifier.recipe])
def test_classes_are_learned_and_predicted_in_their_order(recipe, rows, tmp_path):
    params = FROZEN if recipe is frozen_backbone.recipe else FINE_TUNED
    train, test = rows[:54], rows[54:].reset_index(drop=True)
    for classes in (KINDS, KINDS[::-1]):
        predictions = fitted(recipe("kind", classes), train, test, runtime(tmp_path), **params)
        assert predictions.shape == (21, 3)
        assert np.allclose(predictions.sum(1), 1, atol=1e-5)
        assert np.mean(np.array(classes)[predictions.argmax(1)] == test["kind"]) > 0.85


@pytest.mark.parametrize("recipe", [frozen_backbone.recipe, image_classifier.recipe])
def test_of_two_classes_the_second_is_predicted(recipe, rows, tmp_path):
    params = FROZEN if recipe is frozen_backbone.recipe else FINE_TUNED
    train, test = rows[:54], rows[54:].reset_index(drop=True)
    predictions = fitted(recipe("striped", (0, 1)), train, test, runtime(tmp_path), **params)
    assert predictions.shape == (21,)
    assert np.mean((predictions > 0.5) == test["striped"]) > 0.85


SEVERAL = ("across", "down")


@pytest.fixture(scope="module")
def labeled(rows) -> pd.DataFrame:
    """The pictures with two labels each; flat ones have none, and gratings have both."""
    return rows.assign(across=rows["kind"].ne(KINDS[0]).astype(int), down=rows["kind"].eq(KINDS[2]))


@pytest.mark.parametrize(
    ("recipe", "loss"),
    [
        (frozen_backbone.recipe, {"positive_weight": "balanced", "label_smoothing": 0.05}),
        (frozen_backbone.recipe, {"loss": "focal"}),
        (frozen_backbone.recipe, {"loss": "asl", "asl_gamma_positive": 0}),
        (image_classifier.recipe, {"loss": "bce"}),
    ],
)
def test_several_labels_are_learned_as_independent_probabilities(recipe, loss, labeled, tmp_path):
    params = FROZEN if recipe is frozen_backbone.recipe else FINE_TUNED
    train, test = labeled[:54], labeled[54:].reset_index(drop=True)
    for targets in (SEVERAL, SEVERAL[::-1]):
        predictions = fitted(recipe(targets=targets), train, test, runtime(tmp_path), **params, **loss)
        assert predictions.shape == (21, 2)
        assert predictions.dtype == np.float64
        assert np.mean((predictions > 0.5) == test[list(targets)].to_numpy()) > 0.85
        assert predictions.sum(1).max() > 1.2  # a grating has both labels


@pytest.mark.parametrize("recipe", [frozen_backbone.recipe, image_classifier.recipe])
def test_the_loss_of_labels_is_a_parameter_of_recipes_with_several_alone(recipe):
    assert {"loss", "asl_clip", "positive_weight"} <= set(recipe(targets=SEVERAL, epochs=3).params.model_fields)
    assert not {"asl_clip", "positive_weight"} & set(recipe("kind", KINDS).params.model_fields)
    made = recipe(targets=SEVERAL, loss="focal").params(label_smoothing=0.1, asl_clip=0.1)
    assert set(without_effect(made)) == {"label_smoothing", "asl_clip"}


@pytest.mark.parametrize("recipe", [frozen_backbone.recipe, image_classifier.recipe])
def test_a_recipe_takes_one_target_or_several(recipe):
    for arguments in ({}, {"target": "kind"}, {"target": "kind", "classes": KINDS, "targets": SEVERAL}):
        with raises_code("targets_unclear", "either target='column'"):
            recipe(**arguments)
    with raises_code("targets_not_a_tuple", "'across'"):
        recipe(targets="across")
    with raises_code("too_few_labels", "use target= for one"):
        recipe(targets=["across"])


@pytest.mark.parametrize("recipe", [frozen_backbone.recipe, image_classifier.recipe])
def test_a_fit_repeats_itself_and_depends_on_its_seed(recipe, rows, tmp_path):
    params = {**(FROZEN if recipe is frozen_backbone.recipe else FINE_TUNED), "epochs": 2}
    made = recipe("kind", KINDS)
    first = fitted(made, rows, rows, runtime(tmp_path), **params)
    assert np.array_equal(first, fitted(made, rows, rows, runtime(tmp_path), **params))
    assert not np.array_equal(first, fitted(made, rows, rows, runtime(tmp_path, seed=1), **params))


@pytest.mark.parametrize("recipe", [frozen_backbone.recipe, image_classifier.recipe])
def test_an_unknown_label_is_refused(recipe, rows, tmp_path):
    made = recipe("kind", KINDS[:2])
    with pytest.raises(GoldfoldError, match="'grid', which is not among the classes"):
        made.build(made.params(**TINY), rows, runtime(tmp_path))


def test_every_image_passes_the_frozen_backbone_once(rows, tmp_path):
    recipe = frozen_backbone.recipe("kind", KINDS, **FROZEN)
    train, test = rows[:60], rows[60:]
    for fold in stratified(train["kind"], 5, seed=0):
        plan = recipe.build(recipe.params(), train.iloc[fold.train], runtime(tmp_path))
        with torch.inference_mode():
            for some in (train.iloc[fold.validation], test):
                plan.predict(plan.model, None, some[["id", "path"]])
    shards = [np.load(path)["names"].tolist() for path in tmp_path.glob("features/*/*.npz")]
    kept = [name for names in shards for name in names]
    assert sorted(kept) == sorted(2 * images.content_hashes(rows["path"]))  # once as it is, once mirrored


def test_views_that_were_computed_serve_every_set_they_are_part_of(rows, tmp_path):
    computed = []
    told = replace(runtime(tmp_path), progress=lambda what, done, total: computed.append(total if done == total else 0))
    recipe = frozen_backbone.recipe("kind", KINDS, **FROZEN)
    for views, new in (("mirrored", 2), ("none", 0), ("flips", 2), ("turns", 4), ("crops", 5)):
        computed.clear()
        recipe.build(recipe.params(views=views), rows, told)
        assert sum(computed) == new * len(rows)


def test_the_samples_of_a_head_are_the_views_of_every_image(rows, tmp_path):
    recipe = frozen_backbone.recipe("kind", KINDS, **FROZEN)
    plan = recipe.build(recipe.params(views="turns", batch_size=8 * len(rows)), rows, runtime(tmp_path))
    ((seen, _),) = plan.stages[0].batches(0)
    torch.manual_seed(0)
    tower = frozen_backbone.Tower(recipe.params()).eval().to(memory_format=torch.channels_last)
    pixels = images.load_resized(rows["path"][:2], TINY["image_size"])
    turned = [np.rot90(side, quarters, (1, 2)) for side in (pixels, pixels[:, :, ::-1]) for quarters in range(4)]
    with torch.inference_mode():
        expected = torch.cat([tower(torch.from_numpy(view.copy())) for view in turned])
    distances = torch.cdist(expected, seen).min(dim=1).values
    assert len(seen) == 8 * len(rows)
    assert (distances < 1e-3 * expected.norm(dim=1)).all()


def test_the_head_standardises_by_its_training_features(rows, tmp_path):
    recipe = frozen_backbone.recipe("kind", KINDS, **FROZEN)
    plan = recipe.build(recipe.params(), rows, runtime(tmp_path))
    ((seen, labels),) = [tuple(map(torch.cat, zip(*plan.stages[0].batches(0), strict=True)))]
    assert seen.shape[0] == labels.shape[0] == 2 * len(rows)
    reference = StandardScaler().fit(seen.double().numpy())
    varying, constant = reference.var_ > 1e-10, reference.var_ == 0
    assert varying.any()
    assert constant.any()
    assert np.allclose(plan.model.mean, reference.mean_, atol=1e-5)
    assert np.allclose(plan.model.std[varying], reference.scale_[varying], rtol=1e-2)
    assert (plan.model.std[constant] == 1).all()


def test_tower_keeps_output_means_and_deviations():
    params = frozen_backbone.FrozenBackboneParams(**TINY, stages=2)
    torch.manual_seed(3)
    tower = frozen_backbone.Tower(params).eval()
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    maps = {}
    layers = (("layer3", tower.backbone.layer3), ("layer4", tower.backbone.layer4))
    for name, layer in layers:
        layer.register_forward_hook(lambda _, __, output, name=name: maps.__setitem__(name, output))
    mean, std = (torch.tensor(tower.backbone.pretrained_cfg[key]) for key in ("mean", "std"))
    with torch.inference_mode():
        kept = tower(pixels)
        output = tower.backbone(((pixels / 255 - mean) / std).permute(0, 3, 1, 2))
    pooled = [statistic(maps[name]) for name, _ in layers for statistic in (mean_of, deviation_of)]
    assert torch.allclose(kept, torch.cat([output, *pooled], dim=1), atol=1e-4)


def test_without_stages_the_tower_keeps_the_output_alone_and_more_than_there_are_is_an_error():
    tower = frozen_backbone.Tower(frozen_backbone.FrozenBackboneParams(**TINY)).eval()
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(tower(pixels), tower.backbone(tower.normalize(pixels)))
    with raises_code("too_many_stages", "has 5 stages, but stages is 9"):
        frozen_backbone.Tower(frozen_backbone.FrozenBackboneParams(**TINY, stages=9))


def mean_of(values: torch.Tensor) -> torch.Tensor:
    return values.flatten(2).mean(2)


def deviation_of(values: torch.Tensor) -> torch.Tensor:
    return values.flatten(2).std(2, correction=0)


def all_batches(rows: pd.DataFrame, where: Runtime, epoch: int, **params) -> tuple[torch.Tensor, torch.Tensor]:
    recipe = image_classifier.recipe("kind", KINDS)
    plan = recipe.build(recipe.params(**{**FINE_TUNED, **params}), rows, where)
    pixels, labels = zip(*plan.stages[0].batches(epoch), strict=True)
    return torch.cat(pixels), torch.cat(labels)


@pytest.mark.parametrize("change", [{"workers": 2}, {"memory": 0.0}, {"workers": 2, "memory": 0.0}])
def test_augmented_batches_depend_on_neither_workers_nor_memory(rows, tmp_path, change):
    params = {"augmentation": "strong"}
    expected = all_batches(rows, runtime(tmp_path), 1, **params)
    workers = change.pop("workers", 0)
    got = all_batches(rows, runtime(tmp_path, workers=workers), 1, **params, **change)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    other_epoch = all_batches(rows, runtime(tmp_path), 0, **params)
    assert not torch.equal(other_epoch[0], expected[0])


def test_copies_of_a_row_are_augmented_differently_and_the_row_as_before(rows, tmp_path):
    params = {"augmentation": "strong", "batch_size": 10}
    copied = pd.concat([rows[:40], rows[:20], rows[:20]], ignore_index=True)
    found, _ = all_batches(copied, runtime(tmp_path), 1, **params)
    assert len(found.flatten(1).unique(dim=0)) == 80
    again, _ = all_batches(copied, runtime(tmp_path, workers=2), 1, **params)
    assert torch.equal(found, again)
    alone, _ = all_batches(rows[:40], runtime(tmp_path), 1, **params)
    assert len(torch.cat([found, alone]).flatten(1).unique(dim=0)) == 80


def test_predictions_do_not_depend_on_memory(rows, tmp_path):
    recipe = image_classifier.recipe("kind", KINDS)
    some = {"train": rows, "test": rows, "where": runtime(tmp_path)}
    kept = fitted(recipe, **some, **{**FINE_TUNED, "epochs": 1})
    assert np.array_equal(kept, fitted(recipe, **some, **{**FINE_TUNED, "epochs": 1, "memory": 0.0}))


@pytest.mark.parametrize(("views", "turns"), [("mirrored", "-|"), ("flips", "-|~+")])
def test_predictions_are_averaged_over_mirrored_views(rows, tmp_path, views, turns):
    mirrored = {"-": np.asarray, "|": np.fliplr, "~": np.flipud, "+": lambda image: image[::-1, ::-1]}
    recipe = image_classifier.recipe("kind", KINDS, **{**FINE_TUNED, "image_size": 40})
    one, several = (recipe.build(recipe.params(views=way), rows, runtime(tmp_path)) for way in ("none", views))
    model = one.model.eval()
    expected = []
    with torch.inference_mode():
        for turn in turns:
            turned = rows[["id"]].assign(path=[tmp_path / f"{ord(turn)}-{path.name}" for path in rows["path"]])
            for path, target in zip(rows["path"], turned["path"], strict=True):
                Image.fromarray(np.ascontiguousarray(mirrored[turn](images.read(path)))).save(target)
            expected.append(one.predict(model, None, turned))
        got = several.predict(model, None, rows)
    assert np.allclose(got, np.mean(expected, axis=0), atol=1e-6)
    assert not np.allclose(got, expected[0], atol=1e-4)


def test_the_classifier_has_a_rate_of_its_own(rows, tmp_path):
    recipe = image_classifier.recipe("kind", KINDS, **TINY, learning_rate=1e-4, head_factor=5.0)
    plan = recipe.build(recipe.params(), rows, runtime(tmp_path))
    groups = plan.stages[0].optimizer(plan.model).param_groups
    assert [group["lr"] for group in groups] == [1e-4, 5e-4]
    assert [value.shape for value in groups[1]["params"]] == [v.shape for v in plan.model.network.fc.parameters()]
    assert sum(len(group["params"]) for group in groups) == len(list(plan.model.parameters()))


def test_a_network_of_ones_own_sees_grey_pixels_around_zero(rows, tmp_path):
    seen = []

    class Means(nn.Module):
        def __init__(self, classes: int) -> None:
            super().__init__()
            self.layer = nn.Linear(1, classes)

        def forward(self, shown: torch.Tensor) -> torch.Tensor:
            seen.append(shown)
            return self.layer(shown.mean((2, 3)))

    recipe = image_classifier.recipe("kind", KINDS, network=Means, gray=True, image_size=40, augmentation="none")
    plan = recipe.build(recipe.params(), rows, runtime(tmp_path))
    assert len(plan.stages[0].optimizer(plan.model).param_groups) == 1
    with torch.inference_mode():
        plan.predict(plan.model, None, rows[:1])
    expected = images.read(rows["path"][0], gray=True)[..., 0] / 127.5 - 1
    assert np.allclose(seen[0][0, 0], expected, atol=1e-6)


class Confident(nn.Module):
    """Logits 0 and 16 to 30, whose float32 softmax is 1 for most of them; a stand-in for a model that overfits."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        large = torch.linspace(16, 30, len(inputs))
        large = large[:, None] if inputs.ndim == 3 else large  # (images, views, features)
        return torch.stack([torch.zeros_like(large), large], dim=-1)


@pytest.mark.parametrize("recipe", [frozen_backbone.recipe, image_classifier.recipe])
def test_probabilities_near_1_keep_their_ranks(recipe, rows, tmp_path):
    made = recipe("striped", (0, 1))
    plan = made.build(made.params(**TINY, batch_size=len(rows)), rows, runtime(tmp_path))
    with torch.inference_mode():
        found = plan.predict(Confident(), None, rows)
    assert found.dtype == np.float64
    assert (np.diff(found) > 0).all()
    assert (found > 1 - 1e-6).all()


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        (frozen_backbone.recipe, {"loss": "focal", "mixup": 0.1}),
        (frozen_backbone.recipe, {"class_weights": "balanced", "label_smoothing": 0.05, "mixup": 0.1}),
        (frozen_backbone.recipe, {"balanced_sampler": True}),
        (image_classifier.recipe, {"loss": "focal", "balanced_sampler": True, "mixup": 0.1}),
    ],
)
def test_every_balance_of_one_label_learns(recipe, options, rows, tmp_path):
    params = FROZEN if recipe is frozen_backbone.recipe else FINE_TUNED
    kept = rows[:54][lambda table: table["kind"].ne(KINDS[2]) | (table.index % 2 == 0)].reset_index(drop=True)
    predictions = fitted(recipe("kind", KINDS), kept, rows[54:], runtime(tmp_path), **params, **options)
    assert np.mean(np.array(KINDS)[predictions.argmax(1)] == rows["kind"][54:]) > 0.7  # chance is 1/3


@pytest.mark.parametrize("recipe", [frozen_backbone.recipe, image_classifier.recipe])
def test_balance_reaches_the_batches_and_losses_of_a_stage(recipe, rows, tmp_path):
    rare = pd.concat([rows[rows["kind"] == KINDS[0]], rows[rows["kind"] == KINDS[1]][:3]], ignore_index=True)
    made = recipe("kind", KINDS[:2])
    common = {**TINY, "batch_size": 28}

    def stage(**options):
        return made.build(made.params(**common, **options), rare, runtime(tmp_path)).stages[0]

    plain, balanced, mixing = stage(), stage(balanced_sampler=True), stage(mixup=0.5)
    shares = [
        torch.cat([batch[1] for epoch in range(9) for batch in each.batches(epoch)]) for each in (plain, balanced)
    ]
    assert shares[0].float().mean().item() == pytest.approx(3 / 28)
    assert shares[1].float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert len(next(iter(mixing.batches(0)))) == 4
    model = made.build(made.params(**common), rare, runtime(tmp_path)).model.eval()
    batch = next(iter(plain.batches(0)))
    with torch.inference_mode():
        (cross_entropy,) = plain.losses(model, batch).values()
        (focal,) = stage(loss="focal", focal_gamma=0).losses(model, batch).values()
        (weighted,) = stage(class_weights="balanced").losses(model, batch).values()
        (alpha,) = stage(loss="focal", focal_gamma=0, focal_alpha=0.9).losses(model, batch).values()
    assert torch.equal(focal, cross_entropy)
    assert len({value.item() for value in (cross_entropy, weighted, alpha)}) == 3


def test_balancing_twice_is_refused_unless_it_is_asked_for():
    params = image_classifier.recipe("striped", (0, 1)).params
    for twice in (
        {"balanced_sampler": True, "class_weights": "balanced"},
        {"balanced_sampler": True, "loss": "focal", "focal_alpha": 0.25},
        {"class_weights": "balanced", "loss": "focal", "focal_alpha": 0.25},
    ):
        with pytest.raises(ValueError, match="more than once without balance_twice=true"):
            params(**twice)
        assert not without_effect(params(**twice, balance_twice=True))
    for once in ({}, {"balanced_sampler": True}, {"class_weights": "balanced"}, {"loss": "focal", "focal_alpha": 0.1}):
        assert set(without_effect(params(**once, balance_twice=True))) == {"balance_twice"}


def test_options_of_the_loss_without_effect_are_told():
    two, three = (image_classifier.recipe("kind", KINDS[:count]).params for count in (2, 3))
    assert set(without_effect(two(focal_gamma=1.0, focal_alpha=0.5))) == {"focal_gamma", "focal_alpha"}
    told = without_effect(three(loss="focal", focal_alpha=0.5))
    assert "class_weights=balanced weighs" in told["focal_alpha"]
    several = image_classifier.recipe(targets=SEVERAL).params
    assert "positive_weight=balanced" in without_effect(several(balanced_sampler=True))["balanced_sampler"]


@pytest.mark.parametrize("recipe", [frozen_backbone.recipe, image_classifier.recipe])
def test_rows_with_wrong_labels_have_the_largest_losses(recipe, rows, tmp_path):
    wrong = [7, 31, 44]
    params = {**(FROZEN if recipe is frozen_backbone.recipe else FINE_TUNED), "balanced_sampler": True, "mixup": 0.1}
    train = rows[:54].copy()
    train.loc[wrong, "striped"] = 1 - train.loc[wrong, "striped"]
    made = recipe("striped", (0, 1))
    torch.manual_seed(0)
    plan = made.build(made.params(**params), train, runtime(tmp_path))
    model = trained(plan)
    with torch.inference_mode():
        losses = plan.stages[0].row_losses(model)
        plain = plan.predict(model, None, train)
    assert losses.shape == (54,)
    assert set(np.argsort(-losses)[:3]) == set(wrong)
    expected = -np.log(np.where(train["striped"] == 1, plain, 1 - plain))
    if recipe is image_classifier.recipe:  # without views, the image as it is
        assert np.allclose(losses, expected)


@pytest.mark.parametrize("loss", [{"loss": "bce", "positive_weight": "balanced"}, {"loss": "focal"}, {"loss": "asl"}])
def test_the_losses_of_rows_with_several_labels_are_parts_of_the_mean(loss, labeled, tmp_path):
    made = frozen_backbone.recipe(targets=SEVERAL)
    plan = made.build(made.params(**TINY, **loss, batch_size=len(labeled)), labeled, runtime(tmp_path))
    stage, model = plan.stages[0], plan.model.eval()
    with torch.inference_mode():
        (mean,) = stage.losses(model, next(iter(stage.batches(0)))).values()
        assert stage.row_losses(model).mean() == pytest.approx(mean.item(), rel=1e-5)
