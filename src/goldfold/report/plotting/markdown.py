"""Markdown that also reads well as plain text: padded tables, folded code blocks, and texts without any markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

from goldfold.io.formatting import width


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Format a table; the first `left` columns are aligned left, the others right."""
    cells = [[_cell(text) for text in row] for row in (header, *rows)]
    sizes = [max(3, *map(width, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * size if column < left else "-" * (size - 1) + ":" for column, size in enumerate(sizes)]
    padded = [
        [_padded(text, size, column < left) for column, (text, size) in enumerate(zip(row, sizes, strict=True))]
        for row in cells
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in (padded[0], rule, *padded[1:]))


def folded(title: str, text: str) -> str:
    """Format `text` as a code block that GitHub hides until `title` is clicked."""
    return f"<details>\n<summary>{title}</summary>\n\n{code(text)}\n\n</details>"


def code(text: str, language: str = "") -> str:
    """Format `text` as a code block, whose fence is longer than any in the text."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def escaped(text: str) -> str:
    """A text in which Markdown and HTML mean nothing; pipes are left to tables.

    >>> print(escaped("learning_rate *best* <b>"))
    learning_rate \\*best\\* \\<b>
    """
    text = re.sub(r"([\\`*<~&]|(?<!\w)_|_(?!\w)|^[#>])", r"\\\1", text)
    return re.sub(r"\](?=[(\[:])", r"]\\", text)


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _padded(text: str, size: int, left: bool) -> str:
    space = " " * (size - width(text))
    return text + space if left else space + text
