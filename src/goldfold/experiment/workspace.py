"""The project a command works in: names become competitions, configs and folders here and nowhere else."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldfold.errors import GoldfoldError, unknown
from goldfold.io.files import read_json, write_json

if TYPE_CHECKING:
    from goldfold.competition import Competition, Tables
    from goldfold.params import Role

ROOT = Path()
PREPARED = "prepared.json"
RUNS, CACHE, SUBMISSIONS = ROOT / "runs", ROOT / "data" / "cache", ROOT / "submissions"
BOARD = ROOT / "board"  # of the local leaderboard, with the hidden labels


def names() -> list[str]:
    """The competitions of this project."""
    return sorted(path.parent.name for path in (ROOT / "competitions").glob("*/__init__.py"))


def competition(name: str) -> Competition:
    """The `COMPETITION` of `competitions/<name>`.

    Raises:
        GoldfoldError: there is no such folder, or importing it fails; says where.
    """
    if not names():
        raise GoldfoldError(f"there is no competition below {ROOT.resolve()}: start in the project's folder")
    if name not in names():
        raise unknown("competition", name, names())
    folder = str(ROOT.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = import_module(f"competitions.{name}")
    except GoldfoldError:
        raise
    except Exception as error:
        _suggest(error)
        raise GoldfoldError(
            f"competition '{name}' cannot be imported, {_place(error)}: {type(error).__name__}, {error}"
        ) from error
    if not hasattr(module, "COMPETITION"):
        raise GoldfoldError(f"competitions/{name}/__init__.py must define COMPETITION = Competition(...): add it")
    return module.COMPETITION


def keys(run: Path, role: Role) -> list[str]:
    """The parameters with this role of a run's recipe; none if the competition no longer has the recipe."""
    from goldfold.params import names as named

    recipe = competition(run.parent.name).recipes.get(read_json(run / "config.json")["recipe"])
    return named(recipe.params, role) if recipe else []


def key(run: Path, role: Role) -> str | None:
    """The first of `keys`; None if there is none."""
    return next(iter(keys(run, role)), None)


def _suggest(error: Exception) -> None:
    """Raise the near miss where a name was imported that its module does not have, such as a metric's."""
    wanted = re.search(r"cannot import name '(\w+)'", str(error)) if isinstance(error, ImportError) else None
    known = getattr(sys.modules.get(error.name), "__all__", ()) if wanted else ()
    if known:
        raise unknown(f"name in {error.name}", wanted[1], known) from error


def _place(error: Exception) -> str:
    """File and line of the competition's own code where `error` came up."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "competitions" in Path(frame.filename).parts] or frames
    file, line = own[-1].filename, own[-1].lineno
    if isinstance(error, SyntaxError):
        file, line = error.filename, error.lineno
    return f"{Path(file).name} line {line}"


def config_path(name: str, config: str) -> Path:
    return ROOT / "configs" / name / f"{config}.yaml"


def data(name: str) -> Path:
    return ROOT / "data" / name


def public(name: str, competition: Competition) -> Path:
    """The competition's prepared data, made ready first where that needs no download.

    Raises:
        GoldfoldError: Kaggle's files are not there; says which command brings them.
    """
    folder = data(name) / "public"
    if not folder.exists():
        from filelock import FileLock

        data(name).mkdir(parents=True, exist_ok=True)
        with FileLock(data(name) / ".lock"):
            if not folder.exists():
                _prepare(name, competition)
    return folder


def load(name: str, competition: Competition) -> Tables:
    """The competition's tables, its data made ready first where that needs no download."""
    return carried_out(name, competition.load, public(name, competition))


def stale(name: str) -> bool:
    """Whether the competition's data.py has changed since it prepared the data."""
    mark = data(name) / PREPARED
    return mark.exists() and read_json(mark)["code"] != _code(name)


def prepare(name: str, competition: Competition) -> Path:
    """The competition's prepared data, prepared again where another data.py did it."""
    if stale(name):
        _prepare(name, competition)
    return public(name, competition)


def carried_out(name: str, part: Callable[..., Any], *arguments: Any) -> Any:
    """`part(*arguments)`, a function of a competition.

    Raises:
        GoldfoldError: its own, or one that says where in the competition anything else went wrong.
    """
    try:
        return part(*arguments)
    except GoldfoldError:
        raise
    except Exception as error:
        what = " ".join(f"{type(error).__name__}, {error}".split())
        called = getattr(part, "__name__", "a function")
        raise GoldfoldError(f"{called}() of competition '{name}' failed, {_place(error)}: {what}") from error


def _code(name: str) -> str:
    """A hash of the file that prepares the data."""
    folder = ROOT / "competitions" / name
    source = folder / "data.py" if (folder / "data.py").exists() else folder / "__init__.py"
    return hashlib.sha256(source.read_bytes()).hexdigest()


def _prepare(name: str, competition: Competition) -> None:
    """Fill public/ and private/ beside their places and rename them, so that they are whole or absent."""
    print(f"preparing {data(name)} ...", flush=True)
    partial = data(name) / "preparing"
    shutil.rmtree(partial, ignore_errors=True)
    for part in ("public", "private"):
        (partial / part).mkdir(parents=True)
    try:
        carried_out(name, competition.prepare, raw(name, competition), partial / "public", partial / "private")
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for part in ("public", "private"):
        shutil.rmtree(data(name) / part, ignore_errors=True)
    if any((partial / "private").iterdir()):
        os.replace(partial / "private", data(name) / "private")
    write_json(data(name) / PREPARED, {"code": _code(name)})
    os.replace(partial / "public", data(name) / "public")
    shutil.rmtree(partial)
    tables = load(name, competition)
    if "path" in tables.train:
        print(f"  {_described([*tables.train['path'], *tables.test['path']])}", flush=True)


def _described(paths: Sequence[Path]) -> str:
    """Modes and sizes of images in one line, since what is mixed is brought together silently afterwards.

    >>> import cv2, numpy as np, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, shape in {"a.png": (8, 10), "b.png": (8, 10), "c.png": (9, 10, 3)}.items():
    ...     _ = cv2.imwrite(str(folder / name), np.zeros(shape, np.uint8))
    >>> _described([folder / name for name in ("a.png", "b.png", "c.png")])
    '3 images: 2 gray, 1 RGB, 10 pixels wide, 8 to 9 high; read as 8-bit RGB'
    """
    from goldfold.images import reading as images

    images.check(paths)
    kinds = images.count_modes(paths)
    counts = kinds.groupby("mode")["images"].sum().sort_values(ascending=False)
    modes = ", ".join(f"{count:,} {mode}" for mode, count in counts.items())
    ends = {side: sorted({kinds[side].min(), kinds[side].max()}) for side in ("width", "height")}
    wide, high = (" to ".join(map(str, each)) for each in ends.values())
    return f"{len(paths):,} images: {modes}, {wide} pixels wide, {high} high; read as 8-bit RGB"


def raw(name: str, competition: Competition) -> Path:
    """Where Kaggle's own files are: data/<name>/raw, else the sample data where there is any."""
    folder = data(name) / "raw"
    sample = os.environ.get("GOLDFOLD_SAMPLE_DATA")
    if not folder.exists() and sample and competition.sample_data:
        return Path(sample) / competition.sample_data
    return folder
