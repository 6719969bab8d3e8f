"""What needs a run: submissions, blends, comparisons and studies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

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
        GoldfoldError: `file_damaged`, of a blend's config, which may name any run; those of the ledger.
    """
    sent = {attempt.run.removesuffix(REFIT) for attempt in read_attempts(workspace.ledger)}
    blended = _blended(folders)
    pages = {place: _pages(place) for place in {folder.parent for folder in folders}}
    found = {}
    for folder in folders:
        name = run_name(folder)
        told = ["submitted"] if name in sent or _sent(folder, sent) else []
        told += [f"part of {', '.join(blended[name])}"] if name in blended else []
        told += [f"in {page}" for page, text in pages[folder.parent].items() if _names(text, folder.name)][:1]
        told += ["imported"] if (folder / IMPORTED).exists() else []
        found[name] = tuple(told)
    return found


def _sent(folder: Path, sent: set[str]) -> bool:
    """Whether the ledger has the run without its competition, as older versions wrote it."""
    return folder.name in sent


def _blended(folders: Sequence[Path]) -> Mapping[str, list[str]]:
    """Run -> the blends that it is part of."""
    found: dict[str, list[str]] = {}
    for folder in folders:
        config = read_json(folder / "config.json", dict) if (folder / "config.json").exists() else {}
        if config.get("recipe") == "blend" or (folder / BLEND).exists():
            for member in config.get("runs", ()):
                found.setdefault(f"{folder.parent.name}/{member}", []).append(folder.name)
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
