"""Picture of the images with the largest out-of-fold errors: wrong labels show here, and what the model misses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from goldfold.io.formatting import shortened, shortened_apart
from goldfold.report.masks import page as masks
from goldfold.report.plotting import photographs
from goldfold.report.plotting.style import INK, MUTED, WIDTH, figure, png, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame, Series

    from goldfold.report.masks.page import Truths

COLUMNS, ROWS = 6, 4
GAP, TITLE = 0.06, 0.3  # inches
BOX = 200  # pixels of the longer side of an image
WORST_LABELS = 3  # of several
CAPTION = 11  # characters of a name or class that fit below a tile
PREDICTED, TRUE = "#e69f00", "#56b4e9"


@styled()
def most_wrong(
    rows: DataFrame,
    predictions: np.ndarray,
    errors: np.ndarray,
    *,
    folds: Sequence[int],
    targets: Sequence[str],
    private_images: bool,
    classes: Sequence[Any] | None = None,
    truths: Truths | None = None,
) -> bytes:
    """A PNG of up to 24 images with the largest errors, largest first.

    rows: n rows with `id`, `path` and targets. predictions: (n, ...), of the same rows. errors: (n,), from
    `MetricOptions.row_error`. folds: (n,). classes: labels in the order of the probability columns. Predicted maps
    (n, height, width) are drawn as contours at 0.5, and so are the true masks if there are any.
    private_images: whether only ids are shown, without images and contours. truths: how true masks are read; None: from
    the files in `mask_path`, if there is such a column.

    Raises:
        GoldfoldError: an image cannot be read.
    """
    worst = np.argsort(-np.nan_to_num(errors, nan=-np.inf), kind="stable")[: COLUMNS * ROWS]
    shown, predicted = rows.iloc[worst].reset_index(drop=True), predictions[worst]
    answers = [
        _answer(row, prediction, targets, classes) or f"error {error:.3f}"
        for (_, row), prediction, error in zip(shown.iterrows(), predicted, errors[worst], strict=True)
    ]
    drawn = figure(1)
    axes, corners = _page(drawn, len(worst), lines=1 + max(answer.count("\n") + 1 for answer in answers))
    images = photographs.read_all(shown["path"].tolist(), shown["id"].map(str).tolist(), private=private_images)
    boxes = [_draw_tile(axes, corner, image) for corner, image in zip(corners, images, strict=True)]
    names = shortened_apart([str(name) for name in shown["id"]], _short)
    for corner, name, fold, answer in zip(corners, names, np.asarray(folds)[worst], answers, strict=True):
        _caption(axes, corner, f"{name}  fold {fold}", answer)
    outlines = []
    truths = truths or (masks.of_files if "mask_path" in shown else None)
    if truths and predicted.ndim != 4 and not private_images:
        outlines.append("blue: ground truth")
        _draw_contours(axes, (mask > 0 for mask in truths(shown)), boxes, TRUE)
    if predicted.ndim == 3 and not private_images:
        outlines.append("orange: prediction")
        _draw_contours(axes, predicted, boxes, PREDICTED)
    title = f"The {len(worst)} largest errors of {len(rows):,} out-of-fold predictions, largest first"
    if any(answer.startswith(("missed", "extra")) for answer in answers):
        title += " (missed: p ≤ 0.5, extra: p > 0.5)"
    if outlines:
        title += f" ({', '.join(outlines)})"
    left, top = corners[0]
    axes.annotate(title, (left, top), xytext=(0, 6), textcoords="offset points", fontsize=10)
    return png(drawn)


def _page(drawn: Figure, count: int, lines: int) -> tuple[Axes, list[tuple[float, float]]]:
    """Axes over the whole page, and the left upper corner of each tile on them, with space for captions of `lines`.

    A tile is `BOX` wide and high in data coordinates. One pair of axes for all tiles takes less than half of the time.
    """
    side, below = WIDTH / COLUMNS - GAP, 0.1 + 0.13 * lines
    down, inch = -(-count // COLUMNS), BOX / side
    drawn.set_layout_engine("none")
    drawn.set_figheight(TITLE + down * (side + below))
    axes = drawn.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH * inch)
    axes.set_ylim(drawn.get_figheight() * inch, 0)
    places = (divmod(number, COLUMNS) for number in range(count))
    return axes, [
        ((GAP / 2 + column * (side + GAP)) * inch, (TITLE + row * (side + below)) * inch) for row, column in places
    ]


def _draw_tile(axes: Axes, corner: tuple[float, float], image: np.ndarray) -> tuple[float, float, int, int]:
    """Draw an image, scaled to fit the tile and centered in it; returns its left, top, width and height there."""
    height, width = image.shape[:2]
    scale = BOX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (start + (BOX - length) / 2 for start, length in zip(corner, size, strict=True))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    edges = (left, left + size[0], top + size[1], top)
    axes.imshow(cv2.resize(image, size, interpolation=interpolation), extent=edges, aspect="auto")
    return left, top, *size


def _draw_contours(
    axes: Axes, maps: Iterable[np.ndarray], boxes: Iterable[tuple[float, float, int, int]], color: str
) -> None:
    """Draw the contour at 0.5 of each map, stretched over its image."""
    for values, (left, top, width, height) in zip(maps, boxes, strict=True):
        values = values.astype(np.float32)
        if values.min() < 0.5 < values.max():
            down, across = values.shape
            x, y = left + (np.arange(across) + 0.5) * width / across, top + (np.arange(down) + 0.5) * height / down
            axes.contour(x, y, values, levels=[0.5], colors=[color], linewidths=1)


def _caption(axes: Axes, corner: tuple[float, float], name: str, answer: str) -> None:
    for text, color, down in ((name, MUTED, -3), (answer, INK, -12)):
        axes.annotate(
            text,
            (corner[0] + BOX / 2, corner[1] + BOX),
            xytext=(0, down),
            textcoords="offset points",
            fontsize=7,
            color=color,
            horizontalalignment="center",
            verticalalignment="top",
        )


def _answer(row: Series, prediction: Any, targets: Sequence[str], classes: Sequence[Any] | None) -> str:
    """Target and prediction as text, with probabilities if there are any; empty if their shapes are not known."""
    if "score" in (prediction.dtype.names or ()):
        prediction = prediction["score"]
        if prediction.ndim == 0:
            return f"true {_plain(row[targets[0]])}, score {_plain(prediction.item())}"
    prediction = np.squeeze(prediction)
    if len(targets) == 1 and prediction.ndim == 0:
        return f"true {_plain(row[targets[0]])}, pred {_plain(prediction.item())}"
    if len(targets) > 1 and prediction.shape == (len(targets),) and row[list(targets)].isin((0, 1)).all():
        return _wrong_labels(row[list(targets)].to_numpy(float), prediction, targets)
    names = list(classes or ())
    if len(targets) > 1 or prediction.shape != (len(names),) or row[targets[0]] not in names:
        return ""
    right, top = names.index(row[targets[0]]), int(prediction.argmax())
    short = shortened_apart([str(name) for name in names], _short)
    return f"true {short[right]} ({prediction[right]:.3f})\npred {short[top]} ({prediction[top]:.3f})"


def _wrong_labels(truth: np.ndarray, prediction: np.ndarray, targets: Sequence[str]) -> str:
    """The labels that are most wrong, each with its probability: missed ones, and ones that are not there."""
    short = shortened_apart([str(name) for name in targets], _short)
    worst = np.argsort(-np.abs(truth - prediction), kind="stable")[:WORST_LABELS]
    told = ("missed" if truth[at] else "extra" for at in worst if (prediction[at] > 0.5) != truth[at])
    lines = [f"{word} {short[at]} {prediction[at]:.2f}" for word, at in zip(told, worst, strict=False)]
    return "\n".join(lines) or "all labels right"


def _plain(value: Any) -> str:
    if not isinstance(value, float):
        return _short(value)
    return f"{round(value, 3):g}" if abs(value) < 1e5 else f"{value:,.0f}"


def _short(text: Any) -> str:
    return shortened(str(text), CAPTION)
