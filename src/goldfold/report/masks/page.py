"""Picture of predicted masks beside the truth: the worst, the median and the best images of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from goldfold.images import masks
from goldfold.io.formatting import digits
from goldfold.report.masks import colors
from goldfold.report.plotting import canvas, photographs
from goldfold.report.plotting.canvas import BOLD, HEADING, PAGE, hstack, text_line, vstack
from goldfold.report.plotting.style import MUTED

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Competition

    Truths = Callable[[DataFrame], Iterable[np.ndarray]]

PICTURE = "masks.png"
TRUTH = "truth"
OF_FOREGROUND, OF_CLASSES = ("prediction against truth", "probability"), (TRUTH, "prediction")
WORST, MEDIAN, BEST = 5, 2, 2
MARGIN, GAP, BETWEEN = 14, 6, 10  # pixels
INSIDE = PAGE - 2 * MARGIN
SIDE = (INSIDE - 2 * GAP) // 3  # of a tile


def chosen(errors: np.ndarray) -> dict[str, list[int]]:
    """Positions of the worst, the median and the best images, by group; no image twice, no empty group."""
    order = np.argsort(-np.nan_to_num(errors, nan=-np.inf), kind="stable").tolist()
    middle = max(0, len(order) // 2 - MEDIAN // 2)
    wanted = {"worst": order[:WORST], "median": order[middle : middle + MEDIAN], "best": order[-BEST:]}
    seen: set[int] = set()
    groups: dict[str, list[int]] = {}
    for name, members in wanted.items():
        fresh = [each for each in members if each not in seen]
        seen.update(fresh)
        if fresh:
            groups[name] = fresh
    return groups


def page(
    rows: DataFrame,
    predictions: np.ndarray,
    errors: np.ndarray,
    *,
    folds: Sequence[int],
    classes: Sequence[str] | None,
    private_images: bool,
    truths: Truths | None = None,
) -> bytes:
    """A PNG 1020 pixels wide with a line for each image: the photograph, the truth and the prediction.

    rows: with `id`, `path` and `mask_path`. predictions: foreground probabilities (n, h, w), of which the second column
    shows what was found, added and missed, or (n, classes, h, w). errors: (n,), larger is worse. classes: names in the
    order of the maps. private_images: whether tiles stand in the place of all pictures. truths: how true masks are
    read; None: from the files in `mask_path`.

    Raises:
        GoldfoldError: an image or a mask cannot be read.
    """
    legend = colors.color_legend(colors.named(predictions, classes), INSIDE)
    parts = [legend, _heads(predictions.ndim == 3)]
    for group, members in chosen(errors).items():
        parts.append(text_line(f"{group} of {len(rows):,}", INSIDE, size=HEADING, weight=BOLD))
        for position in members:
            told = f"{rows['id'].iloc[position]}  fold {folds[position]}  error {digits(errors[position])}"
            row = rows.iloc[[position]].reset_index(drop=True)
            tiles = _tiles(row, truths or of_files, predictions[position], private_images)
            parts.append(vstack([text_line(told, INSIDE, color=MUTED), hstack(tiles, gap=GAP)], gap=2))
    whole = vstack(parts, gap=BETWEEN)
    return canvas.png(canvas.centered(whole, whole.shape[0] + 2 * MARGIN, PAGE))


def _heads(binary: bool) -> np.ndarray:
    names = ("photograph", *(OF_FOREGROUND if binary else OF_CLASSES))
    return hstack((canvas.centered(text_line(name, SIDE, color=MUTED), 18, SIDE) for name in names), gap=GAP)


def _tiles(row: DataFrame, truths: Truths, prediction: np.ndarray, private: bool) -> list[np.ndarray]:
    """The three pictures of one image. row: of one row."""
    image = photographs.read(row["path"].iloc[0], str(row["id"].iloc[0]), private=private)
    size = canvas.fit_size(image.shape, 3 * SIDE // 2, SIDE)
    image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if size < image.shape[:2] else cv2.INTER_CUBIC)
    return [image] * 3 if private else [image, *drawn(image, next(iter(truths(row))), prediction)]


def drawn(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> list[np.ndarray]:
    """Two pictures of a truth, (h, w) or (classes, h, w), and a prediction, at the size of the image.

    Of probabilities (h, w): outcomes and probabilities. Of (classes, h, w): the colors of truth and prediction.
    """
    if prediction.ndim == 3:
        count = len(prediction)
        known = truth if truth.ndim == 2 else colors.class_map(truth.astype(np.float32))
        return [colors.paint(image, each, count) for each in (known, colors.class_map(prediction))]
    probability = cv2.resize(prediction.astype(np.float32), truth.shape[::-1], interpolation=cv2.INTER_LINEAR)
    size = (image.shape[0], image.shape[1])
    return [colors.outcomes(image, truth > 0, probability > 0.5), canvas.tile(probability, size)]


def are_masks(predictions: np.ndarray) -> bool:
    """Whether predictions are probabilities of pixels: (n, h, w) or (n, classes, h, w)."""
    return predictions.dtype.names is None and predictions.ndim in (3, 4)


def of_files(rows: DataFrame) -> Iterator[np.ndarray]:
    """The true masks in the files of `mask_path`, int32 (h, w)."""
    return map(masks.read, rows["mask_path"], rows["path"])


def truths_of(competition: Competition, rows: DataFrame) -> Truths | None:
    """How the true masks of a competition are read: as its metrics do, else from files; None if there are none.

    Values of files are not always classes: their colors are, where a table of colors is declared.
    """
    declared = (metric.options.masks for metric in (competition.metric, *competition.also))
    return next(filter(None, declared), of_files if "mask_path" in rows else None)


def pictures(
    images: np.ndarray, rows: DataFrame, predictions: np.ndarray, truths: Truths | None = None
) -> dict[str, np.ndarray]:
    """Name -> the pictures of all rows, (n, h, w, 3) in [0, 1]; see `page` for truths.

    images: (n, h, w, 3) in [0, 1], of which the pictures have the size.
    """
    names = OF_FOREGROUND if predictions.ndim == 3 else OF_CLASSES
    known = (truths or of_files)(rows)
    every = [
        drawn((255 * image).round().astype(np.uint8), truth, prediction)
        for image, truth, prediction in zip(images, known, predictions, strict=True)
    ]
    return {name: np.stack(same) / 255 for name, same in zip(names, zip(*every, strict=True), strict=True)}


def class_names(competition: Competition, predictions: np.ndarray) -> list[str] | None:
    """Names of the classes of predicted masks, where a metric tells all of them, or all but the first."""
    scored = (metric.options.mask_classes for metric in (competition.metric, *competition.also))
    for known in filter(None, scored):
        if missing := predictions.shape[1] - len(known.names):
            return ["background", *known.names] if missing == 1 else None
        return list(known.names)
    return None
