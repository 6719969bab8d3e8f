"""Extension of griffe, which reads the sources for mkdocstrings: docstrings in this project's style, as Markdown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))
from docstrings import to_markdown


class PlainDocstrings(griffe.Extension):
    """Rewrite the docstring of every class and function."""

    def on_class(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Rewrite a class's docstring; its fields are what it describes."""
        fields = [name for name, member in cls.members.items() if member.is_attribute]
        _rewrite(cls, [*fields, *(parameter.name for parameter in cls.parameters)])

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """Rewrite a function's docstring."""
        _rewrite(func, [parameter.name for parameter in func.parameters])


def _rewrite(found: griffe.Object, names: list[str]) -> None:
    if found.docstring:
        found.docstring.value = to_markdown(found.docstring.value, names)
