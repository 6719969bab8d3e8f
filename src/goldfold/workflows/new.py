"""Scaffold a competition folder that passes the contract tests before its first line is changed."""

from __future__ import annotations

import keyword
from pathlib import Path
from string import Template

from goldfold.errors import GoldfoldError
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import write_text

TEMPLATES = Path(__file__).parent / "scaffold"


def scaffold(workspace: Workspace, name: str) -> list[Path]:
    """Write the folder and the baseline config of a new competition; returns the files.

    Raises:
        GoldfoldError: the name is no Python identifier that starts with a letter, or is taken.
    """
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
    for path, template in files.items():
        text = Template((TEMPLATES / f"{template}.tmpl").read_text(encoding="utf-8"))
        write_text(path, text.substitute(name=name, slug=name.replace("_", "-")))
    return list(files)
