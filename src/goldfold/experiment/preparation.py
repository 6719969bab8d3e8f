"""Prepare a competition's data in its folder, and notice when what it was prepared from has changed."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldfold.experiment.failures import carried_out
from goldfold.experiment.identity import fingerprint
from goldfold.io.files import files_below, read_json, write_json
from goldfold.io.progress import Observer

PREPARED = "prepared.json"  # beside public/: what the data was prepared from
FOLDERS = ("public", "private")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What the data of the competition `name` is made of, and where it goes.

    prepare: the competition's function. raw: the folder it reads. place: data/<name>. competitions: their folder.
    """

    name: str
    prepare: Callable[[Path, Path, Path], None]
    raw: Path
    place: Path
    competitions: Path


def prepare(sources: Sources, observer: Observer) -> None:
    """Fill public/ and private/ in a temporary folder and rename them, so that they are whole or absent.

    Equal contents stay where they are, since another process may be reading them.
    """
    place = sources.place
    observer.line(f"preparing {place} ...")
    partial = place / "preparing"
    shutil.rmtree(partial, ignore_errors=True)
    for part in FOLDERS:
        (partial / part).mkdir(parents=True)
    try:
        carried_out(sources.name, sources.prepare, sources.raw, partial / "public", partial / "private")
        mark = {"code": _code(sources), "raw": _fingerprints(sources.raw, observer)}
        changed = not all(_equal(partial / part, place / part) for part in FOLDERS)
        for part in FOLDERS if changed else ():
            shutil.rmtree(place / part, ignore_errors=True)
        if changed and any((partial / "private").iterdir()):
            os.replace(partial / "private", place / "private")
        write_json(place / PREPARED, mark)
        if changed:
            os.replace(partial / "public", place / "public")  # last: without it everything is prepared again
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def changed_inputs(sources: Sources) -> str:
    """What the data was prepared from and has changed since, in words; empty if nothing has.

    Raw files of equal size and time count as unchanged, others are hashed; where only times differ, as after copying a
    project, the new ones are written down. Raw files that are all gone are no change.
    """
    mark = _mark(sources)
    if not mark:
        return ""
    if mark["code"] != _code(sources):
        return "the code of data.py changed"
    then, now = mark.get("raw", {}), _listed(sources.raw)
    if not now or not then:
        return ""
    names = [each for each in {**then, **now} if _differs(sources.raw / each, then.get(each), now.get(each))]
    if names:
        return f"{len(names)} of its raw files changed, first {min(names)}"
    if any(facts != then[each][:2] for each, facts in now.items()):
        raw = {each: [*facts, then[each][2]] for each, facts in now.items()}
        write_json(sources.place / PREPARED, {**mark, "raw": raw})
    return ""


def repeatable(sources: Sources) -> bool:
    """Whether the data can be prepared again: not if it was made from raw files that are gone."""
    return sources.raw.exists() or not _mark(sources).get("raw")


def _mark(sources: Sources) -> dict[str, Any]:
    path = sources.place / PREPARED
    return read_json(path, dict) if path.exists() else {}


def _code(sources: Sources) -> str:
    """A hash of the competition's code that prepares the data, without comments and docstrings."""
    name = sources.name
    module = f"competitions.{name}"
    module += ".data" if (sources.competitions / name / "data.py").exists() else ""
    return fingerprint.code_hash(fingerprint.code_hashes((module,), {"competitions": sources.competitions}))


def _listed(raw: Path) -> dict[str, list[int]]:
    """Size in bytes and time of change in ns of every file below a folder, by relative path."""
    paths = sorted(files_below(raw)) if raw.exists() else []
    found = [(path.relative_to(raw).as_posix(), path.stat()) for path in paths]
    return {path: [status.st_size, status.st_mtime_ns] for path, status in found}


def _fingerprints(raw: Path, observer: Observer) -> dict[str, list[Any]]:
    """Size, time and hash of every raw file."""
    listed, found = _listed(raw), {}
    for done, (path, facts) in enumerate(listed.items(), 1):
        found[path] = [*facts, _hash(raw / path)]
        observer.work("hashing raw files", done, len(listed))
    observer.close()
    return found


def _differs(path: Path, then: Sequence[Any] | None, now: Sequence[int] | None) -> bool:
    if then is None or now is None or then[0] != now[0]:
        return True
    return then[1] != now[1] and then[2] != _hash(path)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def _equal(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files; a folder that does not exist is an empty one."""
    names = [_listed(folder).keys() for folder in (one, other)]
    return names[0] == names[1] and all(filecmp.cmp(one / name, other / name, shallow=False) for name in names[0])


def described(paths: Sequence[Path]) -> str:
    """Modes and sizes of images in one line, since mixed ones are converted without a word afterwards.

    >>> import cv2, numpy as np, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, shape in {"a.png": (8, 10), "b.png": (8, 10), "c.png": (9, 10, 3)}.items():
    ...     _ = cv2.imwrite(str(folder / name), np.zeros(shape, np.uint8))
    >>> described([folder / name for name in ("a.png", "b.png", "c.png")])
    '3 images: 2 gray, 1 RGB, 10 pixels wide, 8 to 9 high; read as 8-bit RGB'
    """
    from goldfold.images import reading

    total, paths = len(paths), [path for path in paths if reading.header_problem(path) is None]
    if not paths:
        return f"{total:,} images, and none of them can be read"
    kinds = reading.count_modes(paths)
    counts = kinds.groupby("mode")["images"].sum().sort_values(ascending=False)
    modes = ", ".join(f"{count:,} {mode}" for mode, count in counts.items())
    ends = {side: sorted({kinds[side].min(), kinds[side].max()}) for side in ("width", "height")}
    wide, high = (" to ".join(map(str, each)) for each in ends.values())
    damaged = f"; {total - len(paths):,} cannot be read" if total > len(paths) else ""
    return f"{total:,} images: {modes}, {wide} pixels wide, {high} high; read as 8-bit RGB{damaged}"
