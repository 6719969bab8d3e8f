"""Heat maps of an anomaly detector: the worst misses, the worst false alarms, and both ends of the test ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goldfold.io.formatting import digits
from goldfold.report.anomaly.defect_kinds import misranked, truth_of
from goldfold.report.epochs.atlas import MARGIN, OUTLINE, framed, heat_ranges
from goldfold.report.plotting import canvas, photographs
from goldfold.report.plotting.canvas import BOLD, HEADING, PAGE, TITLE, blank, hstack, text_line, vstack
from goldfold.report.plotting.row_labels import labels
from goldfold.report.plotting.style import INK, MUTED

if TYPE_CHECKING:
    from pandas import DataFrame

MISSES, FALSE_ALARMS, TEST = "misses.png", "false_alarms.png", "test_ranking.png"
COLUMNS, ROWS = 3, 4
BETWEEN, GAP = 16, 4  # pixels between images, and between an image and its map
SIDE = ((PAGE - 2 * MARGIN - (COLUMNS - 1) * BETWEEN) // COLUMNS - GAP) // 2  # pixels of the longer side of a tile
RANGE = "map"


@dataclass(frozen=True, kw_only=True)
class Detected:
    """Rows with their anomaly scores and maps.

    rows: n rows with `id` and `path`; known targets are captions, a true mask in `mask_path` is outlined. predictions:
    (n,) records with `score`, (n,), and `map`, (n, h, w), larger for more anomalous. targets: names of target columns.
    private: whether only ids are shown, neither images nor maps.
    """

    rows: DataFrame
    predictions: np.ndarray
    targets: Sequence[str]
    private: bool = False

    @property
    def range(self) -> canvas.Range:
        """The color range of the maps."""
        return heat_ranges([{RANGE: self.predictions["map"]}])[RANGE]


def has_maps(predictions: np.ndarray) -> bool:
    """Whether predictions are records with a score and a map for each row."""
    names = predictions.dtype.names or ()
    return {"score", "map"} <= set(names) and predictions["map"].ndim == 3 and predictions["score"].ndim == 1


def out_of_fold(found: Detected, folds: np.ndarray) -> dict[str, bytes]:
    """File name -> PNG: up to 12 defects that are ranked too low, and up to 12 normal images that are ranked too high.

    folds: (n,). Scores are compared within a fold, as those of different fits have different scales. A picture without
    any image is left out: of misses, if the first target is not 0 and 1, or nothing is ranked wrong.

    Raises:
        GoldfoldError: an image or a mask cannot be read.
    """
    truth, score = truth_of(found.rows, found.targets), found.predictions["score"]
    if truth is None:
        return {}
    wrong = np.nan_to_num(misranked(truth, score, [folds]))
    drawn = {}
    for name, title, anomalous, caption in (
        (MISSES, "Misses: defects that score too low", 1, "below {:.0%} of normal images"),
        (
            FALSE_ALARMS,
            "False alarms: normal images that score too high",
            0,
            "above {:.0%} of defects",
        ),
    ):
        own = (truth == anomalous) & (wrong > 0)
        order = np.lexsort((score if anomalous else -score, -wrong))
        worst = order[own[order]][: COLUMNS * ROWS]
        if len(worst):
            heading = f"{title} (the worst {len(worst)} of {own.sum():,} misranked)"
            drawn[name] = _page(found, [(heading, worst)], found.range, [caption.format(share) for share in wrong])
    return drawn


def of_test(found: Detected, value_range: canvas.Range) -> bytes:
    """A PNG of the 6 test images with the highest scores, and of the 6 with the lowest.

    value_range: the color range of the out-of-fold maps, so that both can be compared by eye.

    Raises:
        GoldfoldError: an image cannot be read.
    """
    order = np.argsort(-found.predictions["score"], kind="stable")
    half = min(COLUMNS * ROWS // 2, -(-len(order) // 2))
    count = f"of {len(order):,} test images"
    parts = [(f"Highest scores {count}", order[:half]), (f"Lowest scores {count}", order[half:][-half:])]
    rank = np.empty(len(order), int)
    rank[order] = np.arange(1, len(order) + 1)
    return _page(found, [part for part in parts if len(part[1])], value_range, [f"rank {each:,}" for each in rank])


def _page(
    found: Detected, parts: Sequence[tuple[str, np.ndarray]], value_range: canvas.Range, notes: Sequence[str]
) -> bytes:
    """A page of headings with their images. notes: a caption of each row of `found`."""
    shown, width = np.concatenate([positions for _, positions in parts]), PAGE - 2 * MARGIN
    cells = iter(_cells(found, shown, value_range, notes))
    body: list[np.ndarray] = []
    for title, positions in parts:
        own = [next(cells) for _ in positions]
        body.append(text_line(title, width, size=TITLE if not body else HEADING, weight=BOLD))
        if len(body) == 1:
            body += _legend(found, value_range, width)
        body += [hstack(own[start : start + COLUMNS], gap=BETWEEN) for start in range(0, len(own), COLUMNS)]
    return canvas.png(framed(vstack(body, gap=8), PAGE))


def _legend(found: Detected, value_range: canvas.Range, width: int) -> list[np.ndarray]:
    """What the colors of the maps and the outlines mean."""
    ramp = canvas.heat_legend({"anomaly map": value_range}, False, "same scale in all pictures of the run")
    outline = "mask_path" in found.rows and not found.private
    return [ramp, text_line("blue outline: true defect", width, color=OUTLINE)] if outline else [ramp]


def _cells(found: Detected, shown: np.ndarray, value_range: canvas.Range, notes: Sequence[str]) -> list[np.ndarray]:
    """Of each shown row the image beside its map, with outlines and captions."""
    rows, predicted = found.rows.iloc[shown].reset_index(drop=True), found.predictions[shown]
    ids, width = [str(each) for each in rows["id"]], 2 * SIDE + GAP
    images = photographs.read_all(rows["path"].tolist(), ids, private=found.private)
    maps = photographs.shown({RANGE: predicted["map"]}, ids, private=found.private)[RANGE]
    truth = photographs.defects(rows, private=found.private)
    names, kinds = canvas.apart(ids, width), labels(rows, found.targets)
    cells = []
    for at, (image, values) in enumerate(zip(images, maps, strict=True)):
        size = canvas.fit_size(image.shape, SIDE, SIDE)
        pair = [canvas.tile(image / 255, size), canvas.tile(values, size, value_range)]
        pair = [canvas.outlined(each, truth[at], OUTLINE) for each in pair] if truth else pair
        lines = [
            hstack(pair, gap=GAP),
            text_line(kinds[at] or names[at], width, weight=BOLD, color=INK),
            *([text_line(names[at], width, color=MUTED)] if kinds[at] else []),
            text_line(f"score {digits(float(predicted['score'][at]))} · {notes[shown[at]]}", width),
        ]
        cells.append(vstack([*lines, blank(0, width)], gap=2))
    return cells
