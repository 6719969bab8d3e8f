"""An experiment from a competition's folder and a config, and the same again from the folder of a run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from string import hexdigits
from typing import Any

import torch
from pandas import Series

import goldfold
from goldfold import splits, tables
from goldfold.commands import project
from goldfold.competition import Runtime
from goldfold.engine import config as configs
from goldfold.engine.fits import Experiment
from goldfold.engine.runs import run_name
from goldfold.errors import GoldfoldError
from goldfold.files import read_json
from goldfold.trust import records
from goldfold.trust.report import blends

OUTSIDE_FITS = ("commands/", "delivery/", "trust/")  # code that no fit depends on


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An experiment with what tells it from others.

    name: of the competition's folder. drawn: folds as `folds.csv` holds them. contents: a hash of every row, of the
    train and of the test table.
    """

    name: str
    config: configs.Config
    experiment: Experiment
    drawn: str
    contents: tuple[Series, Series]

    def hashes(self) -> dict[str, str]:
        """`identity`, equal for runs that give the same result, and of what it is made: data_hash and code_hash."""
        data = tables.data_hash(self.experiment.tables, *self.contents)
        code = records.code_hash(
            Path(goldfold.__file__).parent, project.ROOT / "competitions" / self.name, leaving_out=OUTSIDE_FITS
        )
        known = {"config": self.config.resolved(), "data": data, "folds": self.drawn, "code": code}
        identity = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
        return {"identity": identity, "data_hash": data, "code_hash": code}


def prepared(name: str, config: configs.Config, device: torch.device, workers: int = 0) -> Prepared:
    """Load the tables, draw the folds, check both."""
    competition = project.competition(name)
    data = project.load(name, competition)
    tables.check(competition, data)
    folds = project.carried_out(name, competition.split, data.train, config.protocol.seed)
    splits.check_positions(folds, len(data.train))
    experiment = Experiment(
        competition=competition,
        recipe=competition.recipes[config.recipe],
        params=config.params,
        loop=config.loop,
        protocol=config.protocol,
        tables=data,
        folds=folds,
        runtime=Runtime(seed=0, device=device, cache=project.CACHE, workers=workers),
    )
    contents = tuple(tables.contents(rows, competition.targets) for rows in (data.train, data.test))
    drawn = splits.folds_frame(data.train["id"], folds).to_csv(index=False)
    return Prepared(name=name, config=config, experiment=experiment, drawn=drawn, contents=contents)


def config_of(run: Path, **changed: Any) -> configs.Config:
    """The config a run was started with, but for what is `changed`."""
    values = read_json(run / "config.json") | changed
    if (run / blends.FACTS).exists():
        raise GoldfoldError(
            f"run '{run_name(run)}' is a blend and has no models of its own: name one of its runs, "
            f"{', '.join(values['runs'])}"
        )
    return configs.resolve(values.pop("config"), values, project.competition(run.parent.name).recipes)


def again(run: Path, device: torch.device) -> Prepared:
    """The experiment of a run.

    Raises:
        GoldfoldError: code, data or folds are no longer what the run was made with.
    """
    found = prepared(run.parent.name, config_of(run), device)
    then, now = read_json(run / "reproduce.json"), found.hashes()
    if then["identity"] == now["identity"]:
        return found
    changed = [name for name in ("data", "code") if then.get(f"{name}_hash") != now[f"{name}_hash"]] or ["folds"]
    commit = then["git"]["commit"]
    back = f"check out commit {commit[:12]}, or " if set(commit) <= set(hexdigits) else ""
    raise GoldfoldError(
        f"the {' and the '.join(changed)} changed since run '{run_name(run)}' was trained, so that its "
        f"models cannot be built again: {back}train anew"
    )
