"""Style of matplotlib pictures: colors, fonts for class names in any script, page width, and PNG output."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import cv2

from goldfold.io.formatting import width
from goldfold.report.plotting import east_asian

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, FAINT = "#1f2933", "#7b8794", "#e4e7eb"
WIDTH = 8.5  # inches; 1020 pixels, what GitHub shows unscaled
DPI = 120
SMALL = (cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT)
# Okabe & Ito, "Color Universal Design" (2008): color-blind readers can tell these apart
FOLDS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a7a00", "#5b3a8e", "#7b8794", "#a05a2c")
CJK = (  # font families with Chinese, Japanese and Korean glyphs on Linux, Windows and macOS
    "Noto Sans CJK",
    "Noto Sans SC",
    "Source Han Sans",
    "WenQuanYi",
    "Droid Sans Fallback",
    "Microsoft YaHei",
    "SimHei",
    "PingFang",
    "Hiragino Sans",
    "Arial Unicode MS",
)
OTHERS = ("Noto Sans Thai", "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Symbols", "Noto Emoji")


@contextmanager
def styled() -> Iterator[None]:
    """Set fonts and colors while a figure is drawn and saved; warnings about missing glyphs are ignored."""
    from matplotlib import rc_context

    settings: dict[Any, Any] = {
        "font.family": ["DejaVu Sans", *_installed(OTHERS), *_east_asian_fonts()],
        "font.size": 9,
        "text.color": INK,
        "text.parse_math": False,  # else a class name such as $1 is read as math
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": FAINT,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "legend.frameon": False,
        "legend.fontsize": 8,
    }
    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _east_asian_fonts() -> list[str]:
    return _installed(CJK)


def _installed(families: tuple[str, ...]) -> list[str]:
    """Names of the installed fonts whose families begin with one of these."""
    from matplotlib import font_manager

    return sorted({font.name for font in font_manager.fontManager.ttflist if font.name.startswith(families)})


def figure(height: float) -> Figure:
    """An empty figure as wide as the page and `height` inches high; outside pyplot, so nobody must close it."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")


def png(drawn: Figure) -> bytes:
    """Encode a figure as PNG; East Asian texts are drawn by OpenCV if no font for them is installed."""
    foreign = [] if _east_asian_fonts() else east_asian.texts(drawn)
    pixels = cv2.cvtColor(east_asian.pixels(drawn, foreign), cv2.COLOR_RGB2BGR)  # savefig would draw it twice
    return cv2.imencode(".png", pixels, SMALL)[1].tobytes()


def fold_color(fold: int) -> str:
    """The color of a fold, the same in all pictures; folds from 10 on reuse colors."""
    return FOLDS[fold % len(FOLDS)]


def within_reach(level: float, values: Sequence[float]) -> bool:
    """Whether `level` is so close to `values` that one axis shows both: at most their span beyond them."""
    span = max(values) - min(values)
    return min(values) - span <= level <= max(values) + span


def reaches(limits: Sequence[float], level: float, values: Sequence[float]) -> bool:
    """Whether a line at `level` is drawn: it lies within the limits of the axis, or so near that the axis can grow."""
    return min(limits) <= level <= max(limits) or within_reach(level, values)


def wrapped(text: str, columns: int) -> str:
    """Break a text into lines of at most `columns`, behind spaces and underscores where it has them.

    >>> wrapped("average_precision_macro (higher is better)", 20).split("\\n")
    ['average_precision_', 'macro (higher is', 'better)']
    """
    lines = [""]
    for part in re.findall(r".+?(?:[_ ]|$)", text):
        for piece in _pieces(part, columns):
            if lines[-1] and width(lines[-1] + piece.rstrip()) > columns:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _pieces(part: str, columns: int) -> Iterator[str]:
    """A word in pieces that fit: names in Chinese have no spaces."""
    piece = ""
    for character in part:
        if piece and width(piece + character.rstrip()) > columns:
            yield piece
            piece = ""
        piece += character
    yield piece


def label_right(axes: Axes, y: float, text: str) -> None:
    """Write `text` to the right of the axes at height `y`, in data coordinates."""
    axes.annotate(
        text,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        verticalalignment="center",
        fontsize=8,
    )
