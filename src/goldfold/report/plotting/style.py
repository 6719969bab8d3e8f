"""How pictures look: ink, the colour of each fold, fonts that know the class names, and the way to PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, FAINT = "#1f2933", "#7b8794", "#e4e7eb"
WIDTH = 8.5  # inches; 1020 pixels, what GitHub shows unscaled
DPI = 120
# Okabe & Ito, "Color Universal Design" (2008): told apart by colour-blind eyes too
FOLDS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a7a00", "#5b3a8e", "#7b8794", "#a05a2c")
CJK = (  # how families with Chinese, Japanese and Korean glyphs are called on Linux, Windows and macOS
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
    """Draw and save inside it: fonts and colours are set for the while, and glyphs no font has are passed over."""
    from matplotlib import font_manager, rc_context

    installed = sorted({font.name for font in font_manager.fontManager.ttflist})
    look = {
        "font.family": ["DejaVu Sans", *(name for name in installed if name.startswith(CJK))],
        "font.size": 9,
        "text.color": INK,
        "text.parse_math": False,  # a class may be called $1
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
    with rc_context(look), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def figure(height: float) -> Figure:
    """An empty figure of the page's width, `height` inches high; it belongs to nobody but the caller."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")


def png(drawn: Figure) -> bytes:
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def fold_colour(fold: int) -> str:
    return FOLDS[fold % len(FOLDS)]


def within_reach(level: float, values: Sequence[float]) -> bool:
    """Whether a line at `level` can be drawn beside `values` without pressing them into one."""
    span = max(values) - min(values)
    return min(values) - span <= level <= max(values) + span


def label_right(axes: Axes, place: float, text: str) -> None:
    """Write `text` to the right of the axes, at a place of the vertical one."""
    axes.annotate(
        text,
        (1, place),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        verticalalignment="center",
        fontsize=8,
    )
