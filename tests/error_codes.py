"""Check that code raises a GoldfoldError with the expected code and facts; for tests alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from goldfold.errors import GoldfoldError


@contextmanager
def raises_code(code: str, *facts: object) -> Iterator[None]:
    """Expect a GoldfoldError with this code, whose one-line message has every fact, literally or as a regex."""
    with pytest.raises(GoldfoldError) as error:
        yield
    message = error.value.message
    assert error.value.code == code, message
    assert "\n" not in message
    for fact in map(str, facts):
        assert fact in message or re.search(fact, message), f"no {fact!r} in {message}"
