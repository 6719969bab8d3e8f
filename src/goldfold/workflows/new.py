"""`new`: a competition folder that passes the contract tests before its first line is changed."""

from __future__ import annotations

import keyword
from argparse import Namespace
from pathlib import Path
from string import Template

from goldfold.errors import GoldfoldError
from goldfold.experiment import workspace
from goldfold.io.files import write_text

TEMPLATES = Path(__file__).parent / "scaffold"


def run(arguments: Namespace) -> None:
    for path in scaffold(arguments.comp):
        print(path)
    print(f"next: read your data in competitions/{arguments.comp}/data.py, then make train COMP={arguments.comp}")


def scaffold(name: str) -> list[Path]:
    """Write the folder and the baseline config of a new competition; returns the files.

    Raises:
        GoldfoldError: the name is no Python identifier, or is taken.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise GoldfoldError(f"a competition's folder is a Python identifier and '{name}' is none: try my_competition")
    folder = workspace.ROOT / "competitions" / name
    if folder.exists():
        raise GoldfoldError(f"{folder} exists already: choose another name, nothing is overwritten")
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
