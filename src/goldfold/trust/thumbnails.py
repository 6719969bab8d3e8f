"""Gray thumbnails of images and spectrograms, 32 x 32 pixels, kept by file content so that each image is read once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from goldfold.audio import files, pictures
from goldfold.errors import GoldfoldError
from goldfold.images import reading
from goldfold.io.files import read_arrays, write_arrays
from goldfold.io.seeding import derive

SIDE = 32


def thumbnails(
    paths: Sequence[str | Path], contents: Sequence[str], kept: Path | None, most: int, most_read: int
) -> tuple[np.ndarray, np.ndarray]:
    """Thumbnails uint8 (m, 32, 32) and the positions int64 (m,) of their images, ascending.

    contents: hashes of the files. kept: an .npz file of thumbnails by content; None keeps none, as for private images.
    most: thumbnails that are returned; of more images, a sample. most_read: size of the sample where more files than
    that would have to be read. Files that cannot be decoded are left out.
    """
    known = _kept(kept)
    order = np.random.default_rng(derive(0, "thumbnails")).permutation(len(paths)).tolist()[:most]
    if sum(contents[at] not in known for at in order) > most_read:
        order = order[:most_read]  # whichever are kept, so that a resumed run has the sample it began with
    fresh = [at for at in order if contents[at] not in known]
    if fresh:
        with ThreadPoolExecutor(reading.THREADS) as pool:
            read = pool.map(_thumbnail, [paths[at] for at in fresh])
        new = {contents[at]: image for at, image in zip(fresh, read, strict=True) if image is not None}
        known = known | new
        if kept is not None and new:
            names, images = np.array(list(known)), np.stack(list(known.values()))
            write_arrays(kept, {"contents": names, "thumbnails": images})
    chosen = np.array(sorted(at for at in order if contents[at] in known), np.int64)
    if not len(chosen):
        return np.empty((0, SIDE, SIDE), np.uint8), chosen
    return np.stack([known[contents[at]] for at in chosen]), chosen


def _kept(path: Path | None) -> dict[str, np.ndarray]:
    """Content -> thumbnail; empty where none are kept, or the file is damaged."""
    if path is None:
        return {}
    try:
        stored = read_arrays(path)
        return dict(zip(stored["contents"].tolist(), stored["thumbnails"], strict=True))
    except (GoldfoldError, KeyError, ValueError):
        return {}


def _thumbnail(path: str | Path) -> np.ndarray | None:
    try:
        image = pictures.gray(path) if files.is_sound(path) else reading.read(path, gray=True)[..., 0]
    except GoldfoldError:
        return None
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
