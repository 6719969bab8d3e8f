"""Errors for users: what is wrong with which value, what to do next, and a stable code to search for."""

from __future__ import annotations

import difflib
from bisect import bisect
from collections.abc import Iterable, Sequence
from itertools import islice

LISTED = 60  # names that a message lists in full
NEAREST = 3  # names that it lists of more
LIKELY = 200  # names that are compared of more


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


def way_on(code: str) -> str:
    """How to accept a finding or a change, as it is typed.

    >>> way_on("code_changed")
    'ACCEPT=code_changed with make, --accept code_changed with goldfold, accept=["code_changed"] in Python'
    """
    return f'ACCEPT={code} with make, --accept {code} with goldfold, accept=["{code}"] in Python'


def unknown(kind: str, name: str, known: Iterable[str], code: str = "unknown_name") -> GoldfoldError:
    """The error for a name that does not exist: it suggests the nearest, and lists the names that do.

    Of more than `LISTED` names the nearest ones are listed.

    >>> str(unknown("competition", "digit", ["solar_cells", "digits"]))
    "there is no competition 'digit'; did you mean 'digits'? known: digits, solar_cells"
    >>> str(unknown("id", "200", (f"{number:05d}" for number in range(300))))
    "there is no id '200'; did you mean '00200'? 300 known, the nearest: 00200, 00299, 00298"
    """
    known = sorted(known)
    likely = known if len(known) <= LISTED else _likely(name, known)
    near = difflib.get_close_matches(name, likely, n=NEAREST, cutoff=0.5) or _sharing_a_word(name, likely)
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    if len(known) <= LISTED:
        return GoldfoldError(code, f"there is no {kind} '{name}'{hint} known: {', '.join(known) or 'none'}")
    shown = ("the nearest: " if near else "such as ") + ", ".join(near or likely[:NEAREST])
    return GoldfoldError(code, f"there is no {kind} '{name}'{hint} {len(known):,} known, {shown}")


def _sharing_a_word(name: str, known: Iterable[str]) -> list[str]:
    """The names that share a word with `name`, most words first, as `rate` and `learning_rate` do."""
    words = set(name.lower().split("_"))
    shared = {each: len(words & set(each.lower().split("_"))) for each in known}
    return sorted((each for each in shared if shared[each]), key=lambda each: -shared[each])[:NEAREST]


def _likely(name: str, known: Sequence[str]) -> list[str]:
    """Names among which the nearest are sought: those that contain `name` or sort next to it; comparing all is slow."""
    place = bisect(known, name)
    beside = known[max(0, place - LIKELY) : place + LIKELY]
    containing = islice((each for each in known if name and (name in each or each in name)), LIKELY)
    return list(dict.fromkeys([*containing, *beside]))
