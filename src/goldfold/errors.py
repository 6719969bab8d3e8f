"""What goldfold says to a user when something is wrong: the rule, the value and the next step in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GoldfoldError(Exception):
    """A mistake the user can mend; the command line prints its text alone and exits with code 2."""


def unknown(kind: str, name: str, known: Iterable[str]) -> GoldfoldError:
    """The error for a name that does not exist: it lists what does, nearest first.

    >>> str(unknown("competition", "digit", ["solar_cells", "digits"]))
    "there is no competition 'digit'; did you mean 'digits'? known: digits, solar_cells"
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    return GoldfoldError(f"there is no {kind} '{name}'{hint} known: {', '.join(known) or 'none'}")
