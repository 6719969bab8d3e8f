"""Pages composed of pixels: text in any script, image tiles and heatmaps.

Much faster than a matplotlib figure with many axes. A part is an array (height, width, 3) uint8, RGB, on white. OpenCV
brings its own fonts, so Chinese, Japanese, Korean, Cyrillic and Arabic names show on machines without such fonts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import cv2
import numpy as np

from goldfold.io.formatting import digits, shortened_apart
from goldfold.report.plotting.style import DPI, INK, MUTED, WIDTH

PAGE = round(WIDTH * DPI)  # pixels
TINY, TEXT, HEADING, TITLE = 11, 13, 16, 20  # font sizes in pixels
PLAIN, BOLD = 400, 650  # font weights
STRIPES = ((214, 240, 245), (0, 150, 170))  # for values that are not finite; heatmaps never have these colors
STRIPE = 4  # pixels
RAMP = 80  # pixels, length of the color bar in the legend of a heatmap
WHITE = "#ffffff"

Size = tuple[int, int]  # (height, width)
Range = tuple[float, float]  # (low, high)


@cache
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")


def rgb(color: str) -> tuple[int, int, int]:
    """Convert a hex color to (red, green, blue), 0 to 255.

    >>> rgb("#1f2933")
    (31, 41, 51)
    """
    red, green, blue = bytes.fromhex(color[1:])
    return red, green, blue


def blank(height: int, width: int, color: str = WHITE) -> np.ndarray:
    """An empty part of one color."""
    part = np.full((height, width, 3), 255, np.uint8)
    if color != WHITE:
        part[:] = rgb(color)
    return part


def png(part: np.ndarray) -> bytes:
    """Encode a part as PNG."""
    return cv2.imencode(".png", cv2.cvtColor(part, cv2.COLOR_RGB2BGR))[1].tobytes()


def hstack(parts: Iterable[np.ndarray], gap: int = 0) -> np.ndarray:
    """Join parts from left to right, aligned at the top, `gap` pixels apart."""
    return _join(parts, gap, axis=1)


def vstack(parts: Iterable[np.ndarray], gap: int = 0) -> np.ndarray:
    """Join parts from top to bottom, aligned at the left, `gap` pixels apart."""
    return _join(parts, gap, axis=0)


def _join(parts: Iterable[np.ndarray], gap: int, axis: int) -> np.ndarray:
    parts = list(parts)
    size = [max((part.shape[side] for part in parts), default=0) for side in (0, 1)]
    size[axis] = sum(part.shape[axis] for part in parts) + gap * max(0, len(parts) - 1)
    whole, start = blank(size[0], size[1]), 0
    for part in parts:
        rest = whole[:, start:] if axis else whole[start:]
        rest[: part.shape[0], : part.shape[1]] = part
        start += part.shape[axis] + gap
    return whole


def centered(part: np.ndarray, height: int, width: int) -> np.ndarray:
    """Center a part in a white box that is at least as large."""
    whole = blank(height, width)
    top, left = (height - part.shape[0]) // 2, (width - part.shape[1]) // 2
    whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    return whole


def text_width(text: str, size: int = TEXT, weight: int = PLAIN) -> int:
    """Width of a line of text in pixels."""
    return cv2.getTextSize((0, 0), _one_line(text), (0, 0), _font(), size, weight)[2]


def text_line(
    text: str, max_width: int, *, size: int = TEXT, color: str = INK, weight: int = PLAIN, background: str = WHITE
) -> np.ndarray:
    """Draw one line of text as wide as it needs, shortened in the middle if it exceeds `max_width` pixels."""
    text = shortened(text, max_width, size, weight)
    part = blank(round(1.4 * size), max(1, text_width(text, size, weight)), background)  # OpenCV needs one pixel
    cv2.putText(part, text, (0, size), rgb(color), _font(), size, weight)
    return part


def shortened(text: str, max_width: int, size: int = TEXT, weight: int = PLAIN) -> str:
    """Cut as much from the middle of `text` as it takes to fit into `max_width` pixels."""
    kept = text = _one_line(text)
    left = len(text)
    while left > 1 and text_width(kept, size, weight) > max_width:
        left -= 1
        kept = f"{text[: left - left // 2]}…{text[len(text) - left // 2 :]}"
    return kept


def apart(texts: Sequence[str], max_width: int, size: int = TEXT, weight: int = PLAIN) -> list[str]:
    """Cut each text to `max_width` pixels so that different texts stay different."""
    return shortened_apart(texts, lambda text: shortened(text, max_width, size, weight))


def wrapped_text(pieces: Sequence[str], max_width: int) -> np.ndarray:
    """Draw pieces of text separated by dots, in as many lines of `max_width` pixels as they need."""
    lines: list[str] = []
    for piece in pieces:
        longer = f"{lines[-1]} · {piece}" if lines else piece
        if lines and text_width(longer) <= max_width:
            lines[-1] = longer
        else:
            lines.append(piece)
    return vstack(text_line(line, max_width) for line in lines)


def pill(text: str, width: int, color: str) -> np.ndarray:
    """Draw white text centered on a bar of one color."""
    line = text_line(text, width - 4, size=TINY, color=WHITE, weight=BOLD, background=color)
    part = blank(line.shape[0] + 1, width, color)
    left = (width - line.shape[1]) // 2
    part[1:, left : left + line.shape[1]] = line
    return part


def fit_size(shape: Sequence[int], height: int, width: int) -> Size:
    """The largest size within a box that keeps the aspect ratio of an image (h, w, ...)."""
    scale = min(height / shape[0], width / shape[1])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def tile(values: np.ndarray, size: Size, value_range: Range = (0.0, 1.0)) -> np.ndarray:
    """Draw a heatmap or an image as a part (*size, 3).

    values: a heatmap (h, w), dark at the low end of `value_range` and bright at its high end and beyond, or an RGB
    image (h, w, 3) in [0, 1]. Values that are not finite are striped.
    """
    with np.errstate(over="ignore"):  # values beyond float32 become infinite
        values = np.asarray(values, np.float32)
    finite = np.isfinite(values)
    lost = ~(finite.all(axis=2) if values.ndim == 3 else finite)
    values = _resize(np.where(finite, values, 0), size)
    drawn = heat_colors()[_quantize(values, value_range)] if values.ndim == 2 else _quantize(values, (0, 1))
    if lost.any():
        lost = _resize(lost.astype(np.float32), size) > 0
        drawn[lost] = stripes(size)[lost]
    return drawn


def outlined(part: np.ndarray, mask: np.ndarray, color: str) -> np.ndarray:
    """A part with the outline of a mask, bool (h, w), stretched over it; regions below one pixel are outlined, too."""
    inside = (_resize(mask.astype(np.float32), part.shape[:2]) > 0).astype(np.uint8)
    around = cv2.dilate(inside, np.ones((3, 3), np.uint8))  # beside the region, so that it is not painted over
    regions, _ = cv2.findContours(around, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(part.copy(), regions, -1, rgb(color), 1)


def _resize(values: np.ndarray, size: Size) -> np.ndarray:
    shrinks = size[0] * size[1] < values.shape[0] * values.shape[1]
    return cv2.resize(values, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _quantize(values: np.ndarray, value_range: Range) -> np.ndarray:
    low, high = value_range
    return ((np.clip(values, low, high) - low) * (255 / max(high - low, 1e-30)) + 0.5).astype(np.uint8)


@cache
def heat_colors() -> np.ndarray:
    """The magma colormap, (256, 3): perceptually uniform, also for color-blind readers and in grayscale print."""
    return cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_MAGMA).reshape(256, 3)[:, ::-1].copy()


def stripes(size: Size) -> np.ndarray:
    """Diagonal stripes, which mark values that are not finite."""
    down, across = np.ogrid[: size[0], : size[1]]
    return np.array(STRIPES, np.uint8)[(down + across) // STRIPE % 2]


def heat_legend(ranges: Mapping[str, Range], striped: bool, shared: str = "same scale at every epoch") -> np.ndarray:
    """Draw a color bar for each heatmap; striped: explain the stripes too; shared: where the scale is the same."""
    ramp = np.broadcast_to(heat_colors()[np.linspace(0, 255, RAMP, dtype=int)], (TEXT, RAMP, 3))
    entries = [
        [_muted(f"{name}  {digits(low)}"), ramp, _muted(f"{digits(high)} and above; {shared}")]
        for name, (low, high) in ranges.items()
    ]
    if striped:
        entries.append([stripes((TEXT, 2 * TEXT)), _muted("NaN or infinite")])
    return vstack((hstack(entry, gap=6) for entry in entries), gap=2)


def _muted(text: str) -> np.ndarray:
    return text_line(text, PAGE // 2, color=MUTED)


def _one_line(text: str) -> str:
    """Join lines, and replace lone surrogates, which file names of other encodings have."""
    return " ".join(str(text).split()).encode("utf-8", "replace").decode()
