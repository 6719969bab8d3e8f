"""Images of rows for pictures: the one place where reports read them, so that private photographs are never shown.

`Competition.private_images` says which are private. In their place stands a gray tile with the id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from goldfold.audio import files, pictures
from goldfold.images import masks, reading
from goldfold.report.plotting import canvas
from goldfold.report.plotting.style import FAINT, MUTED

if TYPE_CHECKING:
    from pandas import DataFrame

SIDE = 192  # pixels of a tile
MARGIN = 8  # of them beside its text


def read(path: str | Path, name: str, *, private: bool, side: int | None = None) -> np.ndarray:
    """Read an image as uint8 (h, w, 3), or draw a recording; of a private one return the tile of its name instead.

    side: the height and width to resize to, without keeping the aspect ratio; None: those of the image.

    Raises:
        GoldfoldError: the image is not private and cannot be read.
    """
    image = tile(name) if private else _picture(path)
    return image if side is None else reading.resize(image, side)


def _picture(path: str | Path) -> np.ndarray:
    """An image, or the spectrogram of a recording."""
    return pictures.colored(path) if files.is_sound(path) else reading.read(path)


def read_all(
    paths: Sequence[str | Path], names: Sequence[str], *, private: bool, side: int | None = None
) -> list[np.ndarray]:
    """Read the images of several rows as `read`; on tiles long names are cut so that different ones stay different."""
    told = apart(names) if private else names
    return [read(path, name, private=private, side=side) for path, name in zip(paths, told, strict=True)]


def defects(rows: DataFrame, *, private: bool) -> list[np.ndarray] | None:
    """The true defect of each row from the masks in `mask_path`, bool (h, w); None without masks or if private.

    Raises:
        GoldfoldError: a mask cannot be read, or has not the size of its image.
    """
    if private or "mask_path" not in rows:
        return None
    return [masks.read(*each) > 0 for each in zip(rows["mask_path"], rows["path"], strict=True)]


def apart(names: Sequence[str]) -> list[str]:
    """Cut names to what fits on a tile."""
    return canvas.apart(names, SIDE - MARGIN, canvas.HEADING)


def tile(name: str) -> np.ndarray:
    """Draw the tile that stands in the place of a private photograph, uint8 (SIDE, SIDE, 3)."""
    whole = canvas.blank(SIDE, SIDE, FAINT)
    lines = ((name, canvas.HEADING), ("private, not shown", canvas.TEXT))
    top = SIDE // 2 - canvas.HEADING
    for text, size in lines:
        line = canvas.text_line(text, SIDE - MARGIN, size=size, color=MUTED, background=FAINT)
        left = (SIDE - line.shape[1]) // 2
        whole[top : top + line.shape[0], left : left + line.shape[1]] = line
        top += line.shape[0]
    return whole


def drawn(path: Path) -> bytes:
    """Read a picture that a report wrote, as PNG: it holds tiles already where photographs are private."""
    return path.read_bytes()


def decoded(picture: bytes) -> np.ndarray:
    """A picture that `drawn` read, uint8 (h, w, 3) BGR."""
    return np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR))


def shown(pictures: Mapping[str, np.ndarray], names: Sequence[str], *, private: bool) -> Mapping[str, np.ndarray]:
    """Return the pictures that a plan drew of rows, or tiles in their place: reconstructions show photographs, too.

    pictures: name -> (n, h, w) or (n, h, w, 3) in [0, 1]. names: of the n rows.
    """
    if not private:
        return pictures
    tiles = np.stack([tile(name) for name in apart(names)]) / 255
    return dict.fromkeys(pictures, tiles)
