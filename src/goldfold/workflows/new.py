"""Scaffold a competition folder that passes the contract tests before its first line is changed."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import write_text

TEMPLATES = Path(__file__).parent / "scaffold"


def kinds() -> list[str]:
    """The kinds of competitions that can be scaffolded, by name."""
    return sorted(path.stem for path in (TEMPLATES / "kinds").glob("*.tmpl"))


def scaffold(workspace: Workspace, name: str, kind: str = "tabular") -> list[Path]:
    """Write the folder and the baseline config of a new competition; returns the files.

    kind: of data and recipes, one of `kinds()`.

    Raises:
        GoldfoldError: the name is no Python identifier that starts with a letter, or is taken; `unknown_kind`.
    """
    if kind not in kinds():
        raise unknown("kind of competition", kind, kinds(), code="unknown_kind")
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise GoldfoldError(
            "not_an_identifier",
            f"a competition's folder is a Python identifier that starts with a letter, and '{name}' is none: try "
            "my_competition",
        )
    folder = workspace.root / "competitions" / name
    if folder.exists():
        raise GoldfoldError(
            "competition_exists", f"{folder} exists already: choose another name, nothing is overwritten"
        )
    files = {
        folder / "__init__.py": "competition",
        folder / "data.py": "data",
        folder / "recipes.py": "recipes",
        folder / "submission.py": "submission",
        folder / "README.md": "readme",
        workspace.config_path(name, "baseline"): "config",
    }
    parts = _parts(kind)
    for path, template in files.items():
        text = (TEMPLATES / f"{template}.tmpl").read_text(encoding="utf-8")
        filled = Template(text).safe_substitute(parts)  # parts name the competition, too
        write_text(path, Template(filled).substitute(name=name, slug=name.replace("_", "-")))
    return list(files)


def _parts(kind: str) -> dict[str, str]:
    """The parts of a kind by name, each below a line `=== name`.

    A first line `like: other` takes what is missing from another kind. Blank lines count at the start of a part alone.
    """
    text = (TEMPLATES / "kinds" / f"{kind}.tmpl").read_text(encoding="utf-8")
    head, *sections = re.split(r"^=== ", text, flags=re.MULTILINE)
    inherited = _parts(head.removeprefix("like:").strip()) if head else {}
    own = dict(section.split("\n", 1) for section in sections)
    return inherited | {name: part.rstrip("\n") for name, part in own.items()}
