"""The competitions frames and lookalikes: what is hidden stays hidden, the guard holds, grade and metric agree."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import made_recordings
import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code

from competitions import frames, lookalikes
from goldfold.competition import Competition, Tables
from goldfold.data import tables
from goldfold.images import reading as images
from goldfold.retrieval.pairs import count_relevant
from goldfold.submission import writing as submissions

DRAW = np.random.default_rng(4)
ROOT = Path(__file__).parents[2]


def drives(raw: Path) -> Path:
    """Three drives of 95 s in CamVid's layout, each frame its own noise."""
    for part, recording, mark in (("train", "0001XX", ""), ("val", "0002YY", "f"), ("test", "Seq03ZZ", "f")):
        pixels = DRAW.integers(0, 256, (95, 12, 16, 3), np.uint8)
        folder = made_recordings.images(raw / part, pixels)
        for number in range(95):
            (folder / f"{number:04d}.png").rename(folder / f"{recording}_{mark}{300 + 30 * number:05d}.png")
    return raw


def prepared(competition: Competition, raw: Path, folder: Path) -> Path:
    for part in ("public", "private"):
        (folder / part).mkdir(parents=True)
    competition.prepare(raw, folder / "public", folder / "private")
    return folder


def graded(competition: Competition, folder: Path, embeddings: Callable[[pd.DataFrame], np.ndarray]) -> None:
    """Check a submission of these embeddings and hold its grade against the metric of the same."""
    loaded = competition.load(folder / "public")
    solution = submissions.read(folder / "private" / "solution.csv", loaded.sample_submission)
    assert solution["id"].tolist() == loaded.test["id"].tolist()
    predictions = embeddings(solution)
    frame = competition.submission.write(loaded.test, predictions)
    submissions.check(frame, loaded.sample_submission, loaded.test, competition.submission)
    score = competition.metric.score(solution, predictions)
    assert competition.grade(frame, solution) == pytest.approx(score, abs=1e-9)
    assert competition.metric.chance(solution) + 0.1 < score < 0.99


def too_near(some: pd.DataFrame, others: pd.DataFrame) -> int:
    same = some["recording"].to_numpy()[:, None] == others["recording"].to_numpy()
    apart = np.abs(some["second"].to_numpy()[:, None] - others["second"].to_numpy())
    return int((same & (apart <= 2 + 1e-9)).sum())


def clock(rows: pd.DataFrame) -> np.ndarray:
    """Embeddings that know the recording and, roughly, the second."""
    angle = rows["second"].to_numpy()[:, None] / [7.0, 40.0] + DRAW.normal(0, 0.4, (len(rows), 2))
    return np.hstack([np.sin(angle), np.cos(angle), 2 * pd.get_dummies(rows["recording"]).to_numpy()])


@pytest.fixture(scope="module", params=["made", "CamVid"])
def drive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    if request.param == "made":
        return prepared(frames.COMPETITION, drives(folder / "raw"), folder)
    if "GOLDFOLD_SAMPLE_DATA" not in os.environ:
        pytest.skip("GOLDFOLD_SAMPLE_DATA is unset: CamVid's photographs are not here")
    raw = Path(os.environ["GOLDFOLD_SAMPLE_DATA"]) / frames.COMPETITION.sample_data
    return prepared(frames.COMPETITION, raw, folder)


@pytest.fixture
def loaded(drive: Path) -> Tables:
    return frames.COMPETITION.load(drive / "public")


def hidden(drive: Path, loaded: Tables) -> pd.DataFrame:
    return submissions.read(drive / "private" / "solution.csv", loaded.sample_submission)


def test_nothing_in_the_test_table_or_its_files_tells_the_time(drive: Path, loaded: Tables) -> None:
    tables.check(frames.COMPETITION, loaded)
    assert list(loaded.test.columns) == ["id", "path"]
    solution = hidden(drive, loaded)
    for column in ("id", "path"):
        text = loaded.test[column].astype(str).str.removeprefix(str(drive))
        assert not text.str.contains("|".join(solution["recording"].unique())).any()
    order = solution["second"].to_numpy()
    assert abs(np.corrcoef(np.arange(len(order)), order)[0, 1]) < 0.3
    assert len(images.content_hashes(loaded.test["path"].tolist())) == len(solution)


def test_whole_blocks_are_hidden_and_no_near_duplicate_of_them_is_trained_on(drive: Path, loaded: Tables) -> None:
    solution = hidden(drive, loaded)
    assert not set(solution["block"]) & set(loaded.train["block"])
    assert not set(solution["place"]) & set(loaded.train["place"])
    assert too_near(loaded.train, solution) == 0
    total = len(solution) + len(loaded.train)
    assert 0.15 < len(solution) / total < 0.3
    assert count_relevant(frames.data.pairs(solution)).relevant.min() > 0


def test_folds_part_blocks_and_places_with_a_guard(loaded: Tables) -> None:
    train = loaded.train
    for fold in frames.COMPETITION.split(train, 0):
        part, rest = train.iloc[fold.validation], train.iloc[fold.train]
        assert not set(part["block"]) & set(rest["block"])
        assert not set(part["place"]) & set(rest["place"])
        assert too_near(rest, part) == 0
        assert count_relevant(frames.data.pairs(part)).relevant.min() > 0
    assert train.groupby("place")["block"].nunique().eq(1).all()


def test_frames_are_graded_as_they_are_scored(drive: Path) -> None:
    graded(frames.COMPETITION, drive, clock)


def test_right_frames_are_near_in_time_and_not_copies() -> None:
    seconds = [0, 1, 2, 2.5, 10, 10.5, 4]
    rows = pd.DataFrame({"recording": ["a"] * 6 + ["b"], "second": seconds})
    found = frames.data.pairs(rows)
    assert np.flatnonzero(found.relevant(slice(0, 1))[0]).tolist() == [3, 4]
    assert np.flatnonzero(found.left_out(slice(0, 1))[0]).tolist() == [0, 1, 2]


def test_other_files_are_refused(tmp_path: Path) -> None:
    made_recordings.images(tmp_path / "raw" / "train", np.zeros((2, 4, 4), np.uint8))
    with raises_code("raw_data_invalid", r"found .*0000\.png", "README"):
        prepared(frames.COMPETITION, tmp_path / "raw", tmp_path)
    with raises_code("raw_data_invalid", "found no image"):
        prepared(frames.COMPETITION, tmp_path / "nothing", tmp_path / "b")


def classes(raw: Path) -> Path:
    """Six folders of eight images, one with 103, and one with a single image; brightness is the class."""
    for number, count in enumerate([8, 8, 8, 8, 8, 8, 103, 1]):
        pixels = DRAW.integers(20 * number, 20 * number + 60, (count, 6, 6), np.uint8)
        made_recordings.images(raw / f"字母 {number // 4}" / f"sign {number}", pixels)
    return raw


@pytest.fixture(scope="module", params=["made", "digits"])
def signs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signs")
    raw = classes(folder / "raw") if request.param == "made" else folder / "raw"
    return prepared(lookalikes.COMPETITION, raw, folder)


def test_no_name_tells_a_class_and_no_class_is_on_two_sides(signs: Path) -> None:
    loaded = lookalikes.COMPETITION.load(signs / "public")
    tables.check(lookalikes.COMPETITION, loaded)
    solution = hidden(signs, loaded)
    assert list(loaded.test.columns) == ["id", "path"]
    assert all(path.stem == id_ for path, id_ in zip(loaded.test["path"], loaded.test["id"], strict=True))
    assert not set(solution["label"].astype(str)) & set(loaded.train["label"])
    for fold in lookalikes.COMPETITION.split(loaded.train, 0):
        known, new = (set(loaded.train["label"].iloc[part]) for part in fold)
        assert new
        assert not known & new
    counts = pd.concat([loaded.train["label"], solution["label"].astype(str)]).value_counts()
    assert counts.between(2, 100).all()
    assert sorted(path.name for path in (signs / "public").iterdir() if path.is_dir()) == ["images"]
    assert len(list((signs / "public" / "images").iterdir())) == counts.sum()


def test_a_class_of_one_image_is_left_out_and_named(signs: Path) -> None:
    left_out = pd.read_csv(signs / "public" / "excluded.csv")
    expected = ["字母 1/sign 7"] if (signs / "raw").exists() else []
    assert left_out["label"].tolist() == expected


def test_lookalikes_are_graded_as_they_are_scored(signs: Path) -> None:
    def noisy(rows: pd.DataFrame) -> np.ndarray:
        known = np.pad(pd.get_dummies(rows["label"]).to_numpy(float), ((0, 0), (0, 9)))  # few dimensions give ties
        return known + DRAW.normal(0, 0.3, known.shape)

    graded(lookalikes.COMPETITION, signs, noisy)
