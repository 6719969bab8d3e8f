"""Expect a GoldfoldError by its code and the facts in its message, not by its wording."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from goldfold.errors import GoldfoldError


@contextmanager
def raises_code(code: str, *facts: str) -> Iterator[None]:
    """Expect a GoldfoldError with `code` and a one-line message in which each fact, a regular expression, is found."""
    with pytest.raises(GoldfoldError) as caught:
        yield
    error = caught.value
    assert error.code == code, f"{error.code}: {error}"
    assert "\n" not in str(error)
    for fact in facts:
        assert re.search(fact, str(error)), f"no {fact!r} in {error}"
