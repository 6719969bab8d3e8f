"""Rules of the source that no linter checks: who prints, what the seam holds, what is imported at the start."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import goldfold

PACKAGE = Path(goldfold.__file__).parent
ROOT = Path(__file__).parent.parent
PRINTING = {
    "cli",
    "io.progress",
    "export.predict",
    "report.run.display",
    "board.serving",
    "board.judge",
}  # may print


def modules() -> dict[str, Path]:
    paths = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(paths)}


@pytest.mark.parametrize("module", [name for name in modules() if not PRINTING & {name, name.split(".")[0]}])
def test_only_the_command_line_prints(module):
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call, ast.Name) and call.id == "print"]
    streams = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr")]
    assert not [node.lineno for node in streams if isinstance(node.value, ast.Name) and node.value.id == "sys"]


def test_the_seam_holds_no_logic():
    """Types, and functions of one line that are defaults."""
    trees = [
        ast.parse((PACKAGE / name).read_text(encoding="utf-8")) for name in ("competition.py", "optional_parts.py")
    ]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert functions
    for function in functions:
        code = [
            line for line in function.body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        ]
        assert len(code) == 1, function.name


HEAVY = {
    "torch",
    "pandas",
    "numpy",
    "kaggle",
    "matplotlib",
    "pydantic",
    "sklearn",
    "scipy",
    "cv2",
    "timm",
    "yaml",
    "tqdm",
}


@pytest.mark.parametrize(
    "module",
    ["goldfold.cli.main", "goldfold.competition", "goldfold.optional_parts", "goldfold.io.files", "goldfold.errors"],
)
def test_nothing_heavy_is_imported_with(module):
    script = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)
