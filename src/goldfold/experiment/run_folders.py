"""Run folders: one per training, never overwritten; the same command resumes an interrupted one."""

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
    """A run folder `runs/<competition>/<config>-r<number>`, and the lock that shows that a process works on it.

    other: an unfinished run of the same config, data and folds that was started with other code, if there is one; the
        run itself if it is resumed.
    """

    folder: Path
    resumed: bool
    lock: FileLock
    other: Path | None = None

    @property
    def name(self) -> str:
        """The folder's name, such as baseline-r3."""
        return self.folder.name


def start_run(
    runs: Path, competition: str, config: str, identity: str, reproduce: dict[str, Any], other_code: bool = False
) -> Run:
    """Resume the unfinished run of equal `identity` (a hash of config, data, folds and code), or start a new one.

    other_code: also resume a run that was started with other code; its reproduce.json stays unchanged.
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
        if last and {path.name for path in last[0].iterdir()} <= {".lock"}:  # killed before it wrote anything
            folder = last[0]
        else:
            folder = place / f"{config}-r{_number(last[0]) + 1 if last else 1}"
            folder.mkdir()
        lock = FileLock(folder / ".lock")
        lock.acquire()
        write_json(folder / "reproduce.json", {"identity": identity, **reproduce})
        return Run(folder, False, lock, other.folder if other else None)


def find_run(runs: Path, wanted: str, finished: bool = True) -> Path:
    """Find the folder of a run: 'latest', 'baseline-r3', 'digits/baseline-r3' or a path.

    finished: whether it must be finished.

    Raises:
        GoldfoldError: there is none, several have the name, or it is not finished.
    """
    known = list_runs(runs)
    if wanted == "latest":
        done = [folder for folder in known if (folder / FINISHED).exists()]
        if not done:
            raise GoldfoldError(
                "no_finished_run",
                f"there is no finished run in {runs}: start one with make train COMP=digits CONFIG=baseline",
            )
        return done[-1]
    named = [
        folder
        for folder in known
        if wanted in (folder.name, run_name(folder)) or Path(wanted).resolve() == folder.resolve()
    ]
    if len(named) > 1:
        choices = ", ".join(map(run_name, named))
        raise GoldfoldError(
            "run_name_ambiguous", f"several competitions have a run '{wanted}': choose one of {choices}"
        )
    if not named:
        raise unknown("run", wanted, map(run_name, known), code="unknown_run")
    if finished and not (named[0] / FINISHED).exists():
        raise GoldfoldError("run_not_finished", f"run '{wanted}' is not finished: run its command again to resume it")
    return named[0]


def run_name(folder: Path) -> str:
    """The name of a run, wherever its folder is.

    >>> run_name(Path("runs/digits/baseline-r3"))
    'digits/baseline-r3'
    """
    return f"{folder.parent.name}/{folder.name}"


def list_runs(runs: Path) -> Sequence[Path]:
    """List all run folders, oldest first."""
    return sorted((path.parent for path in runs.glob("*/*/reproduce.json")), key=_began)


def _began(folder: Path) -> tuple[int, int]:
    return (folder / "reproduce.json").stat().st_mtime_ns, _number(folder)


def _numbered(place: Path, config: str) -> list[Path]:
    """The runs of a config, in order of their numbers."""
    pattern = re.compile(re.escape(config) + r"-r\d+")
    return sorted((path for path in place.iterdir() if pattern.fullmatch(path.name)), key=_number)


def _number(folder: Path) -> int:
    return int(folder.name.rpartition("-r")[2])


def _unfinished(folder: Path, key: str, value: str) -> bool:
    path = folder / "reproduce.json"
    return path.exists() and not (folder / FINISHED).exists() and read_json(path).get(key) == value


def _of_other_code(place: Path, config: str, inputs: str | None) -> Run | None:
    """The newest unfinished run with these inputs that no process works on."""
    if not inputs:
        return None
    for folder in reversed(_numbered(place, config)):
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
