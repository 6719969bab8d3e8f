"""The reference pages of docs/ against the source: recipes, metrics, findings, error codes, links."""

from __future__ import annotations

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import goldfold
from goldfold import metrics

PACKAGE = Path(goldfold.__file__).parent
ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def _page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


@cache
def _texts() -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}


def test_every_recipe_has_a_section() -> None:
    modules = {path.stem for path in (PACKAGE / "recipes").glob("*.py")} - {"__init__"}
    recipes = {name for name in modules if not name.endswith("_params")}
    assert recipes <= set(re.findall(r"^## (\w+)$", _page("recipes"), re.MULTILINE))


def test_every_metric_has_a_section_and_no_other() -> None:
    assert set(re.findall(r"^### (\w+)$", _page("metrics"), re.MULTILINE)) == set(metrics.__all__)


def test_generated_parts_are_those_of_the_source() -> None:
    generate = _load(DOCS / "generate.py")
    stale = [name for name in generate.PAGES if generate.page(_page(name[:-3])) != _page(name[:-3])]
    assert not stale, "run `PYTHONPATH=src python docs/generate.py`"


def test_every_parameter_of_a_recipe_has_a_description() -> None:
    models = _load(DOCS / "generate.py").models()
    assert not [
        f"{name}.{key}"
        for name, model in models.items()
        for key, field in model.model_fields.items()
        if not field.description
    ]


def test_error_codes_of_the_faq_exist() -> None:
    table = _page("faq").partition("## Errors")[2]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    told = {code for cell in cells for code in re.findall(r"`(\w+)`", cell)}
    source = "\n".join(_texts().values())
    assert told
    assert not {code for code in told if f'"{code}"' not in source}


def test_every_name_that_the_pages_take_from_the_package_exists() -> None:
    named = {name for page in DOCS.glob("*.md") for name in re.findall(r"goldfold(?:\.\w+)+", page.read_text("utf-8"))}
    assert named
    assert not [name for name in named if not _exists(name.split(".")[1:])]


def _exists(parts: list[str]) -> bool:
    """Whether dotted parts lead to a room or module, or to a name that a module's source has."""
    place = PACKAGE
    for number, part in enumerate(parts):
        if (place / part).is_dir():
            place /= part
            continue
        module = place / f"{part}.py"
        if not module.exists():
            module, number = place / "__init__.py", number - 1
        rest = parts[number + 1 :]
        return not rest or re.search(rf"\b{rest[0]}\b", module.read_text(encoding="utf-8")) is not None
    return True


def test_relative_links_resolve() -> None:
    broken = []
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            file, _, anchor = target.partition("#")
            if ":" in file:
                continue
            place = (page.parent / file).resolve() if file else page
            if not place.exists() or (anchor and anchor not in _anchors(place)):
                broken.append(f"{page.name}: {target}")
    assert not broken


def _anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    return made


def _load(path: Path) -> ModuleType:
    """A module of docs/, which is no package."""
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module
