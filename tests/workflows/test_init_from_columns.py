"""`init_from` where columns of the table are inputs: weights are taken over only if the columns are the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from error_codes import raises_code
from safetensors.torch import load_file

from goldfold.experiment.config import read_config
from goldfold.experiment.fits import fit
from goldfold.experiment.fits.initial_weights import describe
from goldfold.experiment.setup import prepare_experiment
from goldfold.experiment.workspace import Workspace
from goldfold.project import Project

RECIPES = """
from PIL import Image
from goldfold.recipes import frozen_backbone, image_classifier, tabular_network

def with_images(public):
    def table(rows):
        for name in rows["id"]:
            noise = np.random.default_rng(int(name[1:])).integers(0, 256, (32, 32), np.uint8)
            Image.fromarray(noise).save(public / f"{name}.png")
        paths = [public / f"{name}.png" for name in rows["id"]]
        return rows.assign(path=paths, side=np.where(rows["a"] > 1, "左", "右"), kind=rows["b"].gt(0))
    tables = load(public)
    return Tables(train=table(tables.train), test=table(tables.test), sample_submission=tables.sample_submission)

def network(classes):
    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(16, classes))

tiny = {"image_size": 32, "epochs": 1}
RECIPES = {
    "frozen": frozen_backbone.recipe("label", (0, 1), backbone="test_resnet", pretrained=False, **tiny),
    "images": image_classifier.recipe("label", (0, 1), network=network, gray=True, augmentation="none", **tiny),
    **{
        f"table_{name}": tabular_network.recipe("label", (0, 1), numeric=["a", name], epochs=1, members=2, hidden=(8,))
        for name in "bc"
    },
}
COMPETITION = dataclasses.replace(COMPETITION, load=with_images, recipes=RECIPES)
"""
BY_SIDE = "categorical_columns=[side]"
BY_KIND = "categorical_columns=[kind]"


@pytest.fixture
def workspace(toy: Path) -> Workspace:
    """The toy project with recipes that take columns of the table."""
    code = Path("competitions/blobs/__init__.py")
    text = code.read_text(encoding="utf-8").replace("from pathlib", "import dataclasses\nfrom pathlib", 1)
    code.write_text(text + RECIPES, encoding="utf-8")
    for name in ("frozen", "images", "table_b", "table_c"):
        Path(f"configs/blobs/{name}.yaml").write_text(f"recipe: {name}\n", encoding="utf-8")
    return Project(quiet=True).workspace


def fitted(workspace: Workspace, name: str, *values: str, start: Path | None = None) -> Path:
    """A run's folder with the fit of fold 0, which starts from that of another folder."""
    recipes = workspace.competition("blobs").recipes
    config = read_config(workspace.config_path("blobs", name), values, recipes)
    experiment = prepare_experiment(workspace, "blobs", config, torch.device("cpu")).experiment
    run = Path(f"runs/blobs/{name}-r{len(list(Path().glob('runs/blobs/*'))) + 1}")
    fit(replace(experiment, starts_from=start), run, 0, 0)
    return run


def started(run: Path) -> dict:
    return json.loads((run / "fold0-seed0/initial_weights.json").read_text())


def weights(run: Path) -> dict:
    (file,) = (run / "fold0-seed0/checkpoints").glob("*.safetensors")
    return load_file(file)


@pytest.mark.parametrize("name", ["frozen", "images"])
def test_weights_of_columns_are_taken_from_a_run_with_the_same_ones_alone(workspace: Workspace, name: str) -> None:
    image = fitted(workspace, name)
    beside = fitted(workspace, name, "learning_rate=0.1", BY_SIDE, start=image)
    assert started(beside)["left_out"] == ["columns"]
    trained = weights(beside)["columns.weight"]
    assert trained.abs().max() > 0.01
    same = fitted(workspace, name, "learning_rate=1e-12", BY_SIDE, start=beside)
    assert started(same)["left_out"] == []
    assert weights(same)["columns.weight"].allclose(trained, atol=1e-6)
    other = fitted(workspace, name, "learning_rate=1e-12", BY_KIND, start=beside)  # of equal width
    assert started(other)["left_out"] == ["columns"]
    assert weights(other)["columns.weight"].shape == trained.shape
    assert weights(other)["columns.weight"].abs().max() < 1e-6
    assert describe(other).endswith("columns does not fit there and starts anew")
    without = fitted(workspace, name, "learning_rate=1e-12", start=beside)
    assert (started(without)["left_out"], started(without)["unused"]) == ([], ["columns"])
    assert describe(without).endswith("for the same fold; its columns are not used")


def test_a_network_of_columns_alone_does_not_start_from_other_columns(workspace: Workspace) -> None:
    first = fitted(workspace, "table_b")
    fitted(workspace, "table_b", start=first)
    with raises_code("init_from_other_columns", r"blobs/table_b-r1.*\['a', 'b'\].*here \['a', 'c'\]"):
        fitted(workspace, "table_c", start=first)
