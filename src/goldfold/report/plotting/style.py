"""Style of matplotlib pictures: colors, fonts for class names in any script, page width, and PNG output."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, FAINT = "#1f2933", "#7b8794", "#e4e7eb"
WIDTH = 8.5  # inches; 1020 pixels, what GitHub shows unscaled
DPI = 120
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


@contextmanager
def styled() -> Iterator[None]:
    """Set fonts and colors while a figure is drawn and saved; warnings about missing glyphs are ignored."""
    from matplotlib import font_manager, rc_context

    installed = sorted({font.name for font in font_manager.fontManager.ttflist})
    settings: dict[Any, Any] = {
        "font.family": ["DejaVu Sans", *(name for name in installed if name.startswith(CJK))],
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


def figure(height: float) -> Figure:
    """An empty figure as wide as the page and `height` inches high; outside pyplot, so nobody must close it."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")


def png(drawn: Figure) -> bytes:
    """Encode a figure as PNG."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def fold_color(fold: int) -> str:
    """The color of a fold, the same in all pictures; folds from 10 on reuse colors."""
    return FOLDS[fold % len(FOLDS)]


def within_reach(level: float, values: Sequence[float]) -> bool:
    """Whether `level` is so close to `values` that one axis shows both: at most their span beyond them."""
    span = max(values) - min(values)
    return min(values) - span <= level <= max(values) + span


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
