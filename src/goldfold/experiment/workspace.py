"""A project's folders, and its competitions by name: the one place where a name becomes a file or an import."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment import preparation
from goldfold.experiment.failures import carried_out, not_importable
from goldfold.experiment.preparation import Sources
from goldfold.io import garbage
from goldfold.io.progress import Observer

if TYPE_CHECKING:
    from goldfold.competition import Competition, Tables

_LOADED: dict[str, tuple[int, int]] = {}  # module of a competition -> its file's time and size when it was imported


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

    def competition(self, name: str, *, edited: bool = False) -> Competition:
        """The `COMPETITION` of `competitions/<name>`.

        edited: import it again if one of its files was edited after it was imported, as in a notebook. Only the start
        of a run does so: an edit while it trains, however broken, must not reach it.

        Raises:
            GoldfoldError: there is no such folder, or importing it fails; says where.
        """
        if not self.names():
            raise GoldfoldError(
                "no_competitions", f"there is no competition below {self.root.resolve()}: start in the project's folder"
            )
        if name not in self.names():
            raise unknown("competition", name, self.names(), code="unknown_competition")
        _make_importable(self.root.resolve(), edited)
        try:
            with garbage.not_collected():
                module = import_module(f"competitions.{name}")
        except GoldfoldError:
            raise
        except Exception as error:
            raise not_importable(name, error) from error
        _remember_loaded()
        if not hasattr(module, "COMPETITION"):
            raise GoldfoldError(
                "no_competition_value",
                f"competitions/{name}/__init__.py must define COMPETITION = Competition(...): add it",
            )
        return module.COMPETITION

    def config_path(self, name: str, config: str) -> Path:
        """The file of a config; GoldfoldError `config_outside` for what names a file elsewhere."""
        if not plain_name(config):
            known = ", ".join(self.configs(name)) or "none"
            raise GoldfoldError(
                "config_outside",
                f"a config is a file of configs/{name} without its ending, and '{config}' is none: name one of {known}",
            )
        return self.root / "configs" / name / f"{config}.yaml"

    def configs(self, name: str) -> list[str]:
        """The configs of a competition."""
        return sorted(path.stem for path in (self.root / "configs" / name).glob("*.yaml"))

    def data(self, name: str) -> Path:
        return self.root / "data" / name

    def submission_path(self, run: Path) -> Path:
        """Where the submission of a run folder is, or would be."""
        return self.submissions / run.parent.name / f"{run.name}.csv"

    def refit_submission_path(self, run: Path) -> Path:
        """Where the submission of a run's refit on all rows is, or would be."""
        return self.submissions / run.parent.name / f"{run.name}-refit.csv"

    def public(self, name: str) -> Path:
        """The folder of the competition's prepared data; it is prepared first where that needs no download.

        Raises:
            GoldfoldError: Kaggle's files are missing; says which command downloads them.
        """
        folder = self.data(name) / "public"
        if not folder.exists():
            with self._preparing(name):
                if not folder.exists():
                    self._prepare(name)
        return folder

    def _preparing(self, name: str) -> FileLock:
        """A lock, so that one process at a time prepares the data."""
        self.data(name).mkdir(parents=True, exist_ok=True)
        return FileLock(self.data(name) / ".lock")

    def load(self, name: str) -> Tables:
        """The competition's tables; its data is prepared first where that needs no download."""
        return load_tables(name, self.competition(name), self.public(name))

    def changed_inputs(self, name: str) -> str:
        """What the competition's data was prepared from and has changed since, in words; empty if nothing has."""
        return preparation.changed_inputs(self._sources(name))

    def prepare(self, name: str, force: bool = False) -> Path:
        """The competition's prepared data, prepared again if data.py or a raw file has changed since, or by `force`.

        It stays as it is if its raw files are gone.
        """
        self.competition(name, edited=True)
        folder, sources = self.public(name), self._sources(name)
        why = preparation.changed_inputs(sources) or ("asked for" if force else "")
        if why and not preparation.repeatable(sources):
            self.observer.line(f"{self.data(name)} is not prepared again ({why}), since {sources.raw} is gone")
        elif why:
            self.observer.line(f"{self.data(name)} is prepared again: {why}")
            with self._preparing(name):
                self._prepare(name)
        return folder

    def _prepare(self, name: str) -> None:
        from goldfold.data.image_checks import are_images

        preparation.prepare(self._sources(name), self.observer)
        tables = self.load(name)
        if are_images(tables.train):
            self.observer.line(f"  {preparation.described([*tables.train['path'], *tables.test['path']])}")

    def _sources(self, name: str) -> Sources:
        return Sources(
            name=name,
            prepare=self.competition(name).prepare,
            raw=self.raw(name),
            place=self.data(name),
            competitions=self.root / "competitions",
        )

    def raw(self, name: str) -> Path:
        """Where Kaggle's own files are: data/<name>/raw, else the sample data where there is any."""
        folder, competition = self.data(name) / "raw", self.competition(name)
        sample = os.environ.get("GOLDFOLD_SAMPLE_DATA")
        if not folder.exists() and sample and competition.sample_data:
            return Path(sample) / competition.sample_data
        return folder


def plain_name(name: str) -> bool:
    """Whether a name is that of a file in a folder, and no path to another folder.

    >>> plain_name("baseline"), plain_name("../baseline"), plain_name("..")
    (True, False, False)
    """
    return name not in ("", ".", "..") and not set(name) & set("/\\\0")


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


def _make_importable(root: Path, edited: bool) -> None:
    """Put `root` on the import path; forget competitions of another project, and if `edited` those that were edited."""
    known = [name for name in sys.modules if name.split(".")[0] == "competitions"]
    package = sys.modules.get("competitions")
    other = package is not None and str(root / "competitions") not in list(package.__path__)
    stale = edited and any(_LOADED.get(name, now) != now for name in known if (now := _signature(name)))
    if other or stale:
        for name in known:
            module = sys.modules.pop(name)
            _LOADED.pop(name, None)
            compiled = module.__spec__ and module.__spec__.cached
            if compiled:  # Python takes it for new if the file was edited within a second and kept its size
                Path(compiled).unlink(missing_ok=True)
        invalidate_caches()
    if str(root) in sys.path:
        sys.path.remove(str(root))
    sys.path.insert(0, str(root))


def _signature(module: str) -> tuple[int, int] | None:
    """Time of change and size of a loaded module's file."""
    file = getattr(sys.modules[module], "__file__", None)
    if not file or not os.path.exists(file):
        return None
    status = os.stat(file)
    return status.st_mtime_ns, status.st_size


def _remember_loaded() -> None:
    for name in [each for each in sys.modules if each.split(".")[0] == "competitions"]:
        if now := _signature(name):
            _LOADED.setdefault(name, now)
