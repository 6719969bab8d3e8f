"""What needs a run: submissions, blends, runs that it teaches or that start from it, comparisons and studies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from goldfold.experiment.run_folders import BLEND, IMPORTED, run_name
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json
from goldfold.kaggle.ledger import read_attempts

PAGES = ("comparisons", "studies")  # folders beside the runs, whose pages name them
REFIT = "-refit"  # after the name of a run whose refit was submitted


def uses(workspace: Workspace, folders: Sequence[Path]) -> dict[str, tuple[str, ...]]:
    """Name of each run -> what needs it, in words; empty if nothing does.

    folders: run folders.

    Raises:
        GoldfoldError: `file_damaged`, of a config, which may name any run; those of the ledger.
    """
    sent = {attempt.run.removesuffix(REFIT) for attempt in read_attempts(workspace.ledger)}
    named = [(folder, _config(folder)) for folder in folders]
    blended, taught, started = _blended(named), _named_by(named, _teachers), _named_by(named, _start)
    pages = {place: _pages(place) for place in {folder.parent for folder in folders}}
    found = {}
    for folder in folders:
        name = run_name(folder)
        told = ["submitted"] if name in sent or _sent(folder, sent) else []
        told += [f"part of {', '.join(blended[name])}"] if name in blended else []
        told += [f"teaches {', '.join(taught[name])}"] if name in taught else []
        told += [f"{', '.join(started[name])} started from it"] if name in started else []
        told += [f"in {page}" for page, text in pages[folder.parent].items() if _names(text, folder.name)][:1]
        told += ["imported"] if (folder / IMPORTED).exists() else []
        found[name] = tuple(told)
    return found


def _sent(folder: Path, sent: set[str]) -> bool:
    """Whether the ledger has the run without its competition, as older versions wrote it."""
    return folder.name in sent


def _config(folder: Path) -> Mapping[str, Any]:
    return read_json(folder / "config.json", dict) if (folder / "config.json").exists() else {}


def _blended(configs: Sequence[tuple[Path, Mapping[str, Any]]]) -> Mapping[str, list[str]]:
    """Run -> the blends that it is part of."""
    blends = [(folder, each) for folder, each in configs if each.get("recipe") == "blend" or (folder / BLEND).exists()]
    return _named_by(blends, lambda config: config.get("runs", ()))


def _teachers(config: Mapping[str, Any]) -> list[str]:
    """The runs that teach a run of this config."""
    blocks = [config.get(key) for key in ("pseudo_labels", "distill")]
    return [block["teacher"] for block in blocks if isinstance(block, dict) and "teacher" in block]


def _start(config: Mapping[str, Any]) -> list[str]:
    """The run that the fits of a run of this config start from, if any."""
    return [config["init_from"]] if config.get("init_from") else []


def _named_by(
    configs: Sequence[tuple[Path, Mapping[str, Any]]], names: Callable[[Mapping[str, Any]], Sequence[str]]
) -> Mapping[str, list[str]]:
    """Run -> the runs whose config names it."""
    found: dict[str, list[str]] = {}
    for folder, config in configs:
        for name in dict.fromkeys(names(config)):
            own = name if "/" in name else f"{folder.parent.name}/{name}"
            found.setdefault(own, []).append(folder.name)
    return found


def _pages(place: Path) -> dict[str, str]:
    """Page of a comparison or a study, relative to the runs of a competition -> its name and text."""
    paths = [path for folder in PAGES for path in sorted((place / folder).rglob("*.md"))]
    return {
        path.relative_to(place).as_posix(): f"{path.stem}\n{path.read_text(encoding='utf-8', errors='replace')}"
        for path in paths
    }


def _names(text: str, run: str) -> bool:
    """Whether a page names a run, and not merely one whose name begins or ends alike."""
    return re.search(rf"(?<!\w){re.escape(run)}(?!\d)", text) is not None
