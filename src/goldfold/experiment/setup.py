"""An experiment from a competition's folder and a config, and the same again from the folder of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import hexdigits
from typing import Any

import torch
from pandas import Series

import goldfold
from goldfold.competition import Runtime
from goldfold.data import fold_checks, fold_tables, tables
from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment import identity, workspace
from goldfold.experiment.cross_validation import cross_validate
from goldfold.experiment.fits import Experiment
from goldfold.experiment.run_folders import run_name
from goldfold.io.files import read_json
from goldfold.report.run import blends
from goldfold.trust.audits import Finding

CODE_CHANGED = "code_changed"  # a finding, and the word that accepts it


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An experiment with what tells it from others.

    name: of the competition's folder. drawn: folds as `folds.csv` holds them. contents: a hash of every row, of the
    train and of the test table. code_changes: how the code changed since the weights it uses were trained, where that
    was accepted.
    """

    name: str
    config: configs.Config
    experiment: Experiment
    drawn: str
    contents: tuple[Series, Series]
    code_changes: tuple[str, ...] = ()

    def hashes(self) -> dict[str, Any]:
        """`identity`, equal for runs that give the same result, and of what it is made: data, code, modules."""
        data = tables.data_hash(self.experiment.tables, *self.contents)
        config = {key: value for key, value in self.config.resolved().items() if key != "accept"}
        known = identity.identity_of({"config": config, "data": data, "folds": self.drawn}, self._code())
        return {**known, "data_hash": data}

    def _code(self) -> identity.Code:
        build = self.experiment.recipe.build
        recipe = getattr(build, "func", build).__module__
        entries = (f"competitions.{self.name}", recipe, cross_validate.__module__, Experiment.__module__)
        return identity.code_of(entries, sources())


def sources() -> Mapping[str, Path]:
    """The folders whose code a run can depend on, by the name of their package."""
    return {"goldfold": Path(goldfold.__file__).parent, "competitions": workspace.ROOT / "competitions"}


def prepared(name: str, config: configs.Config, device: torch.device, workers: int = 0) -> Prepared:
    """Load the tables, draw the folds, check both."""
    competition = workspace.competition(name)
    data = workspace.load(name, competition)
    tables.check(competition, data)
    folds = workspace.carried_out(name, competition.split, data.train, config.protocol.seed)
    fold_checks.check_positions(folds, len(data.train))
    experiment = Experiment(
        competition=competition,
        recipe=competition.recipes[config.recipe],
        params=config.params,
        loop=config.loop,
        protocol=config.protocol,
        tables=data,
        folds=folds,
        runtime=Runtime(seed=0, device=device, cache=workspace.CACHE, workers=workers),
    )
    contents = tuple(tables.content_hashes(rows, competition.targets) for rows in (data.train, data.test))
    drawn = fold_tables.folds_to_table(data.train["id"], folds).to_csv(index=False)
    return Prepared(name=name, config=config, experiment=experiment, drawn=drawn, contents=contents)


def config_of(run: Path, **changed: Any) -> configs.Config:
    """The config a run was started with, but for what is `changed`."""
    values = read_json(run / "config.json") | changed
    if (run / blends.FACTS).exists():
        raise GoldfoldError(
            f"run '{run_name(run)}' is a blend and has no models of its own: name one of its runs, "
            f"{', '.join(values['runs'])}"
        )
    return configs.resolve(values.pop("config"), values, workspace.competition(run.parent.name).recipes)


def accepting(config: configs.Config, codes: Sequence[str]) -> configs.Config:
    """The config with more findings accepted."""
    accept = tuple(dict.fromkeys((*config.protocol.accept, *codes)))
    return replace(config, protocol=config.protocol.model_copy(update={"accept": accept}))


def again(run: Path, device: torch.device, accept: Sequence[str] = ()) -> Prepared:
    """The experiment of a run.

    accept: with code_changed, code that is no longer what the run was made with is told and does not stop.

    Raises:
        GoldfoldError: code, data or folds are no longer what the run was made with.
    """
    found = prepared(run.parent.name, config_of(run), device)
    then, now = read_json(run / "reproduce.json"), found.hashes()
    if then["identity"] == now["identity"]:
        return found
    changed = ["data"] if then.get("data_hash") != now["data_hash"] else []
    changed += ["folds"] if (run / "folds.csv").read_text(encoding="utf-8") != found.drawn else []
    if not changed and then.get("code_hash") == now["code_hash"]:
        changed = ["config"]
    name, commit = run_name(run), then["git"]["commit"]
    back = f"check out commit {commit[:12]}, or " if set(commit) <= set(hexdigits) else ""
    if changed:
        raise GoldfoldError(
            f"the {' and the '.join(changed)} changed since run '{name}' was trained, so that its models cannot be "
            f"built again: {back}train anew"
        )
    told = f"the code changed since run '{name}' was trained{changed_modules(then, now)}"
    if CODE_CHANGED not in accept:
        raise GoldfoldError(
            f"{told}, so its models may predict otherwise: add --accept {CODE_CHANGED} to go on (the record says so), "
            f"{back}train anew"
        )
    print(f"warning  {CODE_CHANGED}: {told}", flush=True)
    return replace(found, code_changes=(told,))


def changed_modules(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which modules differ between what two runs recorded, in brackets; empty where the first recorded none."""
    told = identity.differences(then.get("code", {}), now["code"])
    return f" ({told})" if told else ""


def code_changed(told: Sequence[str], where: str) -> list[Finding]:
    """The findings for what is `told` of code that changed."""
    return [Finding(CODE_CHANGED, "warning", each, where) for each in told]
