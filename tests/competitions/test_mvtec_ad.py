"""MVTec AD: a fifth is hidden under names that tell nothing, and no test image is ever learnt from."""

from __future__ import annotations

from pathlib import Path

import made_defects
import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code

from competitions.mvtec_ad import COMPETITION, data, submission
from goldfold.competition import Runtime, Tables
from goldfold.data import tables
from goldfold.images import reading as images
from goldfold.recipes import patch_library
from goldfold.submission import writing as submissions


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("检测")
    return prepared(made_defects.mvtec(folder / "raw", each=5, good=10), folder)


def prepared(raw: Path, folder: Path) -> Path:
    for part in ("public", "private"):
        (folder / part).mkdir()
    COMPETITION.prepare(raw, folder / "public", folder / "private")
    return folder


@pytest.fixture
def loaded(hosted: Path) -> Tables:
    return COMPETITION.load(hosted / "public")


def test_a_fifth_of_the_test_images_of_each_class_and_kind_is_hidden(hosted: Path, loaded: Tables) -> None:
    tables.check(COMPETITION, loaded)
    shown = loaded.train[loaded.train["part"] == "test"].groupby(["class", "kind"]).size()
    expected = {"good": 8, "hole": 4, "划痕": 4}
    assert shown.to_dict() == {(of, kind): n for of in made_defects.CLASSES for kind, n in expected.items()}
    assert (loaded.train["part"] == "train").sum() == 30
    assert loaded.test["class"].value_counts().to_dict() == dict.fromkeys(made_defects.CLASSES, 4)
    solution = pd.read_csv(hosted / "private" / "solution.csv")
    assert solution["defect"].tolist() != sorted(solution["defect"])
    assert solution["defect"].sum() == 6


def test_nothing_public_tells_the_hidden_kinds(hosted: Path, loaded: Tables) -> None:
    assert loaded.test.columns.tolist() == ["id", "path", "class", "part"]
    assert {path.name for path in (hosted / "public").iterdir()} == {
        "images",
        "masks",
        "train.csv",
        "test.csv",
        "sample_submission.csv",
    }
    files = {path.stem for path in (hosted / "public" / "masks").iterdir()}
    assert files == set(loaded.train["id"])
    assert loaded.test["path"].map(lambda path: path.stem).tolist() == loaded.test["id"].tolist()
    for _, rows in loaded.train.sort_values("id").groupby("class"):
        runs = (rows["kind"] != rows["kind"].shift()).sum()
        assert runs > 2 * rows["kind"].nunique()  # numbered kind by kind, neighbours' numbers would tell


def test_images_and_masks_are_those_of_their_source(loaded: Tables) -> None:
    for row, mask in zip(loaded.train.itertuples(), data.masks(loaded.train), strict=True):
        of, part, kind, file = row.source.split("/")
        number = int(file[:3]) + (0 if part == "train" else 100 if kind == "good" else 200)
        pixels, truth = made_defects.product(of, number, kind)
        assert np.array_equal(images.read(row.path)[..., ::-1], pixels)
        assert np.array_equal(mask > 0, truth > 0)
        assert row.defect == int(kind != "good") == int((mask > 0).any())


def test_folds_learn_from_train_good_alone_and_validate_a_fifth_of_all(loaded: Tables) -> None:
    train = loaded.train
    folds = COMPETITION.split(train, 0)
    assert len(folds) == 5
    for fold in folds:
        learnt, scored = train.iloc[fold.train], train.iloc[fold.validation]
        assert set(learnt["source"].str.split("/").str[1]) == {"train"}
        assert set(learnt["class"]) == set(made_defects.CLASSES)
        counts = scored.groupby(["class", "part", "kind"]).size()
        whole = train.groupby(["class", "part", "kind"]).size()
        assert len(learnt) == 24
        assert ((counts.reindex(whole.index, fill_value=0) - whole / 5).abs() < 1).all()
    assert not all(np.array_equal(a.validation, b.validation) for a, b in zip(folds, data.split(train, 1), strict=True))


def test_kinds_of_few_images_and_one_class_can_be_split(loaded: Tables) -> None:
    few = loaded.train[loaded.train["class"] == "screw"].groupby("kind").head(12).reset_index(drop=True)
    few = few[~((few["kind"] == "hole") & (few.groupby("kind").cumcount() > 0))].reset_index(drop=True)
    folds = COMPETITION.split(few, 0)
    assert np.array_equal(np.sort(np.concatenate([fold.validation for fold in folds])), np.arange(len(few)))


def test_the_hidden_labels_grade_a_submission(hosted: Path, loaded: Tables) -> None:
    solution = submissions.read(hosted / "private" / "solution.csv", loaded.sample_submission)
    assert submission.grade(solution, solution) == 1
    assert submission.grade(loaded.sample_submission, solution) == 0.5
    assert submission.grade(solution.assign(defect=1 - solution["defect"]), solution) == 0


def test_a_short_training_finds_the_holes(hosted: Path, loaded: Tables, tmp_path: Path) -> None:
    recipe = COMPETITION.recipes["patch_library"]
    params = recipe.params(pretrained=False, image_size=64, library=400)
    assert isinstance(params, patch_library.PatchLibraryParams)
    assert [rule.broken(params) for rule in COMPETITION.rules] == [None]
    fold = COMPETITION.split(loaded.train, 0)[0]
    runtime = Runtime(seed=1, device=torch.device("cpu"), cache=tmp_path)
    plan = recipe.build(params, loaded.train.iloc[fold.train].reset_index(drop=True), runtime)
    scored = loaded.train.iloc[fold.validation].reset_index(drop=True)
    with torch.no_grad():
        library = plan.finish(None)
        found = plan.predict(None, library, tables.without_targets(scored, data.TARGETS))
        hidden = plan.predict(None, library, loaded.test)
    measured = [COMPETITION.metric, *(metric for metric in COMPETITION.also if metric.options.field in (None, "map"))]
    values = [metric.score(scored, found) for metric in measured]
    assert len(values) == 4
    assert values[0] > 0.8, values
    assert values[1] > 0.8, values
    frame = COMPETITION.submission.write(loaded.test, hidden)
    submissions.check(frame, loaded.sample_submission, loaded.test, COMPETITION.submission)
    solution = submissions.read(hosted / "private" / "solution.csv", loaded.sample_submission)
    assert submission.grade(frame, solution) > 0.8


def test_test_images_of_one_kind_alone_are_refused(tmp_path: Path) -> None:
    raw = made_defects.mvtec(tmp_path / "raw", each=0)
    with raises_code("too_few_test_images", "has 18 and 0"):
        prepared(raw, tmp_path)
