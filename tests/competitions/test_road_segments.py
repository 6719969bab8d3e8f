"""Road segments: label maps come through, hidden frames are graded as the metric scores, run lengths are per class."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from PIL import Image

from competitions.road_segments import COMPETITION, data, submission
from goldfold.competition import Tables
from goldfold.submission import writing as submissions

RECORDINGS = {"0001TP_0": 0, "0006R0_f": 0, "0016E5_": 0, "Seq05VD_f": 0}
SIZE = (18, 24)


def labels_of(number: int) -> np.ndarray:
    """A label map with void pixels; classes change from frame to frame."""
    drawn = np.zeros(SIZE, np.uint8)
    drawn[9:] = 3
    drawn[4:12, 5:15] = 1 + number % 10
    drawn[0, :3] = data.VOID
    return drawn


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tables]:
    """Four recordings of 150 s with a frame every 5 s."""
    raw, folder = tmp_path_factory.mktemp("路"), tmp_path_factory.mktemp("hosted")
    for part in ("train", "val", "test", "trainannot", "valannot", "testannot"):
        (raw / part).mkdir()
    for number in range(120):
        name = f"{list(RECORDINGS)[number % 4]}{number // 4 * 150:05d}"
        part = ("train", "val", "test")[number % 3]
        Image.fromarray(np.full((*SIZE, 3), number, np.uint8)).save(raw / part / f"{name}.jpg")
        Image.fromarray(labels_of(number)).save(raw / f"{part}annot" / f"{name}.png")
    for part in ("public", "private"):
        (folder / part).mkdir()
    COMPETITION.prepare(raw, folder / "public", folder / "private")
    return folder, COMPETITION.load(folder / "public")


def test_label_maps_come_through_and_hidden_ones_stay_hidden(hosted: tuple[Path, Tables]) -> None:
    folder, tables = hosted
    assert len(tables.train) + len(tables.test) == 120
    for labels, path in zip(data.masks(tables.train), tables.train["path"], strict=True):
        number = round(cv2.imread(str(path)).mean())
        assert np.array_equal(labels, labels_of(number))
    assert {path.stem for path in (folder / "public" / "masks").iterdir()} == set(tables.train["id"])
    assert tables.test["id"].str.startswith("hidden").all()
    assert list(tables.test) == ["id", "path"]


def test_the_grade_is_the_metric(hosted: tuple[Path, Tables], tmp_path: Path) -> None:
    """The way through resized maps, run lengths and CSV, against the metric on the same predictions."""
    folder, tables = hosted
    random = np.random.default_rng(0)
    solution = submissions.read(folder / "private" / "solution.csv", tables.sample_submission)
    truth, rows = [], []
    for id_, path in zip(tables.test["id"], tables.test["path"], strict=True):
        truth.append(labels_of(round(cv2.imread(str(path)).mean())))
        Image.fromarray(truth[-1]).save(tmp_path / f"{id_}.png")
        rows.append((id_, path, tmp_path / f"{id_}.png"))
    one_hot = np.stack(truth)[:, None] == np.arange(len(data.CLASSES))[:, None, None]
    maps = (one_hot + 1.5 * random.random((len(truth), len(data.CLASSES), *SIZE))).astype(np.float16)
    frame = submission.write(tables.test, maps)
    submissions.check(frame, tables.sample_submission, tables.test, COMPETITION.submission)
    score = COMPETITION.metric.score(pd.DataFrame(rows, columns=["id", "path", "mask_path"]), maps)
    assert submission.grade(frame, solution) == pytest.approx(score)
    assert 0.05 < score < 0.9


def test_a_pixel_of_two_classes_is_refused(hosted: tuple[Path, Tables]) -> None:
    _, tables = hosted
    twice = tables.sample_submission.assign(EncodedPixels="1 1")
    with raises_code("submission_value_invalid", "share pixel 1"):
        submissions.check(twice, tables.sample_submission, tables.test, COMPETITION.submission)


def test_absent_files_say_where_they_belong(tmp_path: Path) -> None:
    with raises_code("raw_data_invalid", "trainannot"):
        COMPETITION.prepare(tmp_path, tmp_path, tmp_path)
