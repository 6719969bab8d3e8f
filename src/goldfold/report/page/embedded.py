"""Pictures inside a page, as data in its text; together they stay below a limit."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path

import cv2
import numpy as np

from goldfold.report.plotting import photographs

MOST = 3_000_000  # bytes of all pictures of a page; base64 makes 4 MB of them, so that a page stays below 5 MB
SCALES = (1.0, 0.75, 0.5, 0.35, 0.2, 0.1)
QUALITY = 80  # of WebP, from 0 to 100
LONGEST = 16_383  # pixels of a side that WebP can hold


def embedding(folder: Path, names: Iterable[str], most: int = MOST) -> Callable[[str, str], str]:
    """Return a function (caption, file name) -> `<figure>` of the pictures of a folder; empty for other names.

    most: bytes of all together; a picture above its share is encoded again as WebP, smaller if it has to be.
    """
    found = {name: folder / name for name in dict.fromkeys(names) if (folder / name).is_file()}
    shares = _shares({name: path.stat().st_size for name, path in found.items()}, most)
    sources = {name: _source(photographs.drawn(path), shares[name]) for name, path in found.items()}

    def figure(caption: str, name: str) -> str:
        if name not in sources:
            return ""
        told = escape(caption)
        image = f'<div class="picture" tabindex="0"><img src="{sources[name]}" alt="{told}"></div>'
        return f"<figure>{image}<figcaption>{told}</figcaption></figure>"

    return figure


def _shares(sizes: dict[str, int], most: int) -> dict[str, int]:
    """The bytes that each picture may have: its own size if it is small, else an equal part of what these leave."""
    shares, left = {}, most
    for at, (name, size) in enumerate(sorted(sizes.items(), key=lambda each: each[1])):
        shares[name] = min(size, left // (len(sizes) - at))
        left -= shares[name]
    return shares


def _source(picture: bytes, most: int) -> str:
    """The address that holds a picture of at most `most` bytes, or of the smallest size there is."""
    if len(picture) <= most:
        return f"data:image/png;base64,{b64encode(picture).decode()}"
    image = photographs.decoded(picture)
    encoded = b""
    for scale in SCALES:
        encoded = _webp(image, min(scale, LONGEST / max(image.shape)))
        if len(encoded) <= most:
            break
    return f"data:image/webp;base64,{b64encode(encoded).decode()}"


def _webp(image: np.ndarray, scale: float) -> bytes:
    height, width = (max(1, int(side * scale)) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1].tobytes()
