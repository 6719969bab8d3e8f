"""Run folders: one for every training, never overwritten; an interrupted one is taken up by the same command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from goldfold.errors import GoldfoldError, unknown
from goldfold.io.files import read_json, write_json

FINISHED = "record.md"  # the last file a run writes
BLEND = "blend.json"  # a file that only blends have


@dataclass(frozen=True)
class Run:
    """A run's folder, `runs/<competition>/<config>-r<number>`, and the lock that says it is being worked on.

    other: an unfinished run of the same config, data and folds that was started with other code, where there is one;
    the run itself where it is resumed.
    """

    folder: Path
    resumed: bool
    lock: FileLock
    other: Path | None = None

    @property
    def name(self) -> str:
        return self.folder.name


def start(
    runs: Path, competition: str, config: str, identity: str, reproduce: dict[str, Any], other_code: bool = False
) -> Run:
    """Take up the unfinished run of equal `identity` (a hash of config, data, folds and code), or begin a new one.

    other_code: take up one that was started with other code, too; its reproduce.json stays as it was.
    """
    place = runs / competition
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / ".lock"):
        for folder in _numbered(place, config):
            lock = FileLock(folder / ".lock")
            if _unfinished(folder, "identity", identity) and _acquired(lock):
                return Run(folder, True, lock)
        other = _of_other_code(place, config, reproduce.get("inputs_hash"))
        if other and other_code:
            return other
        if other:
            other.lock.release()
        last = _numbered(place, config)[-1:]
        if last and {path.name for path in last[0].iterdir()} <= {".lock"}:  # killed before it had begun
            folder = last[0]
        else:
            folder = place / f"{config}-r{_number(last[0]) + 1 if last else 1}"
            folder.mkdir()
        lock = FileLock(folder / ".lock")
        lock.acquire()
        write_json(folder / "reproduce.json", {"identity": identity, **reproduce})
        return Run(folder, False, lock, other.folder if other else None)


def find(runs: Path, wanted: str, finished: bool = True) -> Path:
    """The folder of the run called `wanted`: 'latest', 'baseline-r3', 'digits/baseline-r3' or a path.

    Raises:
        GoldfoldError: there is none, several have the name, or it is not finished.
    """
    known = listed(runs)
    if wanted == "latest":
        done = [folder for folder in known if (folder / FINISHED).exists()]
        if not done:
            raise GoldfoldError(
                f"there is no finished run in {runs}: start one with make train COMP=digits CONFIG=baseline"
            )
        return done[-1]
    named = [
        folder
        for folder in known
        if wanted in (folder.name, run_name(folder)) or Path(wanted).resolve() == folder.resolve()
    ]
    if len(named) > 1:
        choices = ", ".join(map(run_name, named))
        raise GoldfoldError(f"several competitions have a run '{wanted}': say which of {choices}")
    if not named:
        raise unknown("run", wanted, map(run_name, known))
    if finished and not (named[0] / FINISHED).exists():
        raise GoldfoldError(f"run '{wanted}' is not finished: start its command again, it goes on where it stopped")
    return named[0]


def run_name(folder: Path) -> str:
    """How a run is called, wherever its folder lies.

    >>> run_name(Path("runs/digits/baseline-r3"))
    'digits/baseline-r3'
    """
    return f"{folder.parent.name}/{folder.name}"


def listed(runs: Path) -> Sequence[Path]:
    """All run folders, oldest first."""
    return sorted((path.parent for path in runs.glob("*/*/reproduce.json")), key=_began)


def _began(folder: Path) -> tuple[int, int]:
    return (folder / "reproduce.json").stat().st_mtime_ns, _number(folder)


def _numbered(place: Path, config: str) -> list[Path]:
    """The runs of a config, in the order of their numbers."""
    pattern = re.compile(re.escape(config) + r"-r\d+")
    return sorted((path for path in place.iterdir() if pattern.fullmatch(path.name)), key=_number)


def _number(folder: Path) -> int:
    return int(folder.name.rpartition("-r")[2])


def _unfinished(folder: Path, key: str, value: str) -> bool:
    path = folder / "reproduce.json"
    return path.exists() and not (folder / FINISHED).exists() and read_json(path).get(key) == value


def _of_other_code(place: Path, config: str, inputs: str | None) -> Run | None:
    """The newest unfinished run with these inputs that nobody works on."""
    for folder in reversed(_numbered(place, config)) if inputs else ():
        lock = FileLock(folder / ".lock")
        if _unfinished(folder, "inputs_hash", inputs) and _acquired(lock):
            return Run(folder, True, lock, folder)
    return None


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
