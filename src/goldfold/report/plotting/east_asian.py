"""Chinese, Japanese and Korean texts of matplotlib figures, drawn by OpenCV where no font for them is installed.

OpenCV brings a font of its own; matplotlib's has none of these characters and draws a box for each.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")  # how Unicode's names of their characters begin
POINTS = 72  # of an inch, in which font sizes are given


def texts(drawn: Figure) -> list[Text]:
    """The visible texts of a figure that have such characters."""
    from matplotlib.text import Text

    found = (each for each in drawn.findobj(Text) if isinstance(each, Text) and each.get_visible())
    foreign = (each for each in found if not each.get_text().isascii())
    return [each for each in foreign if any(unicodedata.name(one, "").startswith(SCRIPTS) for one in each.get_text())]


def pixels(drawn: Figure, found: Sequence[Text]) -> np.ndarray:
    """Draw a figure, uint8 (height, width, 3) RGB, with these texts by OpenCV in the places they have in it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    colors = [_color(text) for text in found]
    for text in found:
        text.set_alpha(0)
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    whole = np.array(canvas.buffer_rgba())[..., :3]
    for text, color in zip(found, colors, strict=True):
        _paste(whole, text, _block(text, color, round(float(text.get_fontsize()) * drawn.dpi / POINTS)))
    return whole


def _color(text: Text) -> tuple[int, int, int]:
    from matplotlib.colors import to_rgb

    red, green, blue = (round(255 * part) for part in to_rgb(text.get_color()))
    return red, green, blue


@cache
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")


def _block(text: Text, color: tuple[int, int, int], size: int) -> np.ndarray:
    """The lines of a text on white, centered below each other, turned as the text is."""
    lines = text.get_text().splitlines()
    widths = [max(1, cv2.getTextSize((0, 0), line, (0, 0), _font(), size, 400)[2]) for line in lines]
    height = round(1.25 * size)
    block = np.full((height * len(lines), max(widths), 3), 255, np.uint8)
    for at, (line, width) in enumerate(zip(lines, widths, strict=True)):
        cv2.putText(block, line, ((max(widths) - width) // 2, at * height + size), color, _font(), size, 400)
    return np.rot90(block) if text.get_rotation() == 90 else block


def _paste(whole: np.ndarray, text: Text, block: np.ndarray) -> None:
    """Darken the place of a text by its block, which is made smaller if it is longer than the text was."""
    box = text.get_window_extent()
    scale = min(1.0, box.height / block.shape[0] if text.get_rotation() == 90 else box.width / block.shape[1])
    width, height = (max(1, int(side * scale)) for side in block.shape[1::-1])
    small = cv2.resize(block, (width, height), interpolation=cv2.INTER_AREA)
    aside = {"left": 0.0, "right": 1.0}.get(text.get_horizontalalignment(), 0.5)
    below = {"top": 0.0, "bottom": 1.0}.get(text.get_verticalalignment(), 0.5)
    left = max(0, round(box.x0 + aside * (box.width - width)))
    top = max(0, round(whole.shape[0] - box.y1 + below * (box.height - height)))
    place = whole[top : top + height, left : left + width]
    np.minimum(place, small[: place.shape[0], : place.shape[1]], out=place)
