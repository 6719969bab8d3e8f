"""The real TensorBoard, W&B and MLflow: a run that was killed and resumed is one run there, with every epoch once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldfold.project import Project

HERE = Path(__file__).parents[1]
COMMAND = ["train", "--comp", "blobs", "--config", "perceptron", "epochs=4", "folds=[0,1]", "seeds=[0]"]
STEPS = [1, 2, 3, 4]
BLOCK, HEADER = 32768, 7  # bytes of LevelDB's log format, which W&B's files have
pytestmark = pytest.mark.slow


def killed_and_resumed(folder: Path, tracker: str) -> Path:
    """A run that is killed in the second epoch of its second fit, and then resumed; returns its folder."""
    shutil.copytree(HERE / "toy", folder, ignore=shutil.ignore_patterns("__pycache__"))
    script = [sys.executable, str(HERE / "interrupted.py"), "step", "28", str(folder)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "MLFLOW_"))}
    home = {"HOME": str(folder), "NETRC": str(folder / "none")}  # nobody is logged in
    done = subprocess.run(
        [*script, "--", *COMMAND, f"tracker={tracker}"], env=environment | home, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "tracker_failed" not in done.stdout, done.stdout
    return folder / "runs" / "blobs" / "perceptron-r1"


def losses(run: Path, fit: str) -> list[float]:
    """The losses of a fit as its history has them."""
    return [row["loss"]["cross_entropy"] for row in json.loads((run / fit / "history.json").read_text())]


def test_tensorboard_has_every_epoch_of_every_fold_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = killed_and_resumed(tmp_path / "project", "tensorboard")
    monkeypatch.chdir(tmp_path / "project")
    for _ in range(2):  # and after it was sent again
        place = Path("trackers/tensorboard/blobs/perceptron-r1")
        for fit in ("fold0-seed0", "fold1-seed0"):
            events = EventAccumulator(str(place / fit)).Reload().Scalars("head/loss")
            assert [event.step for event in events] == STEPS
            assert [event.value for event in events] == pytest.approx(losses(run, fit), rel=1e-6)
        whole = EventAccumulator(str(place)).Reload()
        (mean,) = whole.Scalars("cv/auroc/mean")
        assert mean.value == pytest.approx(json.loads((run / "metrics.json").read_text())["auroc"]["mean"])
        assert "pictures/learning_curves" in whole.Tags()["images"]
        assert {"config/text_summary", "findings/text_summary", "record/text_summary"} <= set(whole.Tags()["tensors"])
        Project(quiet=True).run("perceptron-r1").track()


def records(path: Path) -> Iterator[bytes]:
    """The records of a W&B file: LevelDB's log format after a header of 7 bytes."""
    data, at, whole = path.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:  # the rest of a block is padding
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # a full record, or the last part of one
            yield whole
            whole = b""


def test_wandb_without_a_login_has_one_offline_run(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    from wandb.proto.wandb_internal_pb2 import Record

    run = killed_and_resumed(tmp_path / "project", "wandb")
    (folder,) = (tmp_path / "project").glob("trackers/wandb/wandb/offline-run-*")
    (file,) = folder.glob("*.wandb")
    found = []
    for each in records(file):
        found.append(Record())
        found[-1].ParseFromString(each)
    rows = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in found
        if record.WhichOneof("record_type") == "history"
    ]
    for fit in ("fold0-seed0", "fold1-seed0"):
        own = [row for row in rows if f"{fit}/head/epoch" in row]
        assert [row[f"{fit}/head/epoch"] for row in own] == STEPS
        assert [row[f"{fit}/head/loss"] for row in own] == pytest.approx(losses(run, fit))
    assert any({"findings/path", "pictures/learning_curves/path"} <= row.keys() for row in rows)
    assert (folder / "files" / "record.md").read_text() == (run / "record.md").read_text()
    summary = {
        "/".join(item.nested_key) or item.key
        for record in found
        if record.WhichOneof("record_type") == "summary"
        for item in record.summary.update
    }
    assert {"cv/auroc/mean", "cv/auroc/sd", "cv/auroc/interval_low"} <= summary


def test_mlflow_has_one_run_in_its_local_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    from mlflow import MlflowClient

    run = killed_and_resumed(tmp_path / "project", "mlflow")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Project(quiet=True).run("perceptron-r1").track()  # nothing of it is there already
    client = MlflowClient(f"sqlite:///{Path('trackers/mlflow/mlflow.db').resolve()}")
    experiment = client.get_experiment_by_name("blobs")
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.status, found.info.run_name) == ("FINISHED", "perceptron-r1")
    for fit in ("fold0-seed0", "fold1-seed0"):
        history = client.get_metric_history(found.info.run_id, f"{fit}/head/loss")
        assert [metric.step for metric in history] == STEPS
        assert [metric.value for metric in history] == pytest.approx(losses(run, fit))
    own = json.loads((run / "metrics.json").read_text())["auroc"]
    assert found.data.metrics["cv/auroc/mean"] == own["mean"]
    assert len(client.get_metric_history(found.info.run_id, "cv/auroc/sd")) == 1
    assert found.data.params["recipe"] == "perceptron"
    artifacts = {each.path for each in client.list_artifacts(found.info.run_id)}
    assert {"record.md", "findings.json", "pictures"} <= artifacts
