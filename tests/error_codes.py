"""Check that code raises a GoldfoldError with the expected code and facts; for tests alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from goldfold.errors import GoldfoldError


@contextmanager
def raises_code(code: str, *facts: object) -> Iterator[None]:
    """Expect a GoldfoldError with this code whose message holds every fact: the wrong value, a name, a count."""
    with pytest.raises(GoldfoldError) as error:
        yield
    assert error.value.code == code, error.value.message
    for fact in facts:
        assert str(fact) in error.value.message
