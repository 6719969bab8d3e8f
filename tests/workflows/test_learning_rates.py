"""`goldfold lr` in a small project: what it writes, that it repeats and keeps nothing, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from error_codes import raises_code

from goldfold import Project
from goldfold.io.files import read_json


@pytest.fixture
def project(toy: Path) -> Project:
    return Project(toy, quiet=True)


def test_a_range_test_repeats_itself_and_leaves_a_picture_and_json(project: Project, toy: Path) -> None:
    found = project.learning_rate("blobs", "perceptron", seeds=2, steps=40)
    folder = toy / "runs" / "blobs" / "learning_rates" / "perceptron"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"learning_rate.{kind}" for kind in ("json", "png", "txt")
    ]
    assert [path.name for path in (toy / "runs" / "blobs").iterdir()] == ["learning_rates"]
    told = read_json(folder / "learning_rate.json")
    assert told["parameter"] == "learning_rate"
    assert told["suggestion"] == str(found.suggestion) == (folder / "learning_rate.txt").read_text().strip()
    assert [tuple(each["losses"]) for each in told["curves"]] == [curve.losses for curve in found.curves]
    assert found.curves[0].losses != found.curves[1].losses
    picture = cv2.imdecode(np.fromfile(folder / "learning_rate.png", np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] == 1020
    assert project.learning_rate("blobs", "perceptron", seeds=2, steps=40).curves == found.curves


def test_configs_without_training_are_refused(project: Project) -> None:
    with raises_code("nothing_to_sweep", "config 'estimator' trains nothing by epochs"):
        project.learning_rate("blobs", "estimator")
    with raises_code("invalid_sweep", "0 seeds"):
        project.learning_rate("blobs", "perceptron", seeds=0)
    with raises_code("unknown_key", "learning_rat"):
        project.learning_rate("blobs", "perceptron", overrides=["learning_rat=1"])
