"""Read source files for the identity of a run: imports, and the syntax tree without comments, names and layout."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from goldfold.errors import GoldfoldError

Places = tuple[tuple[str, Path], ...]  # (name, folder) of each top-level package of the project
DIGITS = 12  # of a hash; a project has hundreds of modules
SKIPPED = ("ctx", "type_comment")  # fields of syntax nodes that carry no information of their own
NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler)


@dataclass(frozen=True)
class Binding:
    """A name that an import of the project's own code binds.

    imported: the name taken from the module; None for the module itself. label: the name in the hashed text.
    """

    label: str
    bound: str
    module: str
    imported: str | None = None


@dataclass(frozen=True)
class Source:
    """One module. content: hash of its code. exports: whether it is a package whose __init__.py only imports."""

    content: str
    bindings: tuple[Binding, ...]
    exports: bool


def source_path(name: str, places: Places) -> Path | None:
    """The source file of a module, __init__.py for a package; None if the project has none."""
    top, *inner = name.split(".")
    for package, folder in places:
        if package == top:
            place = folder.joinpath(*inner)
            choices = (place / "__init__.py", place.with_name(f"{place.name}.py"))
            return next((path for path in choices if path.is_file()), None)
    return None


def read_source(name: str, places: Places) -> Source | None:
    """Read the module `name`, again if its file's time or size changed; None if the project has none.

    Raises:
        GoldfoldError: the file is not valid Python.
    """
    path = source_path(name, places)
    if path is None:
        return None
    status = path.stat()
    return _read(name, path, (status.st_mtime_ns, status.st_size), places)


@cache
def _read(name: str, path: Path, stamp: tuple[int, int], places: Places) -> Source:
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise GoldfoldError(
            "invalid_python", f"{path} line {error.lineno} is not valid Python ({error.msg}): fix that line"
        ) from error
    is_package = path.name == "__init__.py"
    reader = _Reader(name if is_package else name.rpartition(".")[0], places)
    reader.read(tree.body)
    text, bindings = reader.text(), tuple(reader.labeled())
    taken = sorted(each.label for each in bindings if each.imported)
    content = hashlib.sha256("\n".join([*taken, text]).encode()).hexdigest()[:DIGITS]
    return Source(content, bindings, is_package and all(map(_only_exports, tree.body)))


def _only_exports(statement: ast.stmt) -> bool:
    """Whether a statement imports, or lists the module's names and version or looks its names up."""
    if isinstance(statement, ast.Assign):
        return {getattr(each, "id", "") for each in statement.targets} <= {"__all__", "__version__"}
    if isinstance(statement, ast.FunctionDef):
        return statement.name in ("__getattr__", "__dir__")
    if isinstance(statement, ast.If) and _for_type_checkers(statement):
        return True
    return isinstance(statement, ast.Import | ast.ImportFrom) or _is_ignored(statement)


def _is_ignored(node: ast.AST) -> bool:
    """Whether a node is a docstring, another bare string, or `TYPE_CHECKING` in an import."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.alias) and node.name == "TYPE_CHECKING"


def _for_type_checkers(node: ast.If) -> bool:
    return "TYPE_CHECKING" in (getattr(node.test, "id", None), getattr(node.test, "attr", None))


class _Reader:
    """Turns a syntax tree into text and collects the project's imports, wherever they are.

    An imported module is called #0, #1 ... in order of use, since its own name may change; a name that is also bound
    otherwise in the file stays. parts: of the text. names: (index in `parts`, name) of variables. bound: names bound by
    other statements than imports.
    """

    def __init__(self, package: str, places: Places) -> None:
        self.package, self.places, self.tops = package, places, {name for name, _ in places}
        self.parts: list[str] = []
        self.names: list[tuple[int, str]] = []
        self.bound: set[str] = set()
        self.bindings: list[tuple[str, str, str | None]] = []
        self.numbers: dict[str, str] = {}

    def text(self) -> str:
        """The text, with numbers for imported modules."""
        modules = {bound for bound, _, imported in self.bindings if imported is None} - self.bound
        for place, name in self.names:
            if name in modules:
                self.parts[place] = self.numbers.setdefault(name, f"#{len(self.numbers)}")
        return " ".join(self.parts)

    def labeled(self) -> Iterator[Binding]:
        """The imports with their labels, once the text is known."""
        for bound, module, imported in self.bindings:
            label = f"{imported} as {bound}" if imported else self.numbers.get(bound, bound)
            yield Binding(label, bound, module, imported)

    def read(self, value: Any) -> None:
        """Add a node, a list of nodes or a constant."""
        if isinstance(value, list):
            for each in value:
                self._read_one(each)
            self.parts.append(";")
        else:
            self._read_one(value)

    def _read_one(self, node: Any) -> None:
        if not isinstance(node, ast.AST):
            self.parts.append(repr(node))
        elif isinstance(node, ast.Name):
            self._read_name(node)
        elif isinstance(node, ast.Import | ast.ImportFrom) and self._is_own(node):
            self.bindings += self._bindings(node)
        elif isinstance(node, ast.If) and _for_type_checkers(node):
            for each in node.orelse:
                self._read_one(each)
        elif not _is_ignored(node):
            self._read_fields(node)

    def _read_name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bound.add(node.id)
        self.names.append((len(self.parts), node.id))
        self.parts.append(node.id)

    def _read_fields(self, node: ast.AST) -> None:
        """Add a node of any other kind; empty fields are left out, since newer Python versions have more of them."""
        self.parts.append(type(node).__name__)
        for field in node._fields:
            value = getattr(node, field, None)
            if value is not None and value != [] and field not in SKIPPED:
                self.parts.append(field)
                self.read(value)
        self.parts.append(")")
        if isinstance(node, ast.arg):
            self.bound.add(node.arg)
        elif isinstance(node, NAMED):
            self.bound.add(node.name or "")

    def _is_own(self, node: ast.Import | ast.ImportFrom) -> bool:
        if isinstance(node, ast.ImportFrom):
            return bool(node.level) or (node.module or "").partition(".")[0] in self.tops
        return all(each.name.partition(".")[0] in self.tops for each in node.names)

    def _bindings(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str, str | None]]:
        """Yield (name bound, module, imported name); `import a.b` binds `a`, and its uses keep the path."""
        if isinstance(node, ast.Import):
            yield from ((each.asname or "", each.name, None) for each in node.names)
            return
        above = self.package.split(".")[: 1 - node.level or None] if node.level else []
        origin = ".".join([*above, *([node.module] if node.module else [])])
        for each in node.names:
            inner, bound = f"{origin}.{each.name}", each.asname or each.name
            yield (bound, inner, None) if source_path(inner, self.places) else (bound, origin, each.name)
