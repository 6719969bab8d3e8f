"""Markdown that also reads well as plain text: padded tables and folded blocks."""

from __future__ import annotations

from collections.abc import Sequence

from goldfold.io.formatting import width


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


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _padded(text: str, size: int, left: bool) -> str:
    space = " " * (size - width(text))
    return text + space if left else space + text
