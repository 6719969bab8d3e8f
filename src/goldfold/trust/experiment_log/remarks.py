"""Remarks on a run: `remarks.json` in its folder, a list of dated entries to which entries are only added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json, write_json

REMARKS = "remarks.json"
TEXTS = ("text", "conclusion", "next")  # fields that are checked against the scores
FIELDS = (*TEXTS, "against", "category", "name")


@dataclass(frozen=True, kw_only=True)
class Remarks:
    """The newest value of each field of a run's remarks, empty where none was given.

    text, conclusion, next: free text. against: run to compare with, by its folder's name. category, name: of the row.
    written: field -> when it was given, ISO 8601. verdicts: field -> claim -> verdict when it was given.
    """

    text: str = ""
    conclusion: str = ""
    next: str = ""
    against: str = ""
    category: str = ""
    name: str = ""
    written: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def texts(self) -> dict[str, str]:
        """Field -> text, of the fields that are checked and not empty."""
        return {name: text for name in TEXTS if (text := getattr(self, name))}


def read(run: Path) -> Remarks:
    """Read the newest remarks of a run; GoldfoldError `file_damaged` if its file is not a list of entries."""
    return newest(_entries(run))


def newest(entries: Sequence[Mapping[str, Any]]) -> Remarks:
    """The newest value of each field, of entries from the oldest to the newest.

    >>> newest([{"time": "1", "text": "first", "name": "v1"}, {"time": "2", "text": "second"}]).text
    'second'
    """
    found: dict[str, Any] = {"written": {}, "verdicts": {}}
    for entry in entries:
        for name in (name for name in FIELDS if name in entry):
            found[name] = str(entry[name])
            found["written"][name] = str(entry["time"])
            found["verdicts"][name] = dict(entry.get("verdicts", {}).get(name, {}))
    return Remarks(**found)


def with_entry(run: Path, fields: Mapping[str, str]) -> Remarks:
    """The remarks of a run as they would be with one more entry, which is not stored."""
    return newest([*_entries(run), {"time": "", **fields}])


def add(run: Path, fields: Mapping[str, str], verdicts: Mapping[str, Mapping[str, str]]) -> None:
    """Add an entry with the present time to a run's remarks; earlier entries stay.

    fields: those of `FIELDS` that are given. verdicts: field -> claim -> what the scores said of it.
    """
    with FileLock(run / ".remarks.lock"):
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        write_json(run / REMARKS, [*_entries(run), {"time": time, **fields, "verdicts": verdicts}])


def _entries(run: Path) -> list[dict[str, Any]]:
    path = run / REMARKS
    entries = read_json(path) if path.exists() else []
    if not isinstance(entries, list) or not all(isinstance(each, dict) and "time" in each for each in entries):
        raise GoldfoldError("file_damaged", f"{path} is no list of remarks with their times: repair it or delete it")
    return entries
