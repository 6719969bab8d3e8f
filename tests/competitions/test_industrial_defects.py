"""The homework's folders come through whole, in any script, and one short training makes the submission it asks for."""

from __future__ import annotations

from pathlib import Path

import made_defects
import numpy as np
import pytest
import torch
from error_codes import raises_code

from competitions.industrial_defects import COMPETITION, data
from goldfold.competition import Runtime, Tables
from goldfold.data import tables
from goldfold.images import reading as images
from goldfold.submission import writing as submissions


def prepared(raw: Path, folder: Path) -> Path:
    for part in ("public", "private"):
        (folder / part).mkdir(parents=True)
    COMPETITION.prepare(raw, folder / "public", folder / "private")
    assert not list((folder / "private").iterdir())
    return folder / "public"


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("作业")
    return prepared(made_defects.homework(folder / "raw"), folder)


@pytest.fixture
def loaded(public: Path) -> Tables:
    return COMPETITION.load(public)


def test_tables_hold_each_image_as_it_was(public: Path, loaded: Tables) -> None:
    tables.check(COMPETITION, loaded)
    assert (len(loaded.train), len(loaded.test)) == (30, 12)
    assert set(loaded.train["class"]) == set(made_defects.CLASSES)
    assert set(loaded.train["defect"]) == {0}
    assert set(loaded.test["class"]) == {"?"}
    assert loaded.test["id"].tolist() == [f"{number:04d}" for number in range(11, -1, -1)]
    carpet = loaded.train.set_index("id").loc["地毯/003"]
    assert np.array_equal(images.read(carpet["path"])[..., ::-1], made_defects.product("地毯", 3)[0])
    assert carpet["path"] == public / "train" / "地毯" / "003.png"


def test_folds_hold_each_class_where_it_is_known(loaded: Tables) -> None:
    folds = COMPETITION.split(loaded.train, 0)
    assert len(folds) == 5
    for fold in folds:
        assert loaded.train["class"].iloc[fold.validation].value_counts().eq(2).all()
    unknown = COMPETITION.split(loaded.train.assign(**{"class": "?"}), 0)
    assert [len(fold.validation) for fold in unknown] == [6] * 5


def test_a_class_training_never_saw_is_kept(tmp_path: Path) -> None:
    raw = made_defects.homework(tmp_path / "raw", train=5, test=1)
    (raw / "sample_submission.csv").unlink()
    made_defects.save(raw / "test" / "拉链" / "1.png", np.full((48, 48, 3), 80, np.uint8))
    loaded = COMPETITION.load(prepared(raw, tmp_path))
    assert loaded.test["class"].tolist() == ["?", "?", "?", "拉链"]
    assert loaded.sample_submission["id"].tolist() == loaded.test["id"].tolist() == ["0000", "0001", "0002", "1"]


@pytest.mark.parametrize("recipe", COMPETITION.recipes)
def test_a_short_training_makes_the_submission(loaded: Tables, recipe: str, tmp_path: Path) -> None:
    """Of pseudo-anomalies, and by images alone: the class column may say anything."""
    made = COMPETITION.recipes[recipe]
    wanted = {"image_size": 64, "library": 200, "epochs": 1, "widths": (8, 8, 8, 8, 8)}
    params = made.params(pretrained=False, **{k: v for k, v in wanted.items() if k in made.params.model_fields})
    assert [rule.broken(params) for rule in COMPETITION.rules] == [None]
    runtime = Runtime(seed=1, device=torch.device("cpu"), cache=tmp_path)
    plan = made.build(params, loaded.train, runtime)
    with torch.no_grad():
        fitted = plan.finish(plan.model and plan.model.eval())
        validation = plan.predict(plan.model, fitted, tables.without_targets(loaded.train, data.TARGETS))
        found = plan.predict(plan.model, fitted, loaded.test)
        renamed = plan.predict(plan.model, fitted, loaded.test.assign(**{"class": "地毯"}))
    assert np.array_equal(found["score"], renamed["score"])
    assert 0 <= COMPETITION.metric.score(loaded.train, validation) <= 1
    assert "real defects" in COMPETITION.metric.name
    frame = COMPETITION.submission.write(loaded.test, found)
    submissions.check(frame, loaded.sample_submission, loaded.test, COMPETITION.submission)
    assert list(frame.columns) == ["id", "prediction"]
    broken = frame.assign(prediction=frame["prediction"].where(frame["id"] != "0003", np.inf))
    with raises_code("submission_value_infinite"):
        submissions.check(broken, loaded.sample_submission, loaded.test, COMPETITION.submission)


def test_absent_folders_say_where_they_belong(tmp_path: Path) -> None:
    with raises_code("no_images", "raw/train"):
        COMPETITION.prepare(tmp_path / "raw", tmp_path, tmp_path)
