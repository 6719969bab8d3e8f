"""Market-1501's layout: junk, distractors and cameras count as in the public evaluation of CLIP-ReID, written again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code

from goldfold import metrics
from goldfold.competition import Plan, Runtime
from goldfold.data.folds import grouped
from goldfold.data.identities import market1501
from goldfold.data.rules import NO_MIRRORING
from goldfold.optional_parts import Pairs
from goldfold.recipes import embedder
from goldfold.retrieval.pairs import by_label

DRAW = np.random.default_rng(8)


def photograph(folder: Path, name: str, color: float = 100) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = (color + DRAW.normal(0, 20, (16, 8, 3))).clip(0, 255).astype(np.uint8)
    cv2.imencode(".png", pixels)[1].tofile(folder / f"{name}.png")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Four trained persons, five others seen by three cameras, junk and distractors."""
    for person in range(1, 10):
        part = "bounding_box_train" if person < 5 else "bounding_box_test"
        for camera in (1, 2, 3):
            for number in range(2):
                photograph(tmp_path / part, f"{person:04d}_c{camera}s1_{number:06d}_00", 20 * person)
        if person >= 5:
            photograph(tmp_path / "query", f"{person:04d}_c{person % 3 + 1}s1_000000_00", 20 * person)
    for number in range(4):
        photograph(tmp_path / "bounding_box_test", f"-1_c1s1_{number:06d}_00")
        photograph(tmp_path / "bounding_box_test", f"0000_c{number % 3 + 1}s1_{number:06d}_00", 160)
    return tmp_path


def compared(rows: pd.DataFrame) -> Pairs:
    """Queries search the gallery without the photographs of their own person by their own camera."""
    return by_label(rows["person"], queries=(rows["part"] == "query").to_numpy(), same=rows["camera"])


def evaluated(rows: pd.DataFrame, embeddings: np.ndarray, most: int) -> tuple[np.ndarray, float]:
    """CMC up to rank `most`, and mAP: rank the gallery, drop same person and camera, count what is left."""
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    asked, found = (rows.index[rows["part"] == part].to_numpy() for part in ("query", "gallery"))
    distances, curves, precisions = 2 - 2 * units[asked] @ units[found].T, [], []
    for query, order in zip(asked, np.argsort(distances, axis=1), strict=True):
        ranked = rows.iloc[found[order]]
        same = (ranked["person"] == rows["person"][query]) & (ranked["camera"] == rows["camera"][query])
        matches = (ranked["person"] == rows["person"][query])[~same].to_numpy()
        if not matches.any():
            continue
        curves.append(np.minimum(matches.cumsum(), 1)[:most])
        precisions.append((matches.cumsum() / np.arange(1, len(matches) + 1) * matches).sum() / matches.sum())
    return np.mean(curves, axis=0), float(np.mean(precisions))


def test_junk_is_ignored_and_distractors_are_answers_to_nobody(raw: Path) -> None:
    rows = market1501.read(raw)
    assert rows["part"].value_counts().to_dict() == {"train": 24, "gallery": 34, "query": 5}
    assert market1501.JUNK not in set(rows["person"])
    assert rows["id"].is_unique
    assert rows.iloc[0][["id", "person", "camera"]].tolist() == ["train/0001_c1s1_000000_00", "0001", "1"]
    kept = rows[rows["part"] != "train"].reset_index(drop=True)
    pairs = compared(kept)
    every = slice(0, len(pairs.queries))
    distractors = (kept["person"].to_numpy() == market1501.DISTRACTOR)[pairs.gallery]
    assert not (pairs.relevant(every) | pairs.left_out(every))[:, distractors].any()
    assert (pairs.left_out(every).sum(axis=1) == 2).all()
    assert ((pairs.relevant(every) & ~pairs.left_out(every)).sum(axis=1) == 4).all()


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_the_public_evaluation(raw: Path, seed: int) -> None:
    rows = market1501.read(raw)
    rows = rows[rows["part"] != "train"].reset_index(drop=True)
    draw = np.random.default_rng(seed)
    embeddings = draw.normal(size=(len(rows), 6)) + 0.7 * np.eye(10)[rows["person"].astype(int), 4:]
    curve, precision = evaluated(rows, embeddings, most=10)
    for k in (1, 5, 10):
        assert metrics.hit_at(compared, k, protocol="").score(rows, embeddings) == pytest.approx(curve[k - 1])
    metric = metrics.mean_average_precision(compared, protocol="")
    assert metric.score(rows, embeddings) == pytest.approx(precision, abs=1e-6)


def test_the_recipe_of_hands_trains_on_it_with_folds_of_persons(raw: Path, tmp_path: Path) -> None:
    train = market1501.read(raw).query("part == 'train'").reset_index(drop=True)
    recipe = embedder.recipe("person", simsiam_epochs=0, metric_augmentation="none", flip=False)
    params = recipe.params(pretrained=False, image_size=32, metric_epochs=1, backbone="resnet18", metric_batch_size=8)
    assert NO_MIRRORING.broken(params) is None
    runtime = Runtime(seed=0, device=torch.device("cpu"), cache=tmp_path / "cache")
    for fold in grouped(train["person"], 2, 0)[:1]:
        plan: Plan = recipe.build(params, train.iloc[fold.train], runtime)
        validation = train.iloc[fold.validation].reset_index(drop=True)
        with torch.no_grad():
            embeddings = plan.predict(plan.model.eval(), None, validation.drop(columns="person"))
        metric = metrics.mean_average_precision(
            lambda rows: by_label(rows["person"], same=rows["camera"]), protocol="other cameras"
        )
        assert 0 < metric.score(validation, embeddings) <= 1


BAD = {
    "name": (lambda raw: photograph(raw / "query", "someone"), r"someone\.png has another name"),
    "both": (lambda raw: photograph(raw / "query", "0001_c1s1_000000_00"), "1 persons are both .* 0001"),
    "alone": (lambda raw: photograph(raw / "query", "0099_c1s1_000000_00"), "1 queries, .*0099_c1s1.* another camera"),
    "empty": (lambda raw: [path.unlink() for path in (raw / "query").iterdir()], "query has no photographs"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_layout_is_refused_in_one_sentence(raw: Path, case: str) -> None:
    harm, told = BAD[case]
    harm(raw)
    with raises_code("raw_data_invalid", told):
        market1501.read(raw)


def test_other_names_of_folders_and_files_can_be_passed(tmp_path: Path) -> None:
    """MSMT17 and home-made sets: <camera>-<person>-<number>."""
    for folder, person in (("tr", 1), ("q", 2), ("g", 2)):
        photograph(tmp_path / folder, f"{7 if folder == 'q' else 8}-{person}-1")
    read = partial(market1501.read, parts={"train": "tr", "query": "q", "gallery": "g"})
    rows = read(tmp_path, name=r"(?P<camera>\d+)-(?P<person>\d+)-\d+")
    assert rows[["part", "person", "camera"]].to_numpy().tolist() == [
        ["train", "1", "8"],
        ["query", "2", "7"],
        ["gallery", "2", "8"],
    ]
