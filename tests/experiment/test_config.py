"""Configs: flat, typed, strict, and refused in one sentence that names the near miss."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest
from error_codes import raises_code
from pydantic import Field

import goldfold
from goldfold.competition import Recipe
from goldfold.errors import GoldfoldError
from goldfold.experiment.config import read_config, resolve_config
from goldfold.experiment.fits import Protocol
from goldfold.experiment.workspace import Workspace
from goldfold.params import Epochs, Models, Params, Role, names, values, with_defaults
from goldfold.recipes.autoencoder import AutoencoderParams
from goldfold.recipes.embedder import EmbedderParams
from goldfold.recipes.frozen_backbone import FrozenBackboneParams
from goldfold.recipes.image_classifier import ImageClassifierParams
from goldfold.recipes.patches.params import PatchLibraryParams
from goldfold.recipes.segmenter import SegmenterParams
from goldfold.training.settings import LoopOptions


class HeadParams(Params):
    epochs: int = Field(4, ge=1)
    learning_rate: float = Field(0.01, gt=0)
    sizes: tuple[int, ...] = (8, 4)
    columns: tuple[str, ...] = ()
    name: str = "plain"
    flip: bool = False


RECIPES = {"head": Recipe(params=HeadParams, build=lambda *_: None)}


@pytest.fixture
def written(tmp_path):
    def write(text: str, *overrides: str):
        path = tmp_path / "baseline.yaml"
        path.write_text(text, encoding="utf-8")
        return read_config(path, overrides, RECIPES)

    return write


def test_a_config_says_only_what_differs(written):
    config = written("recipe: head\nepochs: 2\nclip: 1.5\nseeds: [0, 1]\n")
    assert (config.name, config.recipe, config.search) == ("baseline", "head", {})
    assert config.params == HeadParams(epochs=2)
    assert config.loop == LoopOptions(clip=1.5)
    assert config.protocol == Protocol(seeds=(0, 1))


@pytest.mark.parametrize("text", ["5e-5", "5.0e-5", "5E-5", "+5e-05", ".5e-4", "5.e-5", "0.00005"])
def test_every_way_to_write_a_rate_is_a_number(text, written):
    assert written(f"recipe: head\nlearning_rate: {text}\n").params.learning_rate == 5e-5
    assert written("recipe: head", f"learning_rate={text}").params.learning_rate == 5e-5


@pytest.mark.parametrize("text", ["e5", "5e", "1e2e3", "v1e5"])
def test_what_only_looks_like_a_rate_is_text(text, written):
    assert written(f"recipe: head\nname: {text}\n").params.name == text


def test_whole_numbers_are_floats_where_floats_are_wanted(written):
    assert written("recipe: head\nlearning_rate: 1\n").params.learning_rate == 1.0


def test_lists_become_tuples(written):
    config = written("recipe: head\nsizes: [3, 2, 1]", "folds=[0, 2]")
    assert (config.params.sizes, config.protocol.folds) == ((3, 2, 1), (0, 2))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('epochs: "3"', r"epochs: '3', and input should be a valid integer"),
        ("epochs: 1.5", r"epochs: 1\.5, and input should be a valid integer"),
        ("epochs: 3.0", r"epochs: 3\.0, and input should be a valid integer"),
        ("epochs: 1e2", r"epochs: 100\.0, and input should be a valid integer"),
        ("epochs: true", r"epochs: True, and input should be a valid integer"),
        ("epochs: 0", r"epochs: 0, and input should be greater than or equal to 1"),
        ("epochs:", r"epochs: None, and input should be a valid integer"),
        ("epochs: [3]", r"epochs: \[3\], and input should be a valid integer"),
        ('learning_rate: "0.1"', r"learning_rate: '0\.1', and input should be a valid number"),
        ("learning_rate: true", r"learning_rate: True, and input should be a valid number"),
        ("flip: 1", r"flip: 1, and input should be a valid boolean"),
        ("flip: yes please", r"flip: 'yes please', and input should be a valid boolean"),
        ("name: 3", r"name: 3, and input should be a valid string"),
        ("sizes: 3", r"sizes: 3, and it must be a list such as \[0, 1\]"),
        ("sizes: x", r"sizes: 'x', and it must be a list such as \[0, 1\]"),
        ("columns: age", r"columns: 'age', and it must be a list such as \['age'\]"),
        ("sizes: [3, x]", r"sizes\.1: 'x', and input should be a valid integer"),
        ("precision: half", r"precision: 'half', and input should be 'auto', 'float32', 'bfloat16' or 'float16'"),
        ("seeds: []", r"seeds: \[\], and .* at least 1"),
        ("seeds: [0, 1, 0]", r"seeds: \[0, 1, 0\], and each number may be given once"),
        ("folds: [2, 2]", r"folds: \[2, 2\], and each number may be given once"),
        ("patience: 3", r"patience stops after the best epoch, so it needs select: best"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_in_a_sentence(line, complaint, written):
    with pytest.raises(GoldfoldError, match=complaint) as caught:
        written(f"recipe: head\n{line}\n")
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("change it")


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_numbers_that_are_none_are_refused(value, written):
    with pytest.raises(GoldfoldError) as error:
        written(f"recipe: head\nlearning_rate: {value}\n")
    assert error.value.code == "invalid_value"
    assert "finite" in str(error.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("recipe: head\nlearning_rat: 1\n", r"key for recipe head 'learning_rat'; did you mean 'learning_rate'"),
        ("recipe: head\nacumulate: 2\n", r"did you mean 'accumulate'"),
        ("recipe: head\n1: 2\n", r"there is no key for recipe head '1'"),
        ("recipe: haed\n", r"there is no recipe 'haed'; did you mean 'head'"),
        ("recipe: 3\n", r"there is no recipe '3'"),
        ("epochs: 3\n", r"config 'baseline' names no recipe: add a line `recipe: head`"),
        ("", r"must hold `key: value` lines, and it holds NoneType"),
        ("- recipe\n", r"must hold `key: value` lines, and it holds list"),
        ("recipe: head\n  epochs: : 3\n", r"is not valid YAML"),
        ("recipe: head\nepochs: 3\nepochs: 30\n", r"'?epochs'? twice"),
        ("recipe: !!python/object/apply:os.getcwd []\n", r"is not valid YAML"),
    ],
)
def test_keys_and_names_are_strict(text, complaint, written):
    with pytest.raises(GoldfoldError, match=complaint) as caught:
        written(text)
    assert "\n" not in str(caught.value)


def test_overrides_win_and_are_as_strict(written):
    config = written("recipe: head\nepochs: 2\n", "epochs=7", "name=b=c", "patience=2", "select=best", "clip=null")
    assert (config.params.epochs, config.params.name, config.loop.patience) == (7, "b=c", 2)
    with pytest.raises(GoldfoldError) as error:
        written("recipe: head", "epochs")
    assert error.value.code == "override_without_value"
    assert "'epochs'" in str(error.value)
    with pytest.raises(GoldfoldError) as error:
        written("recipe: head", "epoch=3")
    assert error.value.code == "unknown_key"
    assert "did you mean 'epochs'" in str(error.value)
    with pytest.raises(GoldfoldError) as error:
        written("recipe: head", "sizes=[1")
    assert error.value.code == "invalid_yaml"
    assert "override sizes=[1" in str(error.value)


def test_a_key_of_another_recipe_names_that_recipe():
    class Head(Params):
        rate: float = Field(0.1, description="learning rate of the head")

    class Bank(Params):
        neighbors: int = 1

    recipes = {name: Recipe(params=own, build=lambda *_: None) for name, own in (("head", Head), ("bank", Bank))}
    with pytest.raises(GoldfoldError) as error:
        resolve_config("baseline", {"recipe": "head", "neighbors": 3}, recipes)
    assert error.value.code == "unknown_key"
    assert "Recipe bank has a key 'neighbors'" in str(error.value)
    with pytest.raises(GoldfoldError, match="did you mean 'rate'"):
        resolve_config("baseline", {"recipe": "head", "learning_rate": 3}, recipes)
    with pytest.raises(GoldfoldError, match=r"rate: 'x', and .*number \(learning rate of the head\): change it"):
        resolve_config("baseline", {"recipe": "head", "rate": "x"}, recipes)
    with pytest.raises(GoldfoldError, match=r"folds: 3, and it must be a list .* \(numbers of the folds to fit"):
        resolve_config("baseline", {"recipe": "head", "folds": 3}, recipes)


def test_an_absent_config_names_the_near_miss(tmp_path):
    (tmp_path / "baseline.yaml").write_text("recipe: head")
    with pytest.raises(GoldfoldError) as error:
        read_config(tmp_path / "basline.yaml", (), RECIPES)
    assert error.value.code == "unknown_config"
    assert "did you mean 'baseline'" in str(error.value)


def test_a_name_too_long_for_the_files_of_its_runs_is_refused(tmp_path):
    path = tmp_path / f"{'名' * 70}.yaml"
    path.write_text("recipe: head")
    with pytest.raises(GoldfoldError) as error:
        read_config(path, (), RECIPES)
    assert error.value.code == "config_name_too_long"
    assert "210" in str(error.value)


def test_the_search_block_is_kept_as_written(written):
    assert written("recipe: head\nsearch:\n  epochs: {low: 1, high: 3}\n").search == {"epochs": {"low": 1, "high": 3}}


def test_resolved_holds_every_key_and_reads_back_the_same(written):
    config = written("recipe: head\nsizes: [5]\nlearning_rate: 3e-4\nname: 地毯\nselect: best\nfolds: [1]\n")
    flat = config.resolved()
    assert set(flat) == {"config", "recipe"} | {
        *Protocol.model_fields,
        *LoopOptions.model_fields,
        *HeadParams.model_fields,
    }
    assert flat.pop("config") == "baseline"
    assert resolve_config("baseline", flat, RECIPES) == config


@pytest.mark.parametrize("key", ["clip", "seed", "recipe", "search", "config"])
def test_a_recipe_may_not_shadow_a_key_of_the_engine(key):
    shadowing = type("ShadowParams", (Params,), {"__annotations__": {key: int}, key: 1, "__module__": __name__})
    with pytest.raises(GoldfoldError, match=rf"'{key}'"):
        resolve_config("baseline", {"recipe": "head"}, {"head": Recipe(params=shadowing, build=lambda *_: None)})


def test_protocol_and_loop_share_no_key():
    assert not set(Protocol.model_fields) & set(LoopOptions.model_fields)


ROOT = Path(__file__).parents[2]
SOURCES = [Path(goldfold.__file__).parent / "recipes", ROOT / "competitions", ROOT / "tests" / "toy"]


def fields_by_class() -> dict[str, set[str]]:
    """The fields of every ...Params class in recipes and competitions, read without importing what they import."""
    found = {}
    for path in (path for folder in SOURCES for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Params"):
                names = {line.target.id for line in node.body if isinstance(line, ast.AnnAssign)}
                found[f"{path.parent.name}/{path.stem}.{node.name}"] = names
    return found


def test_no_recipe_has_a_key_of_the_engine():
    engine = {*Protocol.model_fields, *LoopOptions.model_fields, "recipe", "search", "config"}
    shadowing = {name: keys & engine for name, keys in fields_by_class().items() if keys & engine}
    assert not shadowing
    assert len(fields_by_class()) >= 5


def test_baselines_keep_bounds_and_descriptions():
    class Bounded(Params):
        epochs: int = Field(10, ge=1, description="rounds")
        needed: int

    baseline = with_defaults(Bounded, epochs=3, needed=2)
    assert baseline() == baseline(epochs=3, needed=2)
    assert baseline.model_fields["epochs"].description == "rounds"
    assert Bounded.model_fields["epochs"].default == 10
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        baseline(epochs=0)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        with_defaults(Bounded, epochs=0, needed=1)()
    with pytest.raises(TypeError, match="has no field epoch"):
        with_defaults(Bounded, epoch=3)


def test_baselines_keep_roles():
    class Several(Params):
        rounds: Epochs = Field(10, ge=0)
        models: Models = "one"
        epochs: int = 1

    baseline = with_defaults(with_defaults(Several, rounds=3), models="per_class", epochs=2)
    assert names(baseline, Role.EPOCHS) == ["rounds"]
    assert values(baseline(), Role.MODELS) == {"models": "per_class"}
    assert names(baseline, Role.LIBRARIES) == []
    assert baseline.model_fields["rounds"].annotation is int


def test_shipped_recipes_mark_what_the_engine_reads():
    marked = {
        model: {role: names(model, role) for role in Role if names(model, role)}
        for model in (
            AutoencoderParams,
            EmbedderParams,
            FrozenBackboneParams,
            ImageClassifierParams,
            PatchLibraryParams,
            SegmenterParams,
        )
    }
    network = {Role.BACKBONE: ["backbone"], Role.PRETRAINED: ["pretrained"]}
    trained, viewed = {Role.EPOCHS: ["epochs"]}, {Role.VIEWS: ["views"]}
    mirrored = {Role.MIRRORS: ["augmentation"]}
    steps = {Role.BATCH_SIZE: ["batch_size"], Role.LEARNING_RATE: ["learning_rate"]}
    whole = ["simsiam_batch_size", "metric_batch_size"]
    assert marked == {
        AutoencoderParams: network | trained | mirrored | steps | {Role.MODELS: ["models"]},
        EmbedderParams: network
        | {Role.BATCH_SIZE: whole, Role.WHOLE_BATCH: whole}
        | {Role.EPOCHS: ["simsiam_epochs", "metric_epochs"], Role.MIRRORS: ["flip", "metric_augmentation"]},
        FrozenBackboneParams: network | {Role.WEIGHTS: ["weights"]} | trained | viewed | steps,
        ImageClassifierParams: network | {Role.WEIGHTS: ["weights"]} | trained | viewed | mirrored | steps,
        PatchLibraryParams: network | viewed | {Role.LIBRARIES: ["libraries"]},
        SegmenterParams: network | trained | viewed | {Role.MIRRORS: ["augmentation", "flip"]} | steps,
    }


def test_params_are_frozen_and_finite():
    with pytest.raises(ValueError, match="frozen"):
        HeadParams().epochs = 3
    assert math.isfinite(HeadParams().learning_rate)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("recipe: head\nsizes: &own [1, *own]", "holds the alias"),
        ("recipe: head\nname: &own {a: *own}", "holds the alias"),
        (f"recipe: head\nname: {'[' * 20_000}", "nested more than 50 deep"),
        (f"recipe: head\nname: {'[' * 60}{']' * 60}", "nested more than 50 deep"),
        (f"recipe: head\n{BOMB}", "more than 100,000 values"),
        ("recipe: head\nname: 2026-99-99", "month"),
        (f"recipe: head\nepochs: {'1' * 5_000}", "digits"),
    ],
    ids=["alias of a list", "alias of a mapping", "brackets", "closed brackets", "bomb", "date", "digits"],
)
def test_yaml_that_grows_or_does_not_end_is_refused_in_one_sentence(written, text: str, told: str) -> None:
    with raises_code("invalid_yaml", told):
        written(text)


def test_aliases_within_bounds_are_read(written) -> None:
    assert written("recipe: head\nsizes: &own [3, 4]\nsearch: {sizes: *own}").params.sizes == (3, 4)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", "..", "a\\b", "a\0b"])
def test_a_config_outside_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with raises_code("config_outside"):
        Workspace(tmp_path).config_path("digits", name)
