"""The config key `tracker:`, what is kept for trackers, and trackers that fail; no tracker needs to be installed."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from error_codes import raises_code

from goldfold.experiment.config import read_config
from goldfold.io.files import read_json
from goldfold.project import Project
from goldfold.trackers import told
from goldfold.trackers.observer import Tracking
from goldfold.trackers.settings import SETTINGS, MlflowSettings, parse
from goldfold.training.loop import History

NOBODY = {"mlflow": MlflowSettings(uri="http://127.0.0.1:9")}  # no server; nor, perhaps, is the package there


def test_one_key_has_a_name_a_list_or_settings() -> None:
    assert parse(None, "c") == parse({}, "c") == {}
    assert parse("wandb", "c") == {"wandb": SETTINGS["wandb"]()}
    assert list(parse(["tensorboard", "mlflow"], "c")) == ["tensorboard", "mlflow"]
    given = parse({"wandb": {"project": "solar", "mode": "offline"}, "tensorboard": None}, "c")
    assert (given["wandb"].project, given["wandb"].mode) == ("solar", "offline")


def test_wrong_trackers_say_what_is_right() -> None:
    with raises_code("unknown_tracker", "did you mean 'wandb'"):
        parse("wandbb", "c")
    with raises_code("unknown_key", "did you mean 'project'", "tracker wandb"):
        parse({"wandb": {"projct": "a"}}, "c")
    with raises_code("invalid_value", "tracker wandb", "mode: 'off'"):
        parse({"wandb": {"mode": "off"}}, "c")
    with raises_code("invalid_value", "tracker: 5", "tensorboard, wandb, mlflow"):
        parse(5, "c")
    with raises_code("tracker_uri_with_password", "MLFLOW_TRACKING_PASSWORD") as refused:
        parse({"mlflow": {"uri": "https://me:secret@host"}}, "c")
    assert "secret" not in str(refused)


@pytest.mark.parametrize("name", [name for name in SETTINGS if find_spec(name) is None])
def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_done(toy: Path, name: str) -> None:
    with raises_code("package_missing", f'pip install "goldfold[{name}]"'):
        Project(quiet=True).train("blobs", "perceptron", tracker=name)
    assert not Path("runs").exists()


def row(stage: str, epoch: int, loss: float = 0.5) -> dict:
    return {"stage": stage, "epoch": epoch, "loss": {"ce": loss, "l2": 0.1}, "scores": {"auroc": 0.9}, "seconds": 1.0}


def test_epochs_are_numbers_by_name() -> None:
    known = row("head", 2) | {
        "monitored": {"spread": {"value": 0.3, "higher_is_better": None, "alarm": ""}},
        "learning_rate": {"all": 0.1},
        "gradient_norm": {"ce": float("nan")},
    }
    found = told.epoch_of("fold0-seed0", known)
    assert (found.stage, found.number) == ("head", 2)
    assert found.values == {
        "loss": 0.6,
        "loss_terms/ce": 0.5,
        "loss_terms/l2": 0.1,
        "score/auroc": 0.9,
        "monitored/spread": 0.3,
        "learning_rate/all": 0.1,
        "seconds": 1.0,
    }
    assert next(iter(found.values)) == "loss"


def test_a_fit_in_training_tells_each_epoch_once_whatever_was_torn(tmp_path: Path) -> None:
    place = tmp_path / "fold0-seed0"
    for number in (1, 2):
        told.write_row(place, row("head", number))
    with (place / told.JOURNAL).open("a") as file:
        file.write('\n{"stage": "head", "epo')  # the process was killed here, after its checkpoint
    checkpoint = {"order": [0, 3], "row": row("head", 3), "files": {}}
    (place / "checkpoints").mkdir()
    (place / "checkpoints" / "head_epoch_003.json").write_text(json.dumps(checkpoint))
    told.write_row(place, row("head", 2, loss=0.4))  # a damaged checkpoint: the epoch was trained again
    told.write_row(place, row("second", 1))
    found = told.epochs_of(place)
    assert [(each.stage, each.number) for each in found] == [("head", 1), ("head", 2), ("head", 3), ("second", 1)]
    assert found[1].values["loss"] == 0.5


def test_a_tracker_that_fails_is_told_of_once_and_the_run_goes_on(toy: Path) -> None:
    run = Project(quiet=True).train("blobs", "perceptron", epochs=2, folds=[0, 1]).folder
    before = (run / "manifest.json").read_bytes()
    lines: list[str] = []
    observer = Tracking(run, NOBODY, toy, lines.append)
    observer.started()
    history: History = read_json(run / "fold0-seed0" / "history.json")
    for each in history:
        observer.epoch(0, 0, each)
    observer.fitted(run / "fold0-seed0")
    observer.finished()
    observer.close(failed=False)
    assert list(observer.failed) == ["mlflow"]
    assert [line.partition(":")[0] for line in lines] == ["warning  tracker_failed"]
    assert "make track RUN=blobs/perceptron-r1" in lines[0]
    assert (run / "manifest.json").read_bytes() == before


def test_track_asks_for_a_tracker(toy: Path) -> None:
    run = Project(quiet=True).train("blobs", "perceptron", epochs=1, folds=[0, 1])
    with raises_code("no_tracker", "TO=tensorboard"):
        run.track()
    with raises_code("invalid_yaml", "TO"):
        run.track("{wandb")


def test_a_tracker_is_no_part_of_what_a_run_is(toy: Path) -> None:
    recipes = Project().competition("blobs").recipes
    path = Path("configs/blobs/perceptron.yaml")
    tracked = read_config(path, ["tracker=[wandb, mlflow]"], recipes)
    assert tracked.tracker == ["wandb", "mlflow"]
    assert tracked.resolved() == read_config(path, [], recipes).resolved()
