"""A finding: what an audit has to say, where, and how bad it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from goldfold.errors import GoldfoldError

Level = Literal["note", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """Something a reader of the score must know. An error stops the run unless the config accepts its code."""

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


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Equal findings of several folds as one, with all the places."""
    places: dict[tuple[str, Level, str], list[str]] = {}
    for finding in findings:
        places.setdefault((finding.code, finding.level, finding.message), []).append(finding.where)
    return [Finding(*key, some(where)) for key, where in places.items()]


def refuse_errors(findings: Iterable[Finding], accepted: Sequence[str]) -> None:
    """Stop at the first error the config does not accept.

    Raises:
        GoldfoldError: with the finding's code, place and message.
    """
    for finding in findings:
        if finding.level == "error" and finding.code not in accepted:
            raise GoldfoldError(
                f"{finding.where}: {finding.message} (accept=[{finding.code}] goes on, and the record says so)"
            )


def some(names: Sequence[str]) -> str:
    """The first three names and how many more there are."""
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
