"""Errors for users: what is wrong with which value, what to do next, and a stable code to search for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GoldfoldError(Exception):
    """A mistake the user can fix; the command line prints message and code, and exits with code 2.

    code: stable snake_case name of the broken rule, such as `unknown_key`; tests and scripts rely on it.
    message: what is wrong, with the value, and what to do next, in at most two sentences.

    >>> error = GoldfoldError("batch_too_large", "batch_size is 64 and a fold has 50 rows: lower batch_size")
    >>> error.code, str(error)
    ('batch_too_large', 'batch_size is 64 and a fold has 50 rows: lower batch_size')
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


def unknown(kind: str, name: str, known: Iterable[str], code: str = "unknown_name") -> GoldfoldError:
    """The error for a name that does not exist: it lists the names that do, and suggests the nearest.

    >>> str(unknown("competition", "digit", ["solar_cells", "digits"]))
    "there is no competition 'digit'; did you mean 'digits'? known: digits, solar_cells"
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    return GoldfoldError(code, f"there is no {kind} '{name}'{hint} known: {', '.join(known) or 'none'}")
