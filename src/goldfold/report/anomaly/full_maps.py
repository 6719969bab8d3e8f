"""Anomaly maps at the size of their image: what exceeds a threshold as boxes, as 16-bit values and as an overlay."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from goldfold.io.seeding import derive
from goldfold.report.epochs.atlas import OUTLINE
from goldfold.report.plotting import canvas

BLOBS = ("id", "x", "y", "width", "height", "area", "peak", "peak_x", "peak_y")
FULL = 65535
ABOVE = "#ffffff"  # outline of what exceeds the threshold
OPACITY = 0.6  # of the hottest color; the coldest is transparent
LONGEST = 80  # bytes of a file's name


def at_size(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map (h, w) at the height and width of its image, float32, bilinear."""
    return cv2.resize(values.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)


def blobs(values: np.ndarray, threshold: float) -> list[dict[str, float]]:
    """The connected regions (8 neighbors) of a map (h, w) at or above a threshold, the highest peak first.

    Keys: x, y (of the upper left corner), width, height of the box, area, all in pixels; peak (largest value), peak_x
    and peak_y (its place).
    """
    regions, labels, boxes, _ = cv2.connectedComponentsWithStats((values >= threshold).astype(np.uint8), connectivity=8)
    found = []
    for number in range(1, regions):
        x, y, width, height, area = (int(each) for each in boxes[number])
        inside = np.where(
            labels[y : y + height, x : x + width] == number, values[y : y + height, x : x + width], -np.inf
        )
        down, across = np.unravel_index(inside.argmax(), inside.shape)
        box = {"x": x, "y": y, "width": width, "height": height, "area": area}
        found.append(box | {"peak": float(inside.max()), "peak_x": x + int(across), "peak_y": y + int(down)})
    return sorted(found, key=lambda each: -each["peak"])


def sixteen_bit(values: np.ndarray, limits: canvas.Range) -> bytes:
    """A map (h, w) as a 16-bit PNG: 0 is the low limit, 65,535 the high one."""
    low, high = limits
    scaled = (np.clip(values, low, high) - low) * (FULL / max(high - low, 1e-30))
    return cv2.imencode(".png", (scaled + 0.5).astype(np.uint16))[1].tobytes()


def overlay(
    image: np.ndarray,
    values: np.ndarray,
    colors: canvas.Range,
    threshold: float,
    truth: np.ndarray | None = None,
) -> bytes:
    """The image uint8 (h, w, 3) under the colors of its map (h, w), as PNG of its own size.

    colors: the values of the coldest color, which is transparent, and of the hottest. What reaches the threshold has a
    white outline, the true defect, bool (h, w), a blue one.
    """
    low, high = colors
    heat = canvas.tile(values, values.shape, colors)
    share = OPACITY * np.clip((values - low) / max(high - low, 1e-30), 0, 1)[..., None]
    mixed = ((1 - share) * image + share * heat + 0.5).astype(np.uint8)
    if truth is not None and truth.any():
        mixed = canvas.outlined(mixed, truth, OUTLINE)
    above = values >= threshold
    return canvas.png(canvas.outlined(mixed, above, ABOVE) if above.any() else mixed)


def threshold_of(maps: np.ndarray, share: float) -> float:
    """The value that the maps (n, h, w) of a share of normal images exceed somewhere."""
    return float(np.quantile(maps.reshape(len(maps), -1).max(axis=1), 1 - share, method="higher"))


def file_names(ids: Sequence[str]) -> list[str]:
    """A file name for each id, without what no file system takes; long ones are cut, and equal ones are told apart.

    >>> file_names(["a/b", "a:b", "板"])
    ['a-b', 'a-b-2', '板']
    """
    taken: set[str] = set()
    names = []
    for id_ in ids:
        plain = re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "-", id_).strip(". ") or "image"
        if len(plain.encode()) > LONGEST:
            plain = f"{plain.encode()[:LONGEST].decode(errors='ignore')}-{derive(id_):08x}"
        different = chain([plain], (f"{plain}-{number}" for number in count(2)))
        names.append(next(name for name in different if name.casefold() not in taken))
        taken.add(names[-1].casefold())
    return names


def table(found: Sequence[tuple[str, dict[str, float]]]) -> pd.DataFrame:
    """Blobs with the id of their image as a table, the highest peak first."""
    every = pd.DataFrame([{"id": id_, **blob} for id_, blob in found], columns=list(BLOBS))
    return every.sort_values("peak", ascending=False, kind="stable", ignore_index=True)


def truth_of_mask(path: Path | str | None, image: Path | str) -> np.ndarray | None:
    """The true defect, bool (h, w); None without a mask."""
    from goldfold.images import masks

    return masks.read(path, image) > 0 if isinstance(path, str | Path) else None
