"""Every recipe on one small table, and its fold with other validation rows; for tests alone.

Whatever a fit may learn of its validation rows passes through a recipe's `build`, through the training loop, or through
files that runs share. `fitted` goes through all of them and returns what the fit predicts.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import made_sounds
import made_windows
import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

from goldfold.competition import Competition, Fold, Metric, Recipe, Runtime, Tables
from goldfold.experiment.fits import Experiment, Protocol, fit
from goldfold.params import Params
from goldfold.recipes import (
    audio_classifier,
    autoencoder,
    boosting,
    embedder,
    frozen_backbone,
    fusion,
    image_classifier,
    patch_library,
    prompted_embedder,
    segmenter,
    sequence_network,
    statistics_pooling,
    tabular,
    tabular_network,
    text_classifier,
)
from goldfold.sequences import windows
from goldfold.training.settings import LoopOptions

ROWS, SIDE = 48, 32
SCORED = np.arange(0, ROWS, 4)
FOLD = Fold(np.setdiff1d(np.arange(ROWS), SCORED), SCORED)
KINDS = ("flach", "条纹", "grid")
COLUMNS: dict[str, Any] = {"numeric": ["a", "b"], "categorical": ["key"]}
TARGETS = ("y", "kind", "value", "left", "right", "mask_path")


def table(folder: Path) -> pd.DataFrame:
    """48 rows: pictures of 32 x 32 pixels, masks, windows, sounds, numbers, a key and a text.

    Targets follow `a` or nothing.
    """
    draw, made = np.random.default_rng(0), []
    for at in range(ROWS):
        picture = np.clip(draw.normal(120, 40, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
        mask = np.zeros((SIDE, SIDE), np.int32)
        cv2.circle(mask, draw.integers(8, 24, 2).tolist(), 5, 1, thickness=-1)
        cv2.imencode(".png", picture)[1].tofile(folder / f"{at}.png")
        np.save(folder / f"{at}.npy", mask)
        windows.write(folder / f"{at}.npz", **made_windows.wave(at, at % 2, 20 + at % 8))
        made_sounds.write(folder / f"{at}.wav", made_sounds.tone(400 + 20 * at, 0.5, seed=at))
        one = {"id": f"r{at}", "path": folder / f"{at}.png", "window": folder / f"{at}.npz", "film": at // 24, "t": at}
        made.append(
            {
                **one,
                "mask_path": folder / f"{at}.npy",
                "key": f"k{at % 8}",
                "text": f"a {('red', 'dog', 'cat')[at % 3]} house",
                "sound": folder / f"{at}.wav",
            }
        )
    found = pd.DataFrame(made).assign(a=draw.normal(size=ROWS), b=draw.normal(size=ROWS))
    signal = found["a"] + 0.5 * draw.normal(size=ROWS)
    left, right = draw.integers(0, 2, (2, ROWS))
    kind = np.array(KINDS)[np.digitize(signal, [-0.4, 0.4])]
    return found.assign(y=(signal > 0).astype(int), value=signal, left=left, right=right, kind=kind)


def with_other_labels(rows: pd.DataFrame) -> pd.DataFrame:
    """The validation rows with another label in every target, and each with the mask of another."""
    found = rows.copy()
    for name in ("y", "left", "right"):
        found.loc[SCORED, name] = 1 - rows.loc[SCORED, name]
    found.loc[SCORED, "value"] = 5 - rows.loc[SCORED, "value"]
    found.loc[SCORED, "kind"] = [KINDS[(KINDS.index(kind) + 1) % 3] for kind in rows.loc[SCORED, "kind"]]
    found.loc[SCORED, "mask_path"] = np.roll(rows.loc[SCORED, "mask_path"], 1)
    return found


def with_other_features(rows: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Every second validation row with features far from all others: what is fitted on them moves the other rows."""
    found, odd = rows.copy(), SCORED[1::2]
    cv2.imencode(".png", np.full((SIDE, SIDE, 3), 255, np.uint8))[1].tofile(folder / "white.png")
    wave = made_windows.wave(0, 0)
    windows.write(folder / "loud.npz", **{**wave, "features": 1000 + wave["features"]})
    found.loc[odd, ["a", "b"]] = 1000 + rows.loc[odd, ["a", "b"]]
    found.loc[odd, "key"], found.loc[odd, "text"] = "a new one", "other"
    made_sounds.write(folder / "loud.wav", np.ones(made_sounds.RATE))
    for at in odd:
        found.at[at, "path"], found.at[at, "window"] = folder / "white.png", folder / "loud.npz"
        found.at[at, "sound"] = folder / "loud.wav"
    return found


class Remembers(BaseEstimator, TransformerMixin):
    """A feature function that learns from labels: the mean target of the fitted rows with the same key, and scales."""

    def fit(self, rows: pd.DataFrame, labels: pd.Series) -> Remembers:
        self.known_ = pd.Series(np.asarray(labels, float)).groupby(rows["key"].to_numpy()).mean()
        self.scale_ = rows[["a", "b"]].std()
        return self

    def transform(self, rows: pd.DataFrame) -> pd.DataFrame:
        told = rows["key"].map(self.known_).astype(float)
        return rows.assign(told=told, a=rows["a"] / self.scale_["a"], b=rows["b"] / self.scale_["b"])


@dataclass(frozen=True)
class Case:
    """A recipe with parameters and options of the training loop.

    target: what the metric reads, a number or a word a row. picture: the column that is its `path`.
    """

    recipe: Recipe
    params: dict[str, Any] = field(default_factory=dict)
    target: str = "y"
    classes: tuple | None = None
    loop: LoopOptions = field(default_factory=LoopOptions)
    picture: str = "path"


def _score(target: str) -> Callable[[pd.DataFrame, np.ndarray], float]:
    """A score of any predictions that depends on the label of every row, so that choosing by it would be seen."""

    def score(rows: pd.DataFrame, predictions: np.ndarray) -> float:
        values = predictions[predictions.dtype.names[0]] if predictions.dtype.names else predictions
        first = values.reshape(len(rows), -1)[:, 0].astype(float)
        labels = rows[target].map(lambda each: np.load(each)[:8].sum() if isinstance(each, Path) else each)
        codes = labels.map(KINDS.index) if target == "kind" else labels
        return float((first * (codes - codes.mean())).mean())

    return score


def experiment(case: Case, rows: pd.DataFrame, cache: Path) -> Experiment:
    """One fold of the table, whose test rows are the first rows without targets."""
    train = rows.assign(path=rows[case.picture])
    test = train.drop(columns=list(TARGETS)).head(4)
    metric = Metric(
        name="made", score=_score(case.target), higher_is_better=True, bounds=(-np.inf, np.inf), chance=lambda _: 0.0
    )
    empty = dict.fromkeys(("prepare", "load", "split", "submission"))
    return Experiment(
        competition=Competition(slug="house", metric=metric, targets=TARGETS, recipes={}, **empty),
        recipe=case.recipe,
        params=case.recipe.params(**case.params),
        loop=case.loop,
        protocol=Protocol(),
        tables=Tables(train=train, test=test, sample_submission=test),
        folds=[FOLD],
        runtime=Runtime(seed=0, device=torch.device("cpu"), cache=cache, classes=case.classes),
    )


def fitted(case: Case, rows: pd.DataFrame, folder: Path, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of the validation rows and of the test rows, by a fit in its own folder."""
    found = fit(experiment(case, rows, cache), folder, 0, 0)
    return found.validation, found.test


def peeking(case: Case, whole: pd.DataFrame) -> Case:
    """The case with a recipe that breaks the rule: its plans are built from all rows that the table has."""
    every = whole.assign(path=whole[case.picture])
    return replace(
        case, recipe=replace(case.recipe, build=lambda params, rows, run: case.recipe.build(params, every, run))
    )


# The cases: recipes with small parameters, and options of the loop on one of them


class Small(nn.Module):
    """An encoder of eight features with BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU())

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layers(pixels).mean((2, 3))


def _linear(params: Params, seed: int) -> Any:
    return make_pipeline(tabular.preprocess(**COLUMNS), LogisticRegression())


def _masks(rows: pd.DataFrame) -> Iterator[np.ndarray]:
    return (np.load(path) for path in rows["mask_path"])


TREES = {"rounds": 20, "leaf": 2, "learning_rate": 0.2, "permutations": 0}
NETWORK = {"epochs": 4, "members": 2, "hidden": (8,), "embedding": 4, "batch_size": 12, "permutations": 0,
           "learning_rate": 0.02}  # fmt: skip
PICTURES = {"backbone": "test_resnet", "pretrained": False, "image_size": SIDE, "epochs": 2, "batch_size": 12}
SEQUENCES = {"epochs": 2, "batch_size": 12}


def _boosting(**params: Any) -> Case:
    return Case(boosting.recipe("y", "binary", **COLUMNS), {**TREES, **params}, classes=(0, 1))


def network(loop: LoopOptions | None = None, **params: Any) -> Case:
    """The network for tables, with options of the training loop."""
    recipe = tabular_network.recipe("y", (0, 1), **COLUMNS)
    return Case(recipe, {**NETWORK, **params}, classes=(0, 1), loop=loop or LoopOptions())


def _with_functions() -> Case:
    columns = {**COLUMNS, "numeric": ["a", "b", "told"]}
    recipe = boosting.recipe("y", "binary", **columns, features=lambda params, seed: Remembers())
    return Case(recipe, {**TREES, "target_encoding": ("key",)}, classes=(0, 1))


def _prompted(folder: Path) -> Case:
    import tower_checkpoints

    towers = str(tower_checkpoints.save(folder / "clip", "clip", projection_dim=24))
    small = {"prompt_epochs": 1, "prompt_batch_size": 10, "image_epochs": 1, "image_batch_size": 12, "m_per_class": 4}
    recipe = prompted_embedder.recipe("kind", **small, n_ctx=3, templates=("a photo of a {} house",), towers=towers)
    return Case(recipe, target="kind")


def _text(recipe: Callable[..., Recipe], folder: Path) -> Case:
    import tower_checkpoints

    encoder = str(tower_checkpoints.save(folder / "bert", "bert"))
    return Case(recipe("kind", KINDS), {"encoder": encoder, "epochs": 1, "batch_size": 12}, "kind", KINDS)


LABELS = ("left", "right")
RECIPES: dict[str, Callable[[Path], Case]] = {
    "tabular, standardized": lambda _: Case(tabular.recipe(Params, _linear, "y", "binary"), classes=(0, 1)),
    "boosting, sklearn": lambda _: _boosting(),
    "boosting, lightgbm": lambda _: _boosting(library="lightgbm"),
    "boosting, xgboost": lambda _: _boosting(library="xgboost"),
    "boosting, catboost": lambda _: _boosting(library="catboost"),
    "boosting, feature function, target encoding": lambda _: _with_functions(),
    "boosting, values": lambda _: Case(boosting.recipe("value", "regression", **COLUMNS), TREES, "value"),
    "tabular_network": lambda _: network(),
    "tabular_network, target encoding": lambda _: network(target_encoding=("key",)),
    "frozen_backbone, cached": lambda _: Case(frozen_backbone.recipe("kind", KINDS), PICTURES, "kind", KINDS),
    "image_classifier": lambda _: Case(image_classifier.recipe("kind", KINDS), PICTURES, "kind", KINDS),
    "image_classifier, values": lambda _: Case(image_classifier.recipe(values="value"), PICTURES, "value"),
    "segmenter": lambda _: Case(
        segmenter.recipe(_masks), {"image_size": SIDE, "crop": SIDE, "batch_size": 6, "epochs": 1, "pretrained": False,
                                   "backbone": "resnet10t", "decoder_channels": (8, 8, 8, 4, 4)}, "mask_path"
    ),
    "patch_library, cached": lambda _: Case(patch_library.recipe("y", 0, image_size=SIDE, library=100)),
    "autoencoder": lambda _: Case(
        autoencoder.recipe("y", 0),
        {"backbone": "plain", "widths": (8, 8, 4), "image_size": SIDE, "batch_size": 8, "library": 16, "epochs": 1},
    ),
    "embedder": lambda _: Case(
        embedder.recipe("kind", sequence="film", time="t", network=Small),
        {"image_size": 16, "projector_dim": 8, "simsiam_batch_size": 12, "metric_batch_size": 12,
         "simsiam_epochs": 1, "metric_epochs": 1}, "kind"
    ),
    "prompted_embedder": _prompted,
    "fusion": lambda _: Case(fusion.recipe(LABELS, text_tower="none"), {
        "pretrained": False, "backbone": "resnet10t", "image_size": SIDE, "batch_size": 12, "epochs": 1},
        "left", LABELS),
    "fusion, votes of codes": lambda _: Case(fusion.recipe(LABELS, text_tower="none"), {
        "pretrained": False, "backbone": "resnet10t", "image_size": SIDE, "batch_size": 12, "epochs": 1,
        "model": "full", "bits": 8, "neighbors": 3}, "left", LABELS),
    "statistics_pooling, scaler": lambda _: Case(
        statistics_pooling.recipe("kind", KINDS), SEQUENCES, "kind", KINDS, picture="window"),
    "text_classifier": partial(_text, text_classifier.recipe),
    "text_classifier, frozen, cached": partial(_text, text_classifier.frozen),
    "audio_classifier": lambda _: Case(
        audio_classifier.recipe("kind", KINDS),
        {"backbone": "resnet10t", "pretrained": False, "sample_rate": made_sounds.RATE, "seconds": 0.4, "n_fft": 256,
         "hop": 80, "mels": 32, "batch_size": 12, "epochs": 1}, "kind", KINDS, picture="sound"),
    "sequence_network, scaler": lambda _: Case(
        sequence_network.recipe("kind", KINDS), {**SEQUENCES, "channels": 8, "layers": 1}, "kind", KINDS,
        picture="window"),
}  # fmt: skip
LOOPS: dict[str, LoopOptions] = {
    "epoch by rows kept back": LoopOptions(select="stopping_loss", patience=2),
    "average of the last epochs": LoopOptions(average=2),
    "greedy soup by rows kept back": LoopOptions(average=(2, 3, 4), average_by="stopping_loss"),
    "moving average of weights": LoopOptions(ema=0.8),
    "list of hard examples": LoopOptions(hard_examples=5),
}
CHOSEN_BY_THE_SCORED_FOLD: dict[str, Callable[[], Case]] = {  # allowed, and reported by a finding
    "epoch by the scored fold": lambda: network(LoopOptions(select="best"), epochs=12),
    "greedy soup by the scored fold": lambda: network(
        LoopOptions(average=(2, 4, 6, 8, 10, 12), average_by="best"), epochs=12
    ),
    "rounds by the scored fold": lambda: _boosting(stop_on="scored_fold"),
}


def needed(name: str) -> Sequence[str]:
    """Packages that a recipe needs and this machine lacks."""
    wanted = {
        "boosting": name.split(", ")[-1],
        "prompted_embedder": "transformers",
        "text_classifier": "transformers",
    }.get(name.split(",")[0], "")
    known = wanted in ("lightgbm", "xgboost", "catboost", "transformers")
    return [wanted] if known and importlib.util.find_spec(wanted) is None else []
