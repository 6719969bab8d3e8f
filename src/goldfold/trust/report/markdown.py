"""Markdown that also reads well as plain text: padded tables, and numbers written one way everywhere."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table whose first `left` columns are aligned left and the others right."""
    cells = [[_cell(text) for text in row] for row in (header, *rows)]
    sizes = [max(3, *map(width, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * size if place < left else "-" * (size - 1) + ":" for place, size in enumerate(sizes)]
    padded = [
        [_padded(text, size, place < left) for place, (text, size) in enumerate(zip(row, sizes, strict=True))]
        for row in cells
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in (padded[0], rule, *padded[1:]))


def folded(title: str, text: str) -> str:
    """`text` as a code block that GitHub shows when `title` is clicked."""
    return f"<details>\n<summary>{title}</summary>\n\n{code(text)}\n\n</details>"


def code(text: str, language: str = "") -> str:
    return f"```{language}\n{text}\n```"


def number(value: float) -> str:
    """Four decimals for scores; more digits for the very small, none too many for the large.

    >>> [number(value) for value in (0.91234, -12.5, 0, 0.000123, 24563.12)]
    ['0.9123', '-12.5000', '0.0000', '1.230e-04', '24,563.1']
    """
    size = abs(value)
    if 0 < size < 0.001:
        return f"{value:.3e}"
    return f"{value:.4f}" if size < 100 else f"{value:,.1f}"


def interval(edges: Sequence[float]) -> str:
    return f"[{number(edges[0])}, {number(edges[1])}]"


def difference(value: float, reference: float, name: str) -> str:
    """How far `value` is from `reference`, called `name`, in the unit of both.

    >>> difference(0.905, 0.912, "the mean")
    '0.0070 lower than the mean (absolute)'
    """
    if value == reference:
        return f"equal to {name}"
    return f"{number(abs(value - reference))} {'higher' if value > reference else 'lower'} than {name} (absolute)"


def duration(seconds: float) -> str:
    """
    >>> [duration(seconds) for seconds in (3.21, 184, 7384)]
    ['3.2 s', '3 min 4 s', '2 h 3 min']
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def plain(value: Any) -> str:
    """A config's value as YAML's flow style writes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def width(text: str) -> int:
    """Columns a terminal needs: Chinese, Japanese and Korean characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _padded(text: str, size: int, left: bool) -> str:
    space = " " * (size - width(text))
    return text + space if left else space + text
