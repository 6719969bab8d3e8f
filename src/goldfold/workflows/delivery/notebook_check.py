"""Run a written notebook in an empty folder with the project hidden, and compare its submission with the run's."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import goldfold
from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json, write_json
from goldfold.kaggle import isolation, notebooks

# Variables of this machine that Kaggle does not have, such as the places of downloaded weights.
DROPPED = ("PYTHON", "GOLDFOLD_", "HF_", "HUGGINGFACE_", "TORCH_HOME", "XDG_", "KAGGLE_")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A notebook to check.

    name: of the competition. folder: of the data set and the kernel. own: the run's submission. root: of the project.
    raw: the competition's files. slug: under which Kaggle gives them; None if they are not on Kaggle.
    hours: that the competition gives the notebook.
    """

    name: str
    folder: Path
    own: Path
    root: Path
    raw: Path
    slug: str | None
    hours: float


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a notebook did in an empty folder.

    told: how its submission differs from the run's. same: whether it has the same bytes. rounded: whether they
    differ by no more than rounding. origins: what predicted. modules: names of the imported modules. reached: hidden
    files that it looked for. read: files of the data set that it opened, by their names there. seconds: it took.
    """

    told: str
    same: bool
    rounded: bool
    origins: Mapping[str, Any]
    modules: Sequence[str]
    reached: Sequence[str]
    read: Collection[str]
    seconds: float


def run_notebook(bundle: Bundle) -> Checked:
    """Run a notebook in a process of its own, with nothing but its data set and the competition's files.

    Raises:
        GoldfoldError: it needs a file of the project (`notebook_incomplete`), or fails otherwise (`notebook_fails`).
    """
    with tempfile.TemporaryDirectory(prefix="goldfold-notebook-") as folder:
        place = Path(folder).resolve()
        begun = time.perf_counter()
        done = _run(bundle, place)
        seconds = time.perf_counter() - begun
        report = read_json(place / "report.json") if (place / "report.json").exists() else {}
        reached = [*filter(None, [report.get("missing")]), *report.get("refused", [])]
        if done.returncode:
            raise _failure(bundle, place, reached, done.stderr)
        path = place / "working" / "submission.csv"
        return Checked(
            told=notebooks.compare_submissions(path, bundle.own),
            same=path.read_bytes() == bundle.own.read_bytes(),
            rounded=notebooks.differ_by_rounding(path, bundle.own),
            origins=read_json(path.with_name(f"{path.name}.json")),
            modules=report["modules"],
            reached=reached,
            read={"/".join(Path(each).relative_to(place).parts[2:]) for each in report["read"]},
            seconds=seconds,
        )


def incomplete(bundle: Bundle, path: str) -> GoldfoldError:
    """The error for a file of the project that a notebook needs and does not have."""
    where, data = Path(path), bundle.root / "data" / bundle.name
    shown = where.relative_to(bundle.root) if where.is_relative_to(bundle.root) else where
    if where.is_relative_to(data) or where.is_relative_to(bundle.raw.resolve()):
        step = f"let prepare() copy it into data/{bundle.name}/public"
    else:
        step = f"move it into competitions/{bundle.name}, whose files are included, and read it beside `__file__`"
    return GoldfoldError(
        "notebook_incomplete",
        f"the run reads {shown}, which its notebook does not have: {step}, then make train again and make notebook "
        "RUN=latest",
    )


def _run(bundle: Bundle, place: Path) -> subprocess.CompletedProcess:
    for name in ("input", "working", "home", "tmp"):
        (place / name).mkdir()
    (place / "input" / "fits").symlink_to((bundle.folder / "dataset").resolve())
    if bundle.slug:
        (place / "input" / bundle.slug).symlink_to(bundle.raw.resolve())
    script = bundle.folder.resolve() / "kernel" / notebooks.SCRIPT
    write_json(place / "settings.json", _settings(bundle, place, script))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)}
    given = {"HOME": "home", "TMPDIR": "tmp", "GOLDFOLD_INPUT": "input", "GOLDFOLD_OUTPUT": "working"}
    environment = kept | {name: str(place / value) for name, value in given.items()}
    command = [sys.executable, "-S", "-I", isolation.__file__, str(place / "settings.json")]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, encoding="utf-8")


def _settings(bundle: Bundle, place: Path, script: Path) -> dict[str, Any]:
    """Settings of `isolation.main`: packages of the interpreter are visible, project and home folder are not."""
    package, home = Path(goldfold.__file__).resolve().parent, Path.home().resolve()
    known = [sys.prefix, sys.base_prefix, *site.getsitepackages(), site.getusersitepackages()]
    interpreter = [Path(each).resolve() for each in known]
    visible = [*interpreter, bundle.folder.resolve(), Path(isolation.__file__).resolve()]  # which tracebacks quote
    visible += [bundle.raw.resolve()] if bundle.slug else []
    hidden = [bundle.root, package, *([] if bundle.slug else [bundle.raw.resolve()])]
    hidden += [home] if home != home.parent else []
    paths = [each for each in sys.path if each and any(Path(each).resolve().is_relative_to(own) for own in interpreter)]
    return {
        "script": str(script),
        "report": str(place / "report.json"),
        "place": str(place),
        "visible": [str(each) for each in visible],
        "hidden": [str(each) for each in hidden],
        "path": paths,
        "prefix": sys.prefix,
    }


def _failure(bundle: Bundle, place: Path, reached: Sequence[str], told: str) -> GoldfoldError:
    """The error for a notebook that failed: what it looked for in vain if the project has that, else its last line."""
    for name in reached:
        if found := _in_project(bundle.root, place, name):
            return incomplete(bundle, str(found))
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return GoldfoldError(
        "notebook_fails",
        f"the notebook fails in an empty folder ({lines[-1] if lines else 'without a message'}): correct the recipe, "
        "make train again and make notebook RUN=latest",
    )


def _in_project(root: Path, place: Path, name: str) -> Path | None:
    """The file of the project that a notebook looked for, by a path or as a module; None if it has none."""
    path = Path(name)
    if path.is_relative_to(place):  # below the folder of the data set, which has the layout of a project
        inside = path.relative_to(place).parts
        path = Path(*inside[2:]) if inside[:1] == ("tmp",) else Path(*inside)
    stem = Path(*name.split(".")) if "/" not in name else path
    candidates = (root / path, root / stem.with_suffix(".py"), root / stem / "__init__.py")
    return next((each for each in candidates if each.exists()), None)
