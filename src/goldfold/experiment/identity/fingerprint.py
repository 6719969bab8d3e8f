"""The identity of a run: a hash of its config, data, folds and the code its result depends on.

The code is the import closure of a few entry modules, followed through source files of the project; versions of other
packages are recorded elsewhere. Comments, docstrings, formatting and module names do not count. A competition imports
every recipe it lists, so a change in one recipe also counts for runs of the others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment.identity.source_files import DIGITS, Binding, Places, Source, read_source, source_path

Code = Mapping[str, str]  # module -> "<hash of its content>-<hash of its imports>"
SHOWN = 5  # modules of each kind that a message names


def code_hashes(entries: Iterable[str], folders: Mapping[str, Path]) -> dict[str, str]:
    """Return the modules that `entries` depend on, themselves included, with hashes of content and imports.

    Imports inside functions count, imports under TYPE_CHECKING do not. If a package's __init__.py only imports, only
    the modules that define the imported names are followed.

    entries: full names of modules; those of other packages are ignored. folders: of the project's top-level packages.

    Raises:
        GoldfoldError: an entry has no source file, or a file is not valid Python.
    """
    places = tuple((name, folder.resolve()) for name, folder in folders.items())
    left = [name for name in entries if name.partition(".")[0] in folders]
    if absent := [name for name in left if not source_path(name, places)]:
        raise GoldfoldError(
            "module_without_source", f"module {absent[0]} has no source file: run the command in the project's folder"
        )
    found: dict[str, Source] = {}
    taken: dict[str, list[Binding]] = {}
    while left:
        name = left.pop()
        if name not in found and (source := read_source(name, places)):
            found[name] = source
            taken[name] = [_origin(each, places) for each in source.bindings]
            left += [each.module for each in taken[name]] + _packages(name, places)
    return {name: f"{source.content}-{_imports(taken[name], found)}" for name, source in sorted(found.items())}


def code_hash(code: Code) -> str:
    """One hash of the whole code, independent of module names."""
    return _sha256("\n".join(sorted(set(code.values()))))


def run_identity(inputs: Mapping[str, Any], code: Code) -> dict[str, Any]:
    """Return `identity`, equal for runs with equal results, and the hashes it is made of.

    inputs: config, data and folds, as JSON values.
    """
    hashes = {"inputs_hash": _sha256(json.dumps(inputs, sort_keys=True)), "code_hash": code_hash(code)}
    return {"identity": _sha256(json.dumps(hashes, sort_keys=True)), **hashes, "code": dict(code)}


def describe_code_changes(then: Code, now: Code) -> str:
    """Name the modules that differ, such as "changed goldfold.data.folds; added competitions.digits.views".

    Renamed modules are ignored. Empty if `then` is empty, that is unknown.
    """
    if not then:
        return ""
    contents = [{_content(each) for each in code.values()} for code in (then, now)]
    gone = [name for name, each in then.items() if _content(each) not in contents[1]]
    new = [name for name, each in now.items() if _content(each) not in contents[0]]
    if not gone and not new:  # the same modules, and one takes a name from another of them
        gone = new = [name for name, each in now.items() if each not in then.values()]
    kinds = {
        "changed": [name for name in new if name in gone],
        "added": [name for name in new if name not in gone],
        "removed": [name for name in gone if name not in new],
    }
    return "; ".join(f"{kind} {_some(names)}" for kind, names in kinds.items() if names)


def _origin(binding: Binding, places: Places) -> Binding:
    """The binding with the module that defines the imported name, if the named module only re-exports it."""
    source = read_source(binding.module, places)
    if not binding.imported or not source or not source.exports:
        return binding
    passed = next((each for each in source.bindings if each.bound == binding.imported), None)
    return _origin(replace(binding, module=passed.module, imported=passed.imported), places) if passed else binding


def _packages(name: str, places: Places) -> list[str]:
    """The package of a module, whose __init__.py runs before it, if that does more than import."""
    package = name.rpartition(".")[0]
    source = read_source(package, places) if package else None
    if source and source.exports:
        return _packages(package, places)
    return [package] if package else []


def _imports(taken: Sequence[Binding], found: Mapping[str, Source]) -> str:
    """A hash of which name is imported from which content, since several modules may define the same name."""
    known = [each for each in taken if each.module in found]
    return _sha256("\n".join(sorted(f"{each.label} {each.imported} {found[each.module].content}" for each in known)))[
        :DIGITS
    ]


def _content(hashes: str) -> str:
    return hashes.partition("-")[0]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
