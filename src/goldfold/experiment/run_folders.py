"""Run folders: one per training, never overwritten; the same command resumes an interrupted one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.identity import intact, manifest
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import check_writable, read_json, sweep_partials, write_json

NUMBERS = "numbers.json"  # in runs/<competition>: the highest run number of each config
FINISHED = "record.md"  # the last file a run writes
BLEND = "blend.json"  # a file that only blends have
IMPORTED = "imported.json"  # a file that only runs of imported predictions have
REPORT = "report.html"  # the run on one page, written when it is asked for
CALIBRATION = "calibration.csv"  # a file of runs that predict probabilities of one target's classes
THRESHOLDS = "thresholds.json"  # a file of runs that predict several labels
DECISIONS = "decisions.json"  # a file of runs whose config has a block `decide:`
REFIT = "refit.json"  # a file of runs that were trained again on all rows
REFIT_FITS = "refit"  # the folder of these fits
GRADE = "grade.json"  # a file of runs that were scored on hidden labels


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


@contextmanager
def start_run(
    workspace: Workspace,
    competition: str,
    config: str,
    identity: str,
    reproduce: Mapping[str, Any],
    *,
    other_code: bool = False,
) -> Iterator[Run]:
    """Resume the unfinished run of equal `identity` (a hash of config, data, folds and code), or start a new one.

    The run is locked until the `with` block ends, so that no second process works on it.

    other_code: also resume a run that was started with other code; its reproduce.json stays unchanged.
    """
    place = workspace.runs / competition
    check_writable(workspace.submissions / competition)  # before hours of training, not after
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / ".lock"):
        run = _unfinished_run(place, config, identity, reproduce.get("inputs_hash"), other_code)
        if not run or not run.resumed:
            run = _new_run(place, config, workspace.submissions / competition, run)
            write_json(run.folder / "reproduce.json", {"identity": identity, **reproduce})
    try:
        sweep_partials(run.folder)
        yield run
    finally:
        run.lock.release()


def finished_run(place: Path, identity: str) -> Path | None:
    """The newest finished run of a competition with this identity; None if there is none.

    place: the folder of the competition's runs.
    """
    done = [path.parent for path in place.glob(f"*/{FINISHED}")]
    same = [folder for folder in done if _recorded(folder).get("identity") == identity]
    return max(same, key=_number, default=None)


def _unfinished_run(place: Path, config: str, identity: str, inputs: str | None, other_code: bool) -> Run | None:
    """The locked run to resume, or an unfinished run of other code that is not to be resumed."""
    for folder in numbered_runs(place, config):
        lock = FileLock(folder / ".lock")
        if _unfinished(folder, "identity", identity) and _acquired(lock):
            return Run(folder, True, lock)
    for folder in reversed(numbered_runs(place, config) if inputs else []):
        lock = FileLock(folder / ".lock")
        if _unfinished(folder, "inputs_hash", str(inputs)) and _acquired(lock):
            if not other_code:
                lock.release()
            return Run(folder, other_code, lock, folder)
    return None


def _new_run(place: Path, config: str, submissions: Path, other: Run | None) -> Run:
    """A locked run with the next number; the number of a deleted run, or of a submission, is not used again."""
    counter = place / NUMBERS
    highest = _read_counter(counter)
    known = numbered_runs(place, config)
    if known and {path.name for path in known[-1].iterdir()} <= {".lock"}:  # killed before it wrote anything
        folder = known[-1]
    else:
        sent = [path.with_suffix("") for path in numbered_runs(submissions, config, suffix=r"\.csv")]
        number = 1 + max([highest.get(config, 0), *map(_number, [*known, *sent])])
        folder = place / f"{config}-r{number}"
        folder.mkdir()
        write_json(counter, {**highest, config: number})
    lock = FileLock(folder / ".lock")
    lock.acquire()
    return Run(folder, False, lock, other.folder if other else None)


def _read_counter(counter: Path) -> dict[str, int]:
    """Config -> its highest run number so far; a missing or damaged file is made anew from the folders there are."""
    known: dict[str, Any] = {}
    with suppress(GoldfoldError):
        known = read_json(counter, dict)
    return {config: number for config, number in known.items() if isinstance(number, int)}


def open_run(workspace: Workspace, wanted: str, finished: bool = True) -> Path:
    """The folder of a run as `find_run` has it; of a finished one its files must be those that it wrote.

    Raises:
        GoldfoldError: as `find_run`; `run_changed`.
    """
    folder = find_run(workspace.runs, wanted, finished)
    if (folder / FINISHED).exists():
        refuse_changed(workspace, folder)
    return folder


def refuse_changed(workspace: Workspace, folder: Path) -> None:
    """Refuse a finished run with other files than it wrote (`run_changed`); say so where nobody can tell."""
    intact.refuse_damaged(folder)
    if not (folder / manifest.MANIFEST).exists():
        workspace.observer.line(
            f"{folder} has no {manifest.MANIFEST}, as runs of older versions: changes to its files are not noticed"
        )


def find_run(runs: Path, wanted: str, finished: bool = True) -> Path:
    """Find the folder of a run: 'latest', 'baseline-r3', 'digits/baseline-r3' or a path.

    Without its number, 'baseline' or 'digits/baseline', a run is found if it is the only one of that name.
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
    unnumbered = [each for each in known if wanted in (_unnumbered(each.name), _unnumbered(run_name(each)))]
    if not named and len(unnumbered) > 1:
        choices = ", ".join(map(run_name, unnumbered))
        raise GoldfoldError("run_name_ambiguous", f"several runs are called '{wanted}': choose one of {choices}")
    named = named or unnumbered
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


def _unnumbered(name: str) -> str:
    return re.sub(r"-r\d+$", "", name)


def list_runs(runs: Path) -> Sequence[Path]:
    """List all run folders, oldest first by the start they recorded, since copying a folder changes its file times.

    Those whose record is damaged come first.
    """
    return sorted((path.parent for path in runs.glob("*/*/reproduce.json")), key=_began)


def started(folder: Path) -> str:
    """The ISO time at which a run was started, as it recorded it; empty if the record is missing or damaged."""
    return str(_recorded(folder).get("started", ""))


def is_running(folder: Path) -> bool:
    """Whether a process works on a run."""
    lock = FileLock(folder / ".lock")
    if not (folder / ".lock").exists() or _acquired(lock):
        lock.release()
        return False
    return True


def _began(folder: Path) -> tuple[str, int]:
    return started(folder), _number(folder)


def _recorded(folder: Path) -> dict[str, Any]:
    """What reproduce.json holds; nothing if it is missing or damaged."""
    with suppress(GoldfoldError):
        return read_json(folder / "reproduce.json", dict)
    return {}


def numbered_runs(place: Path, config: str, suffix: str = "") -> list[Path]:
    """The runs of a config in a folder of runs, or their files with a suffix, in order of their numbers."""
    pattern = re.compile(re.escape(config) + r"-r\d+" + suffix)
    found = [path for path in place.iterdir() if pattern.fullmatch(path.name)] if place.exists() else []
    return sorted(found, key=lambda path: _number(path.with_suffix("") if suffix else path))


def _number(folder: Path) -> int:
    number = folder.name.rpartition("-r")[2]
    return int(number) if number.isdecimal() else 0


def _unfinished(folder: Path, key: str, value: str) -> bool:
    return not (folder / FINISHED).exists() and _recorded(folder).get(key) == value


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
