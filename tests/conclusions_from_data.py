"""Wrong conclusions that tables and images invite; for tests alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from conclusions import Case, audited, said, trained
from made_tables import halves, on_columns
from planted_network import Nothing, points_of, recipe
from planted_tables import Case as Tables
from planted_tables import clean, jittered, mislabeled, patients, scene, timed
from torch import nn

from goldfold.competition import Plan, Recipe, Runtime
from goldfold.nn import feature_cache

IMAGES = 40
SCENES = [scene(at) for at in range(IMAGES)]
CLASSES = np.arange(IMAGES) // 2 % 2
LINEAR = on_columns(["x0", "x1"], kind="binary")


# -- tables


def late_column() -> Tables:
    """A column that is written down after the target is known."""
    case, random = clean(), np.random.default_rng(1)
    late = case.train["y"] + random.normal(size=len(case.train)) * 0.2
    return replace(case, train=case.train.assign(late=late), test=case.test.assign(late=late[: len(case.test)]))


def shifted() -> Tables:
    case = clean()
    return replace(case, test=case.test.assign(x3=case.test["x3"] + 1))


def sorted_by_target() -> Tables:
    case = clean()
    return replace(case, train=case.train.sort_values("y", kind="stable").reset_index(drop=True))


def contradicted() -> Tables:
    """Ten rows again with the other label, in the folds of the first ones."""
    case = clean()
    again = case.train[:10].assign(y=1 - case.train["y"][:10], id=[f"again{at}" for at in range(10)])
    train = pd.concat([case.train, again], ignore_index=True)
    return replace(case, train=train, folds=halves(train, 0))


def standardized_by_batch(model: nn.Module, state: None, rows: pd.DataFrame) -> np.ndarray:
    points = points_of(rows)
    return model((points - points.mean(0)) / points.std(0)).sigmoid().numpy()


def predicted_again(**parts: Callable) -> str:
    """A run and its audit, which predicts rows again in two halves."""
    trained(recipe(**parts))
    return said("audit", "--run", "latest", "--quiet")


# -- images


def photographs(
    images: Sequence[np.ndarray] = SCENES,
    hidden: Sequence[np.ndarray] = (),
    name: Callable[[int], str] = lambda at: f"all/{at:02d}.png",
) -> Tables:
    """Images of two classes in files, and test images, 8 of their own by default. name: position -> file."""
    paths = [_saved(image, Path("photographs") / name(at)) for at, image in enumerate(images)]
    others = hidden or [scene(100 + at) for at in range(8)]
    test = [_saved(image, Path("photographs/test") / f"{at:02d}.png") for at, image in enumerate(others)]
    random = np.random.default_rng(0)
    train = pd.DataFrame({"id": range(len(paths)), "path": paths, "x0": random.normal(size=len(paths)), "y": CLASSES})
    rows = pd.DataFrame({"id": range(50, 50 + len(test)), "path": test, "x0": random.normal(size=len(test))})
    return Tables(train, rows, halves(train, 0))


def _saved(image: np.ndarray, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return str(path.resolve())


def brighter_copy() -> Tables:
    """Image 7 is image 4 in another exposure, on the other side of each fold."""
    bright = np.clip(SCENES[4] * 0.8 + 20, 0, 255).astype(np.uint8)
    return photographs([*SCENES[:7], bright, *SCENES[8:]])


def in_folders() -> Tables:
    return photographs(name=lambda at: f"{'cat' if CLASSES[at] else 'dog'}/{at:02d}.png")


def features(paths: Sequence[str | Path], unit: bool) -> np.ndarray:
    """Vectors of 64 numbers, each of an image; all of length 1 or not."""
    drawn = [np.random.default_rng(int(Path(path).stem)).normal(1, 1, 64) for path in paths]
    found = np.stack(drawn).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True) if unit else found


def on_tower(unit: bool) -> str:
    """A run on half-precision features of a frozen tower, and the audit that reads their cache."""

    def build(params: Nothing, rows: pd.DataFrame, runtime: Runtime) -> Plan:
        extract = partial(features, unit=unit)
        feature_cache.cached_features(rows["path"], extract, key="tower", cache=runtime.cache, dtype=np.float16)
        return Plan(predict=lambda model, state, rows: rows["x0"].to_numpy())

    case = photographs()
    trained(Recipe(params=Nothing, build=build), (case.train, case.test))
    return said("audit", "--run", "latest", "--quiet")


def of(tables: Callable[[], Tables]) -> Callable[[], str]:
    return lambda: audited(tables())


CASES = {
    "B: half-precision features that a tower normalizes, so that their length is constant": Case(
        "constant_feature", lambda: on_tower(unit=True), lambda: on_tower(unit=False)
    ),
    "P: a validation image in the test table": Case(
        "copies_in_test",
        of(lambda: photographs(hidden=[SCENES[0], *(scene(100 + at) for at in range(7))])),
        of(photographs),
    ),
    "a: a column that is made after the target": Case("target_in_column", of(late_column), of(clean)),
    "b: four rows of each patient, and folds over rows": Case(
        "undeclared_group",
        of(lambda: patients(clean(), shared=False)),
        of(lambda: patients(clean(), shared=True)),
    ),
    "c: test rows that are later, and folds that mix times": Case(
        "time_behind_folds",
        of(lambda: timed(clean(), True, "sold_at")),
        of(lambda: timed(clean(), False, "sold_at")),
    ),
    "d: a column that is shifted in the test table": Case("drifting_column", of(shifted), of(clean)),
    "e: rows in the order of their target": Case("order_tells_target", of(sorted_by_target), of(clean)),
    "f: an image again in another exposure": Case("near_duplicate_images", of(brighter_copy), of(photographs)),
    "g: rows again with noise": Case("near_duplicate_rows", of(lambda: jittered(clean())), of(clean)),
    "h: equal rows with both labels": Case("contradicting_labels", of(contradicted), of(clean)),
    "i: predictions that are standardized by their batch": Case(
        "batch_dependent_predictions", lambda: predicted_again(predict=standardized_by_batch), predicted_again
    ),
    "l: twelve wrong labels among 300": Case(
        "doubtful_labels", lambda: trained(LINEAR, mislabeled(12)), lambda: trained(LINEAR, mislabeled(0))
    ),
    "m: a folder for each class": Case("label_in_path", of(in_folders), of(photographs)),
}
"""Letter in the catalogue and what is planted -> the case."""
