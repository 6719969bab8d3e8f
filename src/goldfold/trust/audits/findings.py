"""Findings of audits: a stable code, a level, a message and a place; and what each code means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from goldfold.errors import GoldfoldError, way_on

if TYPE_CHECKING:
    from pandas import Series

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


@dataclass(frozen=True, kw_only=True)
class FindingKind:
    """What a code means, beside the audit that finds it; docs/findings.md is made from these.

    topic: heading of the page under which it stands. levels: the usual one first. found: a clause for the table of all
        codes. seen: when it is found, in sentences. misleads: why a score or a conclusion is wrong then. cure: the next
        step. example: how a message begins.
    """

    code: str
    topic: str
    levels: tuple[Level, ...]
    found: str
    seen: str
    misleads: str
    cure: str
    example: str

    def __call__(self, message: str, where: str, level: Level | None = None) -> Finding:
        """A finding of this kind; of its usual level if none is given."""
        level = level or self.levels[0]
        if level not in self.levels:
            raise ValueError(f"{self.code} is {' or '.join(self.levels)}, not {level}")
        return Finding(self.code, level, message, where)


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
                f"{finding.where}: {finding.message} (to continue anyway, which is recorded: {way_on(finding.code)})",
            )


def name_of(ids: Series, position: int) -> Any:
    """The id of a row as Python has it, so that a message shows 7 rather than np.int64(7)."""
    return ids.iloc[[position]].tolist()[0]


def first_three(names: Sequence[str]) -> str:
    """The first three names and the number of the others.

    >>> first_three(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
