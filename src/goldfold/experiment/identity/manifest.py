"""The manifest of a run: the SHA-256 of each of its result files, so that a later change by hand is noticed.

`manifest.json` is written when a run is concluded, just before its record. Verbs that add or replace a file of a
finished run write it through `write`, which lists the new hash first: a process killed in between leaves a run whose
files are all as listed. Checkpoints have hashes of their own, and pages that nothing reads again have none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.io.files import json_text, read_json, write_bytes, write_json

MANIFEST = "manifest.json"
# The user's remarks are checked again whenever they are read; where a run was sent to changes nothing of it.
NO_RESULTS = (MANIFEST, "report.html", "remarks.json", "trackers.json")
ABSENT = "absent"  # instead of a hash, of a file that is about to be written
READ = (".json", ".csv", ".npy", ".npz")  # endings of files that verbs read, so that an unlisted one is a change
LARGE = (".npy", ".npz", ".png")  # endings of files that lists of runs do not hash
BLOCK = 1 << 20  # bytes


def write_manifest(run: Path) -> None:
    """Write the manifest of a run with the files that it has now."""
    write_json(run / MANIFEST, {name: [_sha256(run / name)] for name in _results(run)})


def write(run: Path, name: str, data: bytes) -> None:
    """Write a result file of a run, durably, and its hash into the manifest, if the run has one.

    Raises:
        GoldfoldError: `write_failed`; `file_damaged`, of the manifest.
    """
    if not (run / MANIFEST).exists():
        write_bytes(run / name, data, durable=True)
        return
    known, new = _listed(run), hashlib.sha256(data).hexdigest()
    write_json(run / MANIFEST, {**known, name: [*known.get(name, [ABSENT]), new]})
    write_bytes(run / name, data, durable=True)
    write_json(run / MANIFEST, {**known, name: [new]})


def write_value(run: Path, name: str, value: Any) -> None:
    """Write a result file of a run as JSON; as `write`."""
    write(run, name, json_text(value).encode("utf-8"))


def changes(run: Path, *, large: bool = True) -> list[str]:
    """How the files of a run differ from its manifest, a clause each; empty if they do not, or there is none.

    large: whether arrays and pictures are read, too.

    Raises:
        GoldfoldError: `file_damaged`, of the manifest.
    """
    if not (run / MANIFEST).exists():
        return []
    known, found = _listed(run), _results(run)
    gone = [name for name in known if name not in found and ABSENT not in known[name]]
    other = [
        name
        for name in found
        if name in known and (large or not name.endswith(LARGE)) and _sha256(run / name) not in known[name]
    ]
    added = [name for name in found if name not in known and "/" not in name and name.endswith(READ)]
    kinds = {"is gone": gone, "was changed": other, "was added": added}
    return [f"{name} {how}" for how, names in kinds.items() for name in names]


def refuse_changes(run: Path, *, large: bool = True) -> None:
    """Refuse a finished run whose files are not those that it wrote; as `changes`.

    Raises:
        GoldfoldError: `run_changed`.
    """
    if found := changes(run, large=large):
        others = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise GoldfoldError(
            "run_changed",
            f"run '{run.parent.name}/{run.name}' is not as it was concluded ({', '.join(found[:3])}{others}): restore "
            f"what differs, or delete {run / 'record.md'} and run its command again, which makes it anew",
        )


def _results(run: Path) -> list[str]:
    """The result files of a run, paths relative to its folder."""
    return sorted(path.relative_to(run).as_posix() for path in _files(run) if path.is_file())


def _files(run: Path) -> Iterator[Path]:
    places = [run, *run.glob("fold*-seed*")]
    for path in (path for place in places if place.is_dir() for path in place.iterdir()):
        if not path.name.startswith(".") and path.suffix != ".partial" and path.name not in NO_RESULTS:
            yield path


def _listed(run: Path) -> dict[str, list[str]]:
    found = read_json(run / MANIFEST, dict)
    if not all(isinstance(hashes, list) for hashes in found.values()):
        raise GoldfoldError(
            "file_damaged",
            f"{run / MANIFEST} lists no hashes: delete {run / 'record.md'} and run its command again, which makes it "
            "anew",
        )
    return found


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()
