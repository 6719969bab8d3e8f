"""Nuclei: Kaggle's folders come through whole, the hidden fifth is graded as Kaggle grades, sizes may differ."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from pandas import DataFrame

from competitions.nuclei import COMPETITION, data, submission
from goldfold.images import masks
from goldfold.submission import rle
from goldfold.submission import writing as submissions

SIZES = [(64, 64), (40, 56), (72, 48)]
STYLES = {"dim fluorescence": (2, 30), "fluorescence": (20, 150), "brightfield": (230, 90)}  # gray of ground, nucleus


def write_png(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imencode(".png", pixels)[1].tofile(path)


def image_of(folder: Path, objects: np.ndarray, style: str) -> None:
    """Kaggle's layout of one image: RGBA, and a mask of 0 and 255 per nucleus."""
    ground, nucleus = STYLES[style]
    gray = np.where(objects > 0, nucleus, ground).astype(np.uint8)
    write_png(folder / "images" / f"{folder.name}.png", np.dstack([gray] * 3 + [np.full_like(gray, 255)]))
    for label in range(1, objects.max() + 1):
        write_png(folder / "masks" / f"{label}.png", (objects == label).astype(np.uint8) * 255)


def blobs(size: tuple[int, int], count: int, seed: int) -> np.ndarray:
    random, objects = np.random.default_rng(seed), np.zeros(size, np.int32)
    for label in range(1, count + 1):
        row, column = 6 + 14 * ((label - 1) // 3), 6 + 14 * ((label - 1) % 3)
        objects[row : row + random.integers(4, 11), column : column + random.integers(4, 11)] = label
    return objects


@pytest.fixture(scope="module")
def truths() -> dict[str, tuple[str, np.ndarray]]:
    """id -> style and objects; one image has no nucleus."""
    made = {}
    for number in range(18):
        style = list(STYLES)[number % 3]
        count = 0 if number == 4 else 1 + number % 6
        made[f"{number:02d}ab"] = style, blobs(SIZES[number // 3 % 3], count, number)
    return made


@pytest.fixture(scope="module")
def raw(truths: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("核")
    for id_, (style, objects) in truths.items():
        image_of(folder / "stage1_train" / id_, objects, style)
    (folder / "stage1_train" / ".DS_Store").touch()
    return folder


@pytest.fixture(scope="module")
def hosted(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(raw, tmp_path_factory.mktemp("hosted"))


def prepared(raw: Path, folder: Path) -> Path:
    for part in ("public", "private"):
        (folder / part).mkdir()
    COMPETITION.prepare(raw, folder / "public", folder / "private")
    return folder


def test_a_fifth_of_each_stratum_is_hidden(hosted: Path, truths: dict) -> None:
    tables = COMPETITION.load(hosted / "public")
    assert sorted([*tables.train["id"], *tables.test["id"]]) == sorted(truths)
    assert set(tables.test["stratum"]) == set(STYLES)
    for rows in (tables.train, tables.test):
        assert rows["stratum"].tolist() == [truths[id_][0] for id_ in rows["id"]]
        assert list(zip(rows["height"], rows["width"], strict=True)) == [truths[id_][1].shape for id_ in rows["id"]]
    assert tables.sample_submission.columns.tolist() == ["ImageId", "EncodedPixels"]
    assert tables.sample_submission["ImageId"].tolist() == tables.test["id"].tolist()
    assert {path.stem for path in (hosted / "public" / "masks").iterdir()} == set(tables.train["id"])


def test_masks_come_through_the_merge(hosted: Path, truths: dict) -> None:
    rows = COMPETITION.load(hosted / "public").train
    for id_, objects in zip(rows["id"], data.masks(rows), strict=True):
        assert objects.dtype == np.int32
        assert np.array_equal(objects, truths[id_][1])


def test_more_nuclei_than_a_byte_counts(tmp_path: Path) -> None:
    grid = np.arange(1, 301).reshape(15, 20)
    image_of(tmp_path / "train" / "00", np.kron(grid, np.pad(np.ones((2, 2), np.int32), 1)), "fluorescence")
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    data._copy(tmp_path / "train", tmp_path, labeled=True)
    assert len(np.unique(masks.read(tmp_path / "masks" / "00.png"))) == 301


def test_hidden_labels_are_the_truth_and_score_as_perfect(hosted: Path, truths: dict) -> None:
    tables = COMPETITION.load(hosted / "public")
    solution = submissions.read(hosted / "private" / "solution.csv", tables.sample_submission)
    for id_, nuclei in solution.groupby("ImageId"):
        decoded = rle.decode_instances(nuclei["EncodedPixels"].tolist(), *truths[id_][1].shape)
        assert np.array_equal(decoded, truths[id_][1])
    gold = solution[["ImageId", "EncodedPixels"]]
    submissions.check(gold, tables.sample_submission, tables.test, COMPETITION.submission)
    assert submission.grade(gold, solution) == 1
    assert submission.grade(tables.sample_submission, solution) == 0


def solution_of(truths: dict, ids: list[str]) -> DataFrame:
    rows = []
    for id_ in ids:
        objects = truths[id_][1]
        rows += [(id_, code, *objects.shape) for code in rle.encode_instances(objects) or [np.nan]]
    return DataFrame(rows, columns=["ImageId", "EncodedPixels", "Height", "Width"])


def test_grade_equals_the_metric(hosted: Path, truths: dict, tmp_path: Path) -> None:
    """The way through the resized map, run lengths and CSV, against the metric on the same predictions."""
    rows = COMPETITION.load(hosted / "public").train
    random = np.random.default_rng(1)
    maps = [cv2.resize((truths[id_][1] > 0).astype(np.float32), (64, 64)) for id_ in rows["id"]]
    predictions = (0.8 * np.stack(maps) + 0.2 * random.random((len(rows), 64, 64))).astype(np.float16)
    predictions[0] = 0
    frame = submission.write(rows, predictions)
    assert frame.loc[frame["ImageId"] == rows["id"][0], "EncodedPixels"].tolist() == [""]
    frame.to_csv(tmp_path / "submission.csv", index=False)
    read = pd.read_csv(tmp_path / "submission.csv", dtype=str)
    submissions.check(read, solution_of(truths, list(rows["id"])).iloc[:, :2], rows, COMPETITION.submission)
    grade = submission.grade(read, solution_of(truths, list(rows["id"])))
    assert grade == pytest.approx(COMPETITION.metric.score(rows, predictions))
    assert 0.3 < grade < 1


def test_run_lengths_beyond_the_image_are_refused(hosted: Path) -> None:
    tables = COMPETITION.load(hosted / "public")
    height, width = tables.test[["height", "width"]].iloc[0]
    wrong = tables.sample_submission.assign(EncodedPixels="1 1")
    wrong.loc[0, "EncodedPixels"] = f"{height * width} 2"
    with raises_code("submission_value_invalid", "passes the end of the image"):
        submissions.check(wrong, tables.sample_submission, tables.test, COMPETITION.submission)


def test_folds_hold_every_stratum(hosted: Path) -> None:
    train = COMPETITION.load(hosted / "public").train
    folds = COMPETITION.split(train, 0)
    assert len(folds) == 3
    for fold in folds:
        assert train["stratum"].iloc[fold.validation].value_counts().between(1, 2).all()
        assert set(train["stratum"].iloc[fold.train]) == set(STYLES)


def test_kaggles_own_test_set_is_used_where_it_is(raw: Path, truths: dict, tmp_path: Path) -> None:
    whole = tmp_path / "raw"
    whole.mkdir()
    (whole / "stage1_train").symlink_to(raw / "stage1_train")
    write_png(whole / "stage1_test" / "ff00" / "images" / "ff00.png", np.full((30, 44, 4), 90, np.uint8))
    with raises_code("raw_data_missing", "stage1_sample_submission"):
        COMPETITION.prepare(whole, tmp_path / "public", tmp_path / "private")
    (whole / "stage1_sample_submission.csv").write_text("ImageId,EncodedPixels\nff00,1 1\n", encoding="utf-8")
    folder = prepared(whole, tmp_path)
    tables = COMPETITION.load(folder / "public")
    assert tables.train["id"].tolist() == sorted(truths)
    assert tables.test[["id", "height", "width"]].to_numpy().tolist() == [["ff00", 30, 44]]
    assert tables.sample_submission.to_numpy().tolist() == [["ff00", "1 1"]]
    assert not list((folder / "private").iterdir())
    assert "mask_path" not in tables.test


@pytest.mark.parametrize(
    ("colour", "stratum"),
    [
        ((200, 120, 190), "stained"),
        ((230, 230, 230), "brightfield"),
        ((30, 30, 30), "fluorescence"),
        ((5, 5, 5), "dim fluorescence"),
    ],
)
def test_stratum_is_judged_by_colour_and_brightness(colour: tuple[int, int, int], stratum: str) -> None:
    assert data._stratum(np.full((20, 30, 3), colour, np.uint8)) == stratum


def test_absent_files_say_where_they_belong(tmp_path: Path) -> None:
    with raises_code("raw_data_missing", "stage1_train"):
        COMPETITION.prepare(tmp_path / "raw", tmp_path / "public", tmp_path / "private")


def test_sample_data_loses_no_nucleus(tmp_path: Path) -> None:
    if "GOLDFOLD_SAMPLE_DATA" not in os.environ:
        pytest.skip("GOLDFOLD_SAMPLE_DATA is unset: Kaggle's photographs are not here")
    folder = prepared(Path(os.environ["GOLDFOLD_SAMPLE_DATA"]) / COMPETITION.sample_data, tmp_path)
    tables = COMPETITION.load(folder / "public")
    assert (len(tables.train), len(tables.test)) == (120, 30)
    shown = sum(len(np.unique(objects)) - 1 for objects in data.masks(tables.train))
    hidden = pd.read_csv(folder / "private" / "solution.csv")["EncodedPixels"].notna().sum()
    assert shown + hidden == 4153
