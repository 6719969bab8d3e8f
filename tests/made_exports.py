"""A project with a tiny competition of images and one of a table, whose recipes can be exported; for tests alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

IMAGES = """
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from goldfold.competition import Competition, Metric, Submission, Tables
from goldfold.data.folds import stratified
from goldfold.recipes import embedder, frozen_backbone, image_classifier, segmenter

TINY = {"backbone": "test_resnet", "pretrained": False, "image_size": 32, "epochs": 1}


def squares(rows):
    for path in rows["path"]:
        yield (cv2.imread(path)[..., 0] > 90).astype(np.int32)


def load(public):
    rows = pd.read_csv(public / "rows.csv", dtype={"id": str})
    rows["path"] = [str(public / f"{id_}.png") for id_ in rows["id"]]
    test = rows.iloc[24:].drop(columns=["kind", "label"]).reset_index(drop=True)
    sample = pd.read_csv(public / "sample_submission.csv", dtype={"id": str})
    return Tables(train=rows.iloc[:24], test=test, sample_submission=sample)


COMPETITION = Competition(
    slug="tiles",
    metric=Metric(
        name="mean",
        score=lambda rows, found: float(np.mean(found)),
        higher_is_better=True,
        bounds=(-np.inf, np.inf),
        chance=lambda rows: 0.0,
    ),
    targets=("label", "kind"),
    prepare=lambda raw, public, private: None,
    load=load,
    split=lambda train, seed: stratified(train["label"], folds=2, seed=seed),
    recipes={
        "classifier": image_classifier.recipe("label", (0, 1), views="flips", batch_size=8, **TINY),
        "masks": segmenter.recipe(squares, decoder_channels=(8, 8, 8, 8, 8), crop=32, batch_size=8, **TINY),
        "embedder": embedder.recipe(
            "label", simsiam_epochs=0, metric_epochs=1, metric_batch_size=8, embedding="projector",
            projector_dim=8, embedding_dim=8, **{name: TINY[name] for name in ("backbone", "pretrained", "image_size")}
        ),
        "grades": image_classifier.recipe("kind", (0, 1, 2), ordered=True, batch_size=8, **TINY),
        "values": image_classifier.recipe(values="label", batch_size=8, **TINY),
        "frozen": frozen_backbone.recipe("label", (0, 1), views="mirrored", stages=1, **TINY),
    },
    submission=Submission(
        write=lambda rows, found: pd.DataFrame({"id": rows["id"], "label": found.reshape(len(found), -1).mean(1)})
    ),
)
"""
TABLE = """
import numpy as np
import pandas as pd

from goldfold import metrics
from goldfold.competition import Competition, Submission, Tables
from goldfold.data.folds import stratified
from goldfold.recipes import tabular_network

COLUMNS = {"numeric": ["size", "weight"], "categorical": ["kind", "Größe"]}
SMALL = {"members": 2, "hidden": (8,), "embedding": 3, "epochs": 2, "permutations": 0}


def load(public):
    rows = pd.read_csv(public / "rows.csv", dtype={"id": str})
    test = rows.iloc[60:].drop(columns="target").reset_index(drop=True)
    return Tables(train=rows.iloc[:60], test=test, sample_submission=pd.read_csv(public / "sample.csv", dtype=str))


COMPETITION = Competition(
    slug="cells",
    metric=metrics.auroc("target"),
    targets=("target",),
    prepare=lambda raw, public, private: None,
    load=load,
    split=lambda train, seed: stratified(train["target"], folds=2, seed=seed),
    recipes={
        "network": tabular_network.recipe("target", (0, 1), **COLUMNS, **SMALL),
        "encoded": tabular_network.recipe("target", (0, 1), **COLUMNS, **SMALL, target_encoding=("kind",)),
    },
    submission=Submission(write=lambda rows, found: pd.DataFrame({"id": rows["id"], "target": found})),
)
"""


def write(root: Path) -> None:
    """Write the project into a folder: the competitions `tiles` and `cells` with their prepared data and configs."""
    for name, text in {"tiles": IMAGES, "cells": TABLE}.items():
        (root / "competitions" / name).mkdir(parents=True)
        (root / "competitions" / name / "__init__.py").write_text(text, encoding="utf-8")
        (root / "configs" / name).mkdir(parents=True)
        (root / "data" / name / "public").mkdir(parents=True)
        (root / "data" / name / "private").mkdir()  # so that notebooks pack the data
        _config(root, name, text)
    _images(root / "data" / "tiles" / "public")
    _table(root / "data" / "cells" / "public")


def _config(root: Path, name: str, text: str) -> None:
    for line in text.splitlines():
        if line.startswith('        "') and "recipe(" in line:
            recipe = line.split('"')[1]
            (root / "configs" / name / f"{recipe}.yaml").write_text(f"recipe: {recipe}\n", encoding="utf-8")


def _images(public: Path) -> None:
    draw, rows = np.random.default_rng(0), []
    for number in range(36):
        label = number % 2
        shade = draw.integers(0, 60, (40 + number % 3, 44, 3)) + 120 * label
        cv2.imwrite(str(public / f"{number:03d}.png"), shade.astype(np.uint8))
        rows.append({"id": f"{number:03d}", "label": label, "kind": number % 3})
    table = pd.DataFrame(rows)
    table.to_csv(public / "rows.csv", index=False)
    table.iloc[24:][["id"]].assign(label=0.5).to_csv(public / "sample_submission.csv", index=False)


def _table(public: Path) -> None:
    draw = np.random.default_rng(1)
    rows = pd.DataFrame({"id": [f"行{number}" for number in range(100)], "size": draw.normal(size=100)})
    rows["weight"], rows["kind"] = draw.normal(size=100), draw.choice(["a", "b", "c,d"], 100)
    rows["Größe"] = draw.choice([1.0, 2.0, np.nan], 100)
    rows["target"] = (rows["size"] + (rows["kind"] == "a") > 0.5).astype(int)
    rows.loc[::9, "size"] = np.nan
    rows.loc[99, ["kind", "size"]] = ["new", 40.0]
    rows.to_csv(public / "rows.csv", index=False)
    rows.iloc[60:][["id"]].assign(target=0.5).to_csv(public / "sample.csv", index=False)
