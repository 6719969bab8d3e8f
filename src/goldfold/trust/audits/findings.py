"""Findings of audits: a stable code, a level, a message and a place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from goldfold.errors import GoldfoldError

Level = Literal["note", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """What a reader of the score must know. An error stops the run unless the config accepts its code.

    code: stable snake_case name; configs accept it and scripts search for it.
    message: what was seen, with numbers, why it misleads, and the cure. where: fold, stage, run or table.
    """

    code: str
    level: Level
    message: str
    where: str

    def __str__(self) -> str:
        """The line that commands print.

        >>> print(Finding("at_chance", "warning", "auroc 0.51 cannot be told from chance", "all folds"))
        warning  at_chance  all folds: auroc 0.51 cannot be told from chance
        """
        return f"{self.level}  {self.code}  {self.where}: {self.message}"


def merge_places(findings: Iterable[Finding]) -> list[Finding]:
    """Merge equal findings of several folds into one that names all places."""
    places: dict[tuple[str, Level, str], list[str]] = {}
    for finding in findings:
        places.setdefault((finding.code, finding.level, finding.message), []).append(finding.where)
    return [Finding(*key, first_three(where)) for key, where in places.items()]


def refuse_errors(findings: Iterable[Finding], accepted: Sequence[str]) -> None:
    """Stop at the first error that the config does not accept.

    accepted: codes of findings.

    Raises:
        GoldfoldError: with the finding's code, place and message.
    """
    for finding in findings:
        if finding.level == "error" and finding.code not in accepted:
            raise GoldfoldError(
                finding.code,
                f"{finding.where}: {finding.message} (to continue anyway: ACCEPT={finding.code} after make, --accept "
                f"{finding.code} after goldfold; it is recorded)",
            )


def first_three(names: Sequence[str]) -> str:
    """The first three names and the number of the others.

    >>> first_three(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
