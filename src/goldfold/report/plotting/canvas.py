"""Pictures composed of pixels: words in any script, tiles, heat in colours; far faster than a figure of many axes.

A part is an array (height, width, 3) uint8, RGB, on white. OpenCV brings its fonts along: Chinese, Japanese, Korean,
Cyrillic and Arabic names show also on a machine that has no font installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import cv2
import numpy as np

from goldfold.io.formatting import digits
from goldfold.report.plotting.style import DPI, INK, MUTED, WIDTH

PAGE = round(WIDTH * DPI)  # pixels
TINY, TEXT, HEADING, TITLE = 11, 13, 16, 20  # pixels
PLAIN, BOLD = 400, 650  # weights of the font
STRIPES = ((214, 240, 245), (0, 150, 170))  # of values that are not finite: colours that heat never has
STRIPE = 4  # pixels
RAMP = 80  # pixels, the length of the key to heat

Size = tuple[int, int]  # (height, width)
Range = tuple[float, float]


@cache
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")


def rgb(colour: str) -> tuple[int, int, int]:
    """
    >>> rgb("#1f2933")
    (31, 41, 51)
    """
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def blank(height: int, width: int, colour: str = "#ffffff") -> np.ndarray:
    part = np.full((height, width, 3), 255, np.uint8)
    if colour != "#ffffff":
        part[:] = rgb(colour)
    return part


def png(part: np.ndarray) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(part, cv2.COLOR_RGB2BGR))[1].tobytes()


def beside(parts: Iterable[np.ndarray], gap: int = 0) -> np.ndarray:
    """Parts from left to right, their upper edges in line."""
    return _joined(parts, gap, axis=1)


def below(parts: Iterable[np.ndarray], gap: int = 0) -> np.ndarray:
    """Parts from top to bottom, their left edges in line."""
    return _joined(parts, gap, axis=0)


def _joined(parts: Iterable[np.ndarray], gap: int, axis: int) -> np.ndarray:
    parts = list(parts)
    size = [max((part.shape[side] for part in parts), default=0) for side in (0, 1)]
    size[axis] = sum(part.shape[axis] for part in parts) + gap * max(0, len(parts) - 1)
    whole, start = blank(*size), 0
    for part in parts:
        room = whole[:, start:] if axis else whole[start:]
        room[: part.shape[0], : part.shape[1]] = part
        start += part.shape[axis] + gap
    return whole


def centred(part: np.ndarray, height: int, width: int) -> np.ndarray:
    """A part in the middle of a white box that is at least as large."""
    whole = blank(height, width)
    top, left = (height - part.shape[0]) // 2, (width - part.shape[1]) // 2
    whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    return whole


def extent(text: str, size: int = TEXT, weight: int = PLAIN) -> int:
    """Pixels that `text` takes from left to right."""
    return cv2.getTextSize((0, 0), _line(text), (0, 0), _font(), size, weight)[2]


def words(
    text: str, room: int, *, size: int = TEXT, colour: str = INK, weight: int = PLAIN, ground: str = "#ffffff"
) -> np.ndarray:
    """One line of text as wide as it needs, shortened where it must be to fit into `room` pixels."""
    text = shortened(text, room, size, weight)
    part = blank(round(1.4 * size), max(1, extent(text, size, weight)), ground)  # OpenCV knows no empty array
    cv2.putText(part, text, (0, size), rgb(colour), _font(), size, weight)
    return part


def shortened(text: str, room: int, size: int = TEXT, weight: int = PLAIN) -> str:
    """`text` without as much of its middle as it takes to fit into `room` pixels."""
    kept = text = _line(text)
    left = len(text)
    while left > 1 and extent(kept, size, weight) > room:
        left -= 1
        kept = f"{text[: left - left // 2]}…{text[len(text) - left // 2 :]}"
    return kept


def wrapped(pieces: Sequence[str], room: int) -> np.ndarray:
    """Pieces with dots between them, in as many lines of `room` pixels as they need."""
    lines: list[str] = []
    for piece in pieces:
        longer = f"{lines[-1]} · {piece}" if lines else piece
        if lines and extent(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(piece)
    return below(words(line, room) for line in lines)


def pill(text: str, width: int, colour: str) -> np.ndarray:
    """White words in the middle of a bar of colour."""
    told = words(text, width - 4, size=TINY, colour="#ffffff", weight=BOLD, ground=colour)
    part = blank(told.shape[0] + 1, width, colour)
    left = (width - told.shape[1]) // 2
    part[1:, left : left + told.shape[1]] = told
    return part


def fitted(shape: Sequence[int], height: int, width: int) -> Size:
    """The size at which a picture (h, w, ...) fills a box as far as its proportions let it."""
    scale = min(height / shape[0], width / shape[1])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def tile(values: np.ndarray, size: Size, reach: Range = (0.0, 1.0)) -> np.ndarray:
    """A picture as it is drawn, (*size, 3).

    values: (h, w) heat, dark at the low end of `reach` and bright at its high end and beyond, or (h, w, 3) colours in
    [0, 1]. Where values are not finite there are stripes.
    """
    with np.errstate(over="ignore"):  # beyond float32 is infinite
        values = np.asarray(values, np.float32)
    finite = np.isfinite(values)
    lost = ~(finite.all(axis=2) if values.ndim == 3 else finite)
    values = _scaled(np.where(finite, values, 0), size)
    drawn = heat_colours()[_levels(values, reach)] if values.ndim == 2 else _levels(values, (0, 1))
    if lost.any():
        lost = _scaled(lost.astype(np.float32), size) > 0
        drawn[lost] = stripes(size)[lost]
    return drawn


def _scaled(values: np.ndarray, size: Size) -> np.ndarray:
    shrinks = size[0] * size[1] < values.shape[0] * values.shape[1]
    return cv2.resize(values, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _levels(values: np.ndarray, reach: Range) -> np.ndarray:
    low, high = reach
    return ((np.clip(values, low, high) - low) * (255 / max(high - low, 1e-30)) + 0.5).astype(np.uint8)


@cache
def heat_colours() -> np.ndarray:
    """(256, 3): magma, whose steps are even to the eye, to colour-blind eyes and in gray print too."""
    return cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_MAGMA).reshape(256, 3)[:, ::-1].copy()


def stripes(size: Size) -> np.ndarray:
    down, across = np.ogrid[: size[0], : size[1]]
    return np.array(STRIPES, np.uint8)[(down + across) // STRIPE % 2]


def heat_key(ranges: Mapping[str, Range], striped: bool) -> np.ndarray:
    """What the colours of each heat mean, and what stripes are where there are some."""
    ramp = np.broadcast_to(heat_colours()[np.linspace(0, 255, RAMP, dtype=int)], (TEXT, RAMP, 3))
    entries = [
        [_grey(f"{name}  {digits(low)}"), ramp, _grey(f"{digits(high)} and above, the same at every epoch")]
        for name, (low, high) in ranges.items()
    ]
    if striped:
        entries.append([stripes((TEXT, 2 * TEXT)), _grey("not a number")])
    return below((beside(entry, gap=6) for entry in entries), gap=2)


def _grey(text: str) -> np.ndarray:
    return words(text, PAGE // 2, colour=MUTED)


def _line(text: str) -> str:
    """On one line, and without what is no character: half of a pair, as file names of other encodings have."""
    return " ".join(str(text).split()).encode("utf-8", "replace").decode()
