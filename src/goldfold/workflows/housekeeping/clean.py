"""Remove runs, or only their weights, that nothing needs: told first, done when it is confirmed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.fits import CHECKPOINTS, is_complete
from goldfold.experiment.run_folders import REFIT_FITS, list_runs
from goldfold.experiment.workspace import Workspace
from goldfold.io.formatting import count
from goldfold.trust.comparisons import without_parts
from goldfold.workflows.housekeeping.inventory import Listed, in_bytes, listed, size_of

REMOVED = ".removed"  # beside the runs: where a run is while its files are removed


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What was removed, or would be.

    removed: run -> bytes. kept: run -> why. weights: whether only weights go. done: whether it was carried out.
    """

    removed: Mapping[str, int]
    kept: Mapping[str, str]
    weights: bool
    done: bool

    def __str__(self) -> str:
        what = "weights of " if self.weights else ""
        verb = "removed" if self.done else "would remove"
        lines = [f"{verb}  {what}{name}  {in_bytes(size)}" for name, size in self.removed.items()]
        lines += [f"kept  {name}  {why}" for name, why in self.kept.items()]
        total = f"{count(len(self.removed), 'run')}, {in_bytes(sum(self.removed.values()))}"
        if self.done:
            lines.append(f"removed {what}{total}; make site writes the index again" if self.removed else "nothing")
        else:
            lines.append(f"would remove {what}{total}: nothing is removed without YES=1" if self.removed else "nothing")
        return "\n".join(lines)


def clean(
    workspace: Workspace, competition: str, keep: str | Sequence[str], *, weights: bool = False, yes: bool = False
) -> Cleaning:
    """Remove the runs of a competition that are neither kept nor needed.

    keep: `best:3` of each protocol, `latest:3`, or names of runs. weights: remove only the checkpoints of complete
    fits, and keep predictions and records. yes: carry it out.

    Runs that were submitted, are part of a blend, teach another run, gave one its first weights, are named on the
    page of a comparison or a study, were imported, are running, unfinished or damaged stay in any case.

    Raises:
        GoldfoldError: `keep_invalid`; `unknown_run`, `unknown_competition`; those of reading ledger and blends.
    """
    place = workspace.runs / competition
    folders = [folder for folder in list_runs(workspace.runs) if folder.parent == place]
    if not folders and competition not in workspace.names():
        raise unknown("competition", competition, workspace.names(), code="unknown_competition")
    runs = listed(workspace, folders)
    kept = _kept(runs, keep)
    going = [run for run in runs if run.folder.name not in kept]
    sizes = {run.folder.name: _bytes_of_weights(run.folder) if weights else run.size for run in going}
    removed = {name: size for name, size in sizes.items() if size or not weights}
    if yes:
        shutil.rmtree(place / REMOVED, ignore_errors=True)  # of a process that was killed
        for name in list(removed):
            if not _removed(place / name, weights):
                kept[name] = "a process works on it"
                del removed[name]
    return Cleaning(removed=removed, kept=kept, weights=weights, done=yes)


def _kept(runs: Sequence[Listed], keep: str | Sequence[str]) -> dict[str, str]:
    """Run -> why it stays."""
    wanted = _wanted(runs, keep)
    found = {}
    for run in runs:
        reasons = []
        if run.folder.is_symlink():
            reasons.append("a link to a folder elsewhere")
        elif run.state == "damaged":
            reasons.append("damaged: look at it with make score, delete it by hand")
        elif run.state != "finished":
            reasons.append("running" if run.state == "running" else "not finished: resume it, or delete it by hand")
        reasons += [each for each in run.needed if not each.startswith("(")]
        reasons += [wanted[run.folder.name]] if run.folder.name in wanted else []
        if reasons:
            found[run.folder.name] = "; ".join(reasons)
    return found


def _wanted(runs: Sequence[Listed], keep: str | Sequence[str]) -> dict[str, str]:
    """Run -> how KEEP names it."""
    words = keep.replace(",", " ").split() if isinstance(keep, str) else list(keep)
    if len(words) == 1 and (rule := re.fullmatch(r"(best|latest):(\d{1,6})", words[0])):
        return (_best if rule[1] == "best" else _latest)(runs, int(rule[2]))
    names = {run.folder.name: run.folder.name for run in runs} | {run.name: run.folder.name for run in runs}
    if not words or words[0] in ("best", "latest") or any(":" in word and word not in names for word in words):
        raise GoldfoldError(
            "keep_invalid",
            f"KEEP says what stays, as best:3, latest:3 or names of runs, got '{' '.join(words)}': give one of these",
        )
    for word in words:
        if word not in names:
            raise unknown("run", word, names, code="unknown_run")
    return {names[word]: "named by KEEP" for word in words}


def _best(runs: Sequence[Listed], most: int) -> dict[str, str]:
    """The best runs of each protocol, whatever their seeds and epochs: other scores cannot be ranked together."""
    found: dict[str, str] = {}
    groups: dict[tuple[str, str], list[Listed]] = {}
    for run in runs:
        if run.score is not None:
            groups.setdefault((run.metric, without_parts(run.protocol, ("seeds", "selection"))), []).append(run)
    for (metric, _), group in groups.items():
        ranked = sorted(group, key=lambda run: (-1 if run.higher_is_better else 1) * (run.score or 0.0))
        for place, run in enumerate(ranked[:most], 1):
            found[run.folder.name] = f"number {place} of {len(group)} by {metric} of its protocol"
    return found


def _latest(runs: Sequence[Listed], most: int) -> dict[str, str]:
    """The newest runs; `runs` are ordered by their start."""
    newest = [run for run in runs if run.score is not None][::-1][:most]
    return {run.folder.name: f"number {place} of the newest" for place, run in enumerate(newest, 1)}


def _fits_with_weights(run: Path) -> list[Path]:
    """The folders of checkpoints of complete fits and refits of a run."""
    places = [*run.glob(f"fold*-seed*/{CHECKPOINTS}"), *run.glob(f"{REFIT_FITS}/*/{CHECKPOINTS}")]
    return sorted(place for place in places if not place.is_symlink() and is_complete(place.parent))


def _bytes_of_weights(run: Path) -> int:
    return sum(map(size_of, _fits_with_weights(run)))


def _removed(run: Path, weights: bool) -> bool:
    """Remove a run or its weights; False if a process works on it now."""
    lock = FileLock(run / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    try:
        if weights:
            for place in _fits_with_weights(run):
                shutil.rmtree(place)
            return True
        aside = run.parent / REMOVED / run.name  # from then on no verb sees half a run
        aside.parent.mkdir(exist_ok=True)
        os.replace(run, aside)
    finally:
        lock.release()
    shutil.rmtree(run.parent / REMOVED)
    return True
