"""A project's folders, and its competitions by name: the one place where a name becomes a file or an import."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import TYPE_CHECKING

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.failures import carried_out, not_importable
from goldfold.io.files import read_json, write_json
from goldfold.io.progress import Observer

if TYPE_CHECKING:
    from goldfold.competition import Competition, Tables

PREPARED = "prepared.json"


@dataclass(frozen=True)
class Workspace:
    """The project below `root`, and the observer that is told what is done in it."""

    root: Path = Path()
    observer: Observer = field(default_factory=Observer)

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def cache(self) -> Path:
        return self.root / "data" / "cache"

    @property
    def submissions(self) -> Path:
        return self.root / "submissions"

    @property
    def ledger(self) -> Path:
        """The SQLite file of all submissions."""
        return self.submissions / "ledger.sqlite"

    @property
    def board(self) -> Path:
        """The folder of the local leaderboard, with the hidden labels."""
        return self.root / "board"

    def names(self) -> list[str]:
        """The competitions of this project."""
        return sorted(path.parent.name for path in (self.root / "competitions").glob("*/__init__.py"))

    def competition(self, name: str) -> Competition:
        """The `COMPETITION` of `competitions/<name>`.

        Raises:
            GoldfoldError: there is no such folder, or importing it fails; says where.
        """
        if not self.names():
            raise GoldfoldError(
                "no_competitions", f"there is no competition below {self.root.resolve()}: start in the project's folder"
            )
        if name not in self.names():
            raise unknown("competition", name, self.names(), code="unknown_competition")
        _make_importable(self.root.resolve())
        try:
            module = import_module(f"competitions.{name}")
        except GoldfoldError:
            raise
        except Exception as error:
            raise not_importable(name, error) from error
        if not hasattr(module, "COMPETITION"):
            raise GoldfoldError(
                "no_competition_value",
                f"competitions/{name}/__init__.py must define COMPETITION = Competition(...): add it",
            )
        return module.COMPETITION

    def config_path(self, name: str, config: str) -> Path:
        return self.root / "configs" / name / f"{config}.yaml"

    def configs(self, name: str) -> list[str]:
        """The configs of a competition."""
        return sorted(path.stem for path in (self.root / "configs" / name).glob("*.yaml"))

    def data(self, name: str) -> Path:
        return self.root / "data" / name

    def submission_path(self, run: Path) -> Path:
        """Where the submission of a run folder is, or would be."""
        return self.submissions / run.parent.name / f"{run.name}.csv"

    def public(self, name: str) -> Path:
        """The folder of the competition's prepared data; it is prepared first where that needs no download.

        Raises:
            GoldfoldError: Kaggle's files are missing; says which command downloads them.
        """
        folder = self.data(name) / "public"
        if not folder.exists():
            from filelock import FileLock

            self.data(name).mkdir(parents=True, exist_ok=True)
            with FileLock(self.data(name) / ".lock"):
                if not folder.exists():
                    self._prepare(name)
        return folder

    def load(self, name: str) -> Tables:
        """The competition's tables; its data is prepared first where that needs no download."""
        return load_tables(name, self.competition(name), self.public(name))

    def stale(self, name: str) -> bool:
        """Whether the competition's data.py has changed since it prepared the data."""
        mark = self.data(name) / PREPARED
        return mark.exists() and read_json(mark)["code"] != self._code(name)

    def prepare(self, name: str) -> Path:
        """The competition's prepared data, prepared again if data.py has changed since."""
        if self.stale(name):
            self._prepare(name)
        return self.public(name)

    def raw(self, name: str) -> Path:
        """Where Kaggle's own files are: data/<name>/raw, else the sample data where there is any."""
        folder, competition = self.data(name) / "raw", self.competition(name)
        sample = os.environ.get("GOLDFOLD_SAMPLE_DATA")
        if not folder.exists() and sample and competition.sample_data:
            return Path(sample) / competition.sample_data
        return folder

    def _code(self, name: str) -> str:
        """A hash of the file that prepares the data."""
        folder = self.root / "competitions" / name
        source = folder / "data.py" if (folder / "data.py").exists() else folder / "__init__.py"
        return hashlib.sha256(source.read_bytes()).hexdigest()

    def _prepare(self, name: str) -> None:
        """Fill public/ and private/ in a temporary folder and rename them, so that they are whole or absent."""
        self.observer.line(f"preparing {self.data(name)} ...")
        partial = self.data(name) / "preparing"
        shutil.rmtree(partial, ignore_errors=True)
        for part in ("public", "private"):
            (partial / part).mkdir(parents=True)
        try:
            prepare = self.competition(name).prepare
            carried_out(name, prepare, self.raw(name), partial / "public", partial / "private")
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        for part in ("public", "private"):
            shutil.rmtree(self.data(name) / part, ignore_errors=True)
        if any((partial / "private").iterdir()):
            os.replace(partial / "private", self.data(name) / "private")
        write_json(self.data(name) / PREPARED, {"code": self._code(name)})
        os.replace(partial / "public", self.data(name) / "public")
        shutil.rmtree(partial)
        tables = self.load(name)
        if "path" in tables.train:
            self.observer.line(f"  {_described([*tables.train['path'], *tables.test['path']])}")


def load_tables(name: str, competition: Competition, public: Path) -> Tables:
    """What load() reads, rows numbered from 0, with the sample submission as its file spells it."""
    from goldfold.submission import sample

    tables = carried_out(name, competition.load, public)
    return replace(
        tables,
        train=tables.train.reset_index(drop=True),
        test=tables.test.reset_index(drop=True),
        sample_submission=sample.from_file(public, tables.sample_submission, competition.submission),
    )


def _make_importable(root: Path) -> None:
    """Put `root` on the import path, and forget the competitions of another project."""
    known = sys.modules.get("competitions")
    if known is not None and str(root / "competitions") not in list(known.__path__):
        for name in [each for each in sys.modules if each.split(".")[0] == "competitions"]:
            del sys.modules[name]
        invalidate_caches()
    if str(root) in sys.path:
        sys.path.remove(str(root))
    sys.path.insert(0, str(root))


def _described(paths: Sequence[Path]) -> str:
    """Modes and sizes of images in one line, since mixed ones are converted without a word afterwards.

    >>> import cv2, numpy as np, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, shape in {"a.png": (8, 10), "b.png": (8, 10), "c.png": (9, 10, 3)}.items():
    ...     _ = cv2.imwrite(str(folder / name), np.zeros(shape, np.uint8))
    >>> _described([folder / name for name in ("a.png", "b.png", "c.png")])
    '3 images: 2 gray, 1 RGB, 10 pixels wide, 8 to 9 high; read as 8-bit RGB'
    """
    from goldfold.images import reading

    total, paths = len(paths), [path for path in paths if reading.header_problem(path) is None]
    if not paths:
        return f"{total:,} images, and none of them can be read"
    kinds = reading.count_modes(paths)
    counts = kinds.groupby("mode")["images"].sum().sort_values(ascending=False)
    modes = ", ".join(f"{count:,} {mode}" for mode, count in counts.items())
    ends = {side: sorted({kinds[side].min(), kinds[side].max()}) for side in ("width", "height")}
    wide, high = (" to ".join(map(str, each)) for each in ends.values())
    damaged = f"; {total - len(paths):,} cannot be read" if total > len(paths) else ""
    return f"{total:,} images: {modes}, {wide} pixels wide, {high} high; read as 8-bit RGB{damaged}"
