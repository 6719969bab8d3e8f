"""Imports flow one way: commands -> delivery, trust, engine -> bricks -> seam; and only the command line prints."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import goldfold

PACKAGE = Path(goldfold.__file__).parent
ROOT = Path(__file__).parent.parent
SEAM = {"competition", "optional_parts", "errors", "params", "seeding", "files"}
COMMANDS = {"commands", "cli", "__main__"}
MAY_IMPORT = {
    "seam": {"seam"},
    "brick": {"seam", "brick"},
    "engine": {"seam", "brick", "engine"},
    "trust": {"seam", "brick", "engine", "trust"},
    "delivery": {"seam", "brick", "engine", "delivery"},
    "commands": {"seam", "brick", "engine", "trust", "delivery", "commands"},
    "competition": {"seam", "brick"},
}
SAME_DATA = {("neighbors", "blobs")}  # the toys: one asks another question about the other's points


def layer(part: str) -> str:
    """The layer of a top-level module or package of goldfold."""
    if part in ("engine", "trust", "delivery"):
        return part
    return "seam" if part in SEAM else "commands" if part in COMMANDS else "brick"


def modules() -> dict[str, Path]:
    paths = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(paths)}


def competition_files() -> dict[str, Path]:
    folders = [ROOT / "competitions", ROOT / "tests" / "toy" / "competitions"]
    return {str(path.relative_to(ROOT)): path for folder in folders for path in sorted(folder.rglob("*.py"))}


def imported(path: Path, module: str) -> list[str]:
    """The full names of what a file imports, wherever in the file; `from a import b` counts as a.b."""
    names, package = [], module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            names += [f"{origin}.{alias.name}" for alias in node.names]
    return names


def layers_of(names: list[str]) -> set[tuple[str, str]]:
    """(layer, name) of each import from goldfold."""
    parts = [name.split(".") for name in names if name.startswith("goldfold.")]
    return {(layer(part[1]), ".".join(part)) for part in parts}


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_from_below_alone(module):
    own = layer(module.split(".")[0])
    wrong = [
        name for of, name in layers_of(imported(modules()[module], f"goldfold.{module}")) if of not in MAY_IMPORT[own]
    ]
    assert not wrong, f"{module} is of layer '{own}' and imports {wrong}"


@pytest.mark.parametrize("module", modules())
def test_nothing_imports_a_competition(module):
    names = imported(modules()[module], f"goldfold.{module}")
    assert not [name for name in names if name.split(".")[0] == "competitions"]


@pytest.mark.parametrize("file", competition_files())
def test_a_competition_imports_seam_bricks_and_itself(file):
    path = competition_files()[file]
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[parts.index("competitions") :]
    names = imported(path, ".".join(parts))
    assert not [name for of, name in layers_of(names) if of not in MAY_IMPORT["competition"]]
    others = {name.split(".")[1] for name in names if name.startswith("competitions.")} - {parts[1]}
    assert not {(parts[1], other) for other in others} - SAME_DATA, f"{file} imports another competition"


@pytest.mark.parametrize("module", [name for name in modules() if layer(name.split(".")[0]) != "commands"])
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
    "module", ["goldfold.cli", "goldfold.competition", "goldfold.optional_parts", "goldfold.files", "goldfold.errors"]
)
def test_nothing_heavy_is_imported_with(module):
    script = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)


def test_the_rule_sees_every_way_to_import(tmp_path):
    """The checker itself: plain, renamed, relative, and inside functions."""
    path = tmp_path / "module.py"
    path.write_text(
        "import goldfold.engine.runs as r\nfrom goldfold import trust\nfrom ..engine import training\n"
        "def f():\n    from goldfold.delivery.submissions import write\n    from . import sibling\n"
    )
    assert set(imported(path, "goldfold.recipes.module")) == {
        "goldfold.engine.runs",
        "goldfold.trust",
        "goldfold.engine.training",
        "goldfold.delivery.submissions.write",
        "goldfold.recipes.sibling",
    }
