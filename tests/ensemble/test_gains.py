"""`gains` on small pictures: what views, seeds and folds give is worked out again by hand and by other runs."""

from __future__ import annotations

import json
from itertools import chain, pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from goldfold.cli.main import main
from goldfold.errors import GoldfoldError
from goldfold.experiment import views_and_seeds
from goldfold.experiment.fits import Experiment
from goldfold.experiment.setup import rebuild
from goldfold.experiment.workspace import Workspace
from goldfold.project import Project
from goldfold.workflows.gains import gains

ARROWS = '''"""Noisy pictures that are brighter to the left, to the right, or above."""

import cv2
import numpy as np
import pandas as pd
from torch import nn

from goldfold import metrics
from goldfold.competition import Competition, Submission
from goldfold.data import folds, self_hosting
from goldfold.recipes import frozen_backbone, image_classifier

WAYS = ("left", "right", "above")


def prepare(raw, public, private):
    draw, rows = np.random.default_rng(0), []
    (public / "图").mkdir()
    for number in range(90):
        pixels = draw.normal(120, 30, (12, 12))
        way = WAYS[number % 3]
        half = {"left": np.s_[:, :6], "right": np.s_[:, 6:], "above": np.s_[:6]}[way]
        pixels[half] += 25
        path = f"图/{number}.png"
        cv2.imencode(".png", pixels.clip(0, 255).astype(np.uint8))[1].tofile(public / path)
        rows.append((number, path, way))
    table = pd.DataFrame(rows, columns=["id", "path", "way"])
    self_hosting.write(table, np.arange(66, 90), ["way"], {"way": "left"}, public, private)


def network(classes):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(400, classes))


METRIC = metrics.accuracy("way", classes=WAYS)

COMPETITION = Competition(
    slug="arrows",
    metric=METRIC,
    also=(metrics.log_loss("way", classes=WAYS),),
    targets=("way",),
    prepare=prepare,
    load=self_hosting.read,
    split=lambda train, seed: folds.stratified(train["way"], folds=3, seed=seed),
    recipes={
        "trained": image_classifier.recipe(
            "way", WAYS, network=network, gray=True, image_size=12, augmentation="none", epochs=3, learning_rate=1e-2
        ),
        "frozen": frozen_backbone.recipe(
            "way", WAYS, backbone="test_resnet", pretrained=False, image_size=32, views="mirrored", epochs=3, hidden=4
        ),
    },
    submission=Submission(
        write=lambda test, found: pd.DataFrame({"id": test["id"], "way": np.array(WAYS)[found.argmax(axis=1)]})
    ),
    grade=lambda submission, solution: METRIC.score(
        solution, np.eye(3)[[WAYS.index(way) for way in submission["way"]]]
    ),
)
'''
WAYS = ("left", "right", "above")


@pytest.fixture
def arrows(toy: Path) -> Path:
    """The folder of the runs of a small competition with pictures."""
    (toy / "competitions/arrows").mkdir()
    (toy / "competitions/arrows/__init__.py").write_text(ARROWS, encoding="utf-8")
    (toy / "configs/arrows").mkdir()
    for recipe in ("trained", "frozen"):
        (toy / f"configs/arrows/{recipe}.yaml").write_text(f"recipe: {recipe}\n", encoding="utf-8")
    return Path("runs/arrows")


def train(comp: str, config: str, *overrides: str) -> None:
    main(["train", "--comp", comp, "--config", config, "--quiet", *overrides])


def gained(run: Path, *views: str) -> dict:
    """What the command writes."""
    main(["gains", "--run", f"{run.parent.name}/{run.name}", *(["--views", *views] if views else []), "--quiet"])
    return json.loads((run / "gains.json").read_text(encoding="utf-8"))


def folds_of(run: Path, metric: str = "accuracy") -> dict[str, float]:
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))[metric]["folds"]


def by_views(found: dict, metric: str = "accuracy") -> dict[str, dict]:
    return {each["views"]: each["metrics"][metric] for each in found["views"]}


def experiment_of(run: Path) -> Experiment:
    return rebuild(Workspace(), run, torch.device("cpu")).experiment


def pictures(rows: pd.DataFrame) -> np.ndarray:
    return np.stack([cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE) for path in rows["path"]])


@pytest.mark.slow
def test_views_score_as_runs_that_were_trained_with_them(arrows: Path) -> None:
    """Views change no weights of this recipe, so that every set must score what a run of its own does."""
    runs = {views: arrows / f"trained-r{number}" for number, views in enumerate(("none", "flips", "turns"), start=1)}
    for views in runs:
        train("arrows", "trained", "seeds=[3,5]", "epochs=2", f"views={views}")
    before = {
        path: path.read_bytes()
        for path in runs["flips"].rglob("*")
        if path.is_file() and path.name not in (".lock", "manifest.json")
    }
    found = gained(runs["flips"])
    assert [each["views"] for each in found["views"]] == ["none", "mirrored", "flips", "turns", "crops"]
    assert [each["own"] for each in found["views"]] == [False, False, True, False, False]
    for metric in ("accuracy", "log_loss"):
        for views in runs:
            own = by_views(found, metric)[views]
            assert own["folds"] == pytest.approx(folds_of(runs[views], metric), abs=1e-6)
            differences = [folds_of(runs[views], metric)[fold] - folds_of(runs["none"], metric)[fold] for fold in "012"]
            assert own["difference"]["mean"] == pytest.approx(np.mean(differences), abs=1e-6)
    sign = {"accuracy": 1, "log_loss": -1}
    for metric in sign:
        turned, plain = (folds_of(runs[views], metric) for views in ("turns", "none"))
        better = sum(sign[metric] * (turned[fold] - plain[fold]) > 0 for fold in plain)
        assert by_views(found, metric)["turns"]["difference"]["better"] == better
    assert folds_of(runs["turns"]) != folds_of(runs["none"])
    assert all(each["seconds_per_1000_rows"] > 0 for each in found["views"])
    assert found["views"][0]["cost"] == 1
    assert {path: path.read_bytes() for path in before} == before
    assert (runs["flips"] / "gains.png").read_bytes().startswith(b"\x89PNG")


def test_weights_are_those_of_the_epoch_that_a_fit_chose(arrows: Path) -> None:
    train("arrows", "trained", "select=best", "learning_rate=0.05", "epochs=5", "debug=true")
    run = arrows / "trained-r1"
    experiment = experiment_of(run)
    fits = views_and_seeds.load_fits(experiment, run)
    assert any(fit.epoch < 5 for fit in fits)
    for fit in fits:
        predict, rows = views_and_seeds.load_predictor(experiment, run, fit)
        np.testing.assert_array_equal(predict(rows), fit.validation)
        weights = load_file(run / f"fold{fit.fold}-seed0/checkpoints/fit_epoch_{fit.epoch:03d}.safetensors")
        inputs = torch.from_numpy(pictures(rows))[:, None].float() / 127.5 - 1
        with torch.no_grad():
            maps = nn.functional.conv2d(inputs, weights["network.0.weight"], weights["network.0.bias"]).relu()
            logits = nn.functional.linear(maps.flatten(1), weights["network.4.weight"], weights["network.4.bias"])
        np.testing.assert_allclose(logits.softmax(1).numpy(), fit.validation, atol=1e-5)


def test_a_frozen_backbones_head_sees_other_views_with_the_weights_it_has(arrows: Path) -> None:
    train("arrows", "frozen")
    run = arrows / "frozen-r1"
    found = by_views(gained(run, "flips"))
    assert list(found) == ["none", "flips"]  # what others are compared with is always there
    experiment = experiment_of(run)
    for fit in views_and_seeds.load_fits(experiment, run):
        predict, rows = views_and_seeds.load_predictor(experiment, run, fit)
        np.testing.assert_allclose(predict(rows), fit.validation, atol=1e-6)
    own = by_views(gained(run, "mirrored"))["mirrored"]
    assert own["folds"] == folds_of(run)


def test_seeds_together_are_the_mean_of_their_predictions(arrows: Path) -> None:
    train("arrows", "trained", "seeds=[3,5,8]", "folds=[0,2]")
    run = arrows / "trained-r1"
    found = gained(run, "none")["seeds"]
    assert found["members"] == 3
    rows, folds = pd.read_csv("data/arrows/public/train.csv"), pd.read_csv(run / "folds.csv")
    for fold in (0, 2):
        truth = rows.loc[(folds["fold"] == fold).to_numpy(), "way"].map(WAYS.index).to_numpy()
        predictions = np.stack([np.load(run / f"fold{fold}-seed{seed}/validation.npy") for seed in (3, 5, 8)])
        together = np.mean(predictions.mean(axis=0).argmax(axis=1) == truth)
        alone = np.mean(predictions.argmax(axis=2) == truth)
        assert found["metrics"]["accuracy"]["folds"][str(fold)] == pytest.approx(together)
        assert found["alone"]["accuracy"]["folds"][str(fold)] == pytest.approx(alone)
        likely = -np.log(predictions.mean(axis=0)[np.arange(len(truth)), truth]).mean()
        assert found["metrics"]["log_loss"]["folds"][str(fold)] == pytest.approx(likely, abs=1e-6)
    alone, together = found["alone"]["accuracy"], found["metrics"]["accuracy"]
    assert together["difference"]["mean"] == pytest.approx(together["mean"] - alone["mean"])


def test_each_fit_and_all_together_are_graded_by_the_hidden_labels(arrows: Path, capsys) -> None:
    train("arrows", "trained", "seeds=[0,1]", "epochs=1")
    run = arrows / "trained-r1"
    found = gained(run, "none")["folds"]
    truth = pd.read_csv("data/arrows/private/solution.csv")["way"].map(WAYS.index).to_numpy()
    names = [f"fold{fold}-seed{seed}" for fold in range(3) for seed in range(2)]
    predictions = np.stack([np.load(run / name / "test.npy") for name in names])
    alone = np.mean(predictions.argmax(axis=2) == truth, axis=1)
    together = np.mean(predictions.mean(axis=0).argmax(axis=1) == truth)
    assert [found["alone"][name] for name in names] == pytest.approx(alone)
    assert found["mean"] == pytest.approx(alone.mean())
    assert found["sd_ddof1"] == pytest.approx(alone.std(ddof=1))
    assert found["together"] == pytest.approx(together)
    assert found["better"] == (together > alone).sum()
    capsys.readouterr()
    main(["grade", "--run", "latest"])
    assert f"| folds combined |          {together:.4f} |" in capsys.readouterr().out


def test_what_cannot_be_measured_is_said(arrows: Path, capsys) -> None:
    train("blobs", "estimator")
    found = gained(Path("runs/blobs/estimator-r1"))
    assert (found["views"], found["seeds"]) == (None, None)
    assert found["folds"]["members"] == 3
    told = capsys.readouterr().out
    assert "views not measured: the recipe has no parameter for test-time views" in told
    assert "seeds not measured: the run has one seed a fold" in told
    Path("data/blobs/private/solution.csv").unlink()
    assert gained(Path("runs/blobs/estimator-r1"))["folds"] is None
    assert "'blobs' keeps no hidden labels here" in capsys.readouterr().out
    train("arrows", "trained", "folds=[1]")
    gained(arrows / "trained-r1", "none", "mirrored")
    told = capsys.readouterr().out
    assert "the run is one fit" in told
    assert "one fold, no interval" in told


def test_mistakes_are_answered_with_what_to_do(arrows: Path) -> None:
    train("arrows", "trained", "folds=[0]")
    run = arrows / "trained-r1"
    assert refused(run, ["mirored"]).code == "unknown_views"
    assert "did you mean 'mirrored'" in refused(run, ["mirored"]).message
    for file in (run / "fold0-seed0/checkpoints").glob("fit_epoch_003*"):
        file.unlink()
    assert "the weights of epoch 3" in refused(run, ["mirrored"]).message
    with Path("competitions/arrows/__init__.py").open("a", encoding="utf-8") as file:
        file.write("\nANOTHER = 1\n")
    error = refused(run)
    assert error.code == "code_changed"
    assert "arrows/trained-r1" in error.message


def refused(run: Path, views: list[str] | None = None) -> GoldfoldError:
    with pytest.raises(GoldfoldError) as refusal:
        gains(Workspace(), run, views, device="cpu")
    return refusal.value


def test_the_gains_are_a_value_that_the_command_prints(arrows: Path, capsys) -> None:
    train("arrows", "trained", "seeds=[0,1]", "epochs=1")
    found = Project(quiet=True).run("latest").gains(["mirrored"], device="cpu")
    table = found.table.set_index(["part", "way"])
    assert list(table.index) == [
        ("views", "none"),
        ("views", "mirrored"),
        ("seeds", "one seed"),
        ("seeds", "2 together"),
        ("folds", "one fit"),
        ("folds", "6 together"),
    ]
    measured = json.loads((arrows / "trained-r1/gains.json").read_text(encoding="utf-8"))
    assert measured == json.loads(json.dumps(found.measured))
    own = by_views(measured)["mirrored"]
    assert table.loc[("views", "mirrored"), "score"] == own["mean"]
    assert table.loc[("views", "mirrored"), ["low", "high"]].tolist() == own["difference"]["interval"]
    assert table.loc[("folds", "6 together"), "score"] == measured["folds"]["together"]
    assert not found.not_measured
    assert found.picture.read_bytes().startswith(b"\x89PNG")
    assert str(found).splitlines()[-1] == f"{found.picture}: the differences with their intervals"
    assert str(found) in found._repr_markdown_()


@pytest.mark.parametrize("rows", [1, 2, 9, 24, 25, 200])
def test_timed_batches_grow_and_hold_every_row_once(rows: int) -> None:
    batches = [batch["id"].tolist() for batch in views_and_seeds._doubling(pd.DataFrame({"id": range(rows)}))]
    assert len(batches) > 1
    assert list(chain(*batches)) == (list(range(rows)) if rows > 1 else [0, 0])
    assert all(len(later) == 2 * len(batch) for batch, later in pairwise(batches[:-1]))
