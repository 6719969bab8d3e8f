"""Markdown of this project's docstrings: `name: meaning` lines become lists, doctests become code blocks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator


def to_markdown(docstring: str, names: Collection[str] = ()) -> str:
    """Convert a docstring, already without its common indent.

    names: of the parameters or fields that a line `name: meaning` may describe; also in the middle of a paragraph.
    """
    parts = re.split(r"\n\s*\n", docstring.strip())
    return "\n\n".join(_part(part, names) for part in parts)


def _without_tags(text: str) -> str:
    """`<name>` outside of code as text, since Markdown takes it for HTML."""
    pieces = text.split("`")
    pieces[::2] = [re.sub(r"<(\w+)>", r"&lt;\1&gt;", piece) for piece in pieces[::2]]
    return "`".join(pieces)


def _part(part: str, names: Collection[str]) -> str:
    if part.lstrip().startswith(">>>"):
        return "```pycon\n" + re.sub(r"(?m)\s*# doctest: \+\w+$", "", part) + "\n```"
    part = _without_tags(part)
    if not names or part.startswith("Raises:"):
        return part
    joined, found = _joined(part), "|".join(map(re.escape, names))
    described = rf"(?:{found})(?:, (?:{found}))*"
    items = re.split(rf"(?:^|(?<=[.!] )|(?<=\n))(?=(?:{described}):\s)", joined)
    return "\n".join(_items(items, described)).strip()


def _joined(part: str) -> str:
    """The part with hanging indents joined to the line above."""
    return re.sub(r"\n[ ]+", " ", part)


def _items(items: list[str], described: str) -> Iterator[str]:
    for item in items:
        text = " ".join(item.split())
        match = re.match(rf"({described}): (.*)", text)
        if match:
            yield f"- {', '.join(f'`{name}`' for name in match[1].split(', '))}: {match[2]}"
        elif text:
            yield text + "\n"
