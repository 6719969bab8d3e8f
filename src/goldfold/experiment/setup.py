"""Set an experiment up from a config, or again from the folder of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import hexdigits
from typing import Any

import pandas as pd
import torch
from pandas import DataFrame, Series

import goldfold
from goldfold.audio import checks as sound_checks
from goldfold.competition import Competition, Fold, Runtime, Tables
from goldfold.data import csv_tables, fold_checks, fold_tables, image_checks, tables
from goldfold.data.training_rows import extra
from goldfold.errors import GoldfoldError, unknown, way_on
from goldfold.experiment import config as configs
from goldfold.experiment.cross_validation import cross_validate
from goldfold.experiment.decisions.nested import check_decisions
from goldfold.experiment.early_checks import check_recipe, class_order
from goldfold.experiment.failures import explained
from goldfold.experiment.fits import OWN_SPLIT, Experiment, Protocol, fold_numbers, initial_weights
from goldfold.experiment.identity import fingerprint
from goldfold.experiment.run_folders import BLEND, IMPORTED, run_name
from goldfold.experiment.teachers import find
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json
from goldfold.training.settings import check_precision

Decoded = image_checks.Checked | sound_checks.CheckedSounds
CODE_CHANGED = "code_changed"  # code of a finding, and the word that accepts it


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An experiment, and what its identity is made of.

    name: of the competition's folder. drawn: the text of `folds.csv`. contents: a hash of every row, of the train and
    of the test table. loaded: the tables as load() gave them, the extra rows apart. images: what decoding every image
    found, None without images. sounds: the same of audio files. code_changes: how the code changed since the weights
    were trained, where that was accepted. starts: config key -> hash of the file or run it names.
    """

    workspace: Workspace
    name: str
    config: configs.Config
    experiment: Experiment
    drawn: str
    contents: tuple[Series, Series]
    loaded: Tables
    images: image_checks.Checked | None
    sounds: sound_checks.CheckedSounds | None
    code_changes: tuple[str, ...] = ()
    starts: Mapping[str, str] = field(default_factory=dict)

    def hashes(self) -> dict[str, Any]:
        """`identity`, equal for runs that give the same result, and its parts: data, code, modules."""
        train, test = self.contents
        data = tables.data_hash(self.loaded, train.iloc[: len(self.loaded.train)], test)
        resolved = self.config.resolved().items()
        config = {key: self.starts.get(key, value) for key, value in resolved if key != "accept"}
        inputs = {"config": config, "data": data, "folds": self.drawn}
        taught = {"lessons": self.experiment.lessons.digest()} if self.experiment.lessons else {}
        known = fingerprint.run_identity({**inputs, **taught}, self.code())
        return {**known, "data_hash": data, **({"starts": dict(self.starts)} if self.starts else {})}

    def code(self) -> fingerprint.Code:
        """The modules that the run depends on, with their hashes."""
        build = self.experiment.recipe.build
        recipe = getattr(build, "func", build).__module__
        entries = (f"competitions.{self.name}", recipe, cross_validate.__module__, Experiment.__module__)
        return fingerprint.code_hashes(entries, sources(self.workspace))


def sources(workspace: Workspace) -> Mapping[str, Path]:
    """The folders whose code a run can depend on, by the name of their package."""
    return {"goldfold": Path(goldfold.__file__).parent, "competitions": workspace.root / "competitions"}


def prepare_experiment(
    workspace: Workspace,
    name: str,
    config: configs.Config,
    device: torch.device,
    workers: int = 0,
    *,
    rebuilt: Path | None = None,
) -> Prepared:
    """Load the tables, draw the folds, check both; images are read late, since that takes longest, teachers last.

    rebuilt: the run whose weights are loaded afterwards: its teachers' predictions are read there, and what its fits
        started from may be gone. None: a run to train.
    """
    check_precision(config.loop.precision, device)
    refuse_automatic(config)
    competition, loaded = workspace.competition(name), workspace.load(name)
    tables.check(competition, loaded)
    extra.check(competition, loaded)
    data = extra.joined(loaded, competition.targets, config.protocol.extra)
    extra.check_classes(competition.recipes[config.recipe].labels, loaded.train, data.train)
    check_recipe(competition, config.recipe, config.params, data)
    split = _split(name, competition, loaded.train, config.protocol)
    check_decisions(competition, config, data, len(fold_numbers(config.protocol, split)))
    contents, images, sounds = _decoded(workspace, name, data)
    own = _decodable(split, config.protocol, images or sounds)
    drawn = _decodable(extra.everywhere(split, len(loaded.train), len(data.train)), config.protocol, images or sounds)
    data = _readable(data, images, sounds, config.protocol, workspace)
    experiment = _experiment(workspace, competition, config, data, drawn, Machine(device, workers))
    folds = csv_tables.to_text(fold_tables.folds_to_table(loaded.train["id"], own))
    if rebuilt is None:
        experiment = replace(experiment, starts_from=initial_weights.source(workspace.runs / name, experiment, folds))
    untaught = Prepared(
        workspace=workspace,
        name=name,
        config=config,
        experiment=experiment,
        drawn=folds,
        contents=contents,
        loaded=loaded,
        images=images,
        sounds=sounds,
        starts=initial_weights.starts(experiment, rebuilt),
    )
    return replace(untaught, experiment=_taught(untaught, rebuilt))


def _taught(found: Prepared, rebuilt: Path | None) -> Experiment:
    """The experiment with what its teachers say; rebuilt: as in `prepare_experiment`."""
    workspace, device, accept = found.workspace, found.experiment.runtime.device, found.config.protocol.accept
    search = find.Search(
        workspace=workspace,
        name=found.name,
        recipe=found.config.recipe,
        experiment=found.experiment,
        drawn=found.drawn,
        rebuild=lambda run: rebuild(workspace, run, device, accept).experiment,
    )
    return find.taught_experiment(search, rebuilt)


def refuse_automatic(config: configs.Config) -> None:
    """Refuse a batch size that was not probed, wherever its number decides the result."""
    if config.automatic:
        raise GoldfoldError(
            "batch_not_probed",
            f"config '{config.name}' has {config.automatic[0]}: auto, which `make train` probes for one run: give a "
            f"number here, such as SET={config.automatic[0]}={getattr(config.params, config.automatic[0])}",
        )


def experiment_of_fits(workspace: Workspace, run: Path, data: Tables, device: torch.device) -> Experiment:
    """The experiment of a run's kept fits with its kept folds, only to predict: neither rows nor images are hashed.

    data: checked tables of the competition.

    Raises:
        GoldfoldError: the training rows are not those of `folds.csv` (`fold_ids_mismatch`).
    """
    name, config = run.parent.name, config_of_run(workspace, run)
    if config.protocol.on_broken != "refuse":
        _, images, sounds = _decoded(workspace, name, data)
        data = _readable(data, images, sounds, config.protocol, workspace)
    kept = pd.read_csv(run / "folds.csv", dtype=str, keep_default_na=False, encoding="utf-8")
    folds = fold_tables.folds_from_table(kept, data.train["id"].tolist())
    competition, own = workspace.competition(name), len(data.train)
    data = extra.joined(data, competition.targets, config.protocol.extra)
    folds = extra.everywhere(folds, own, len(data.train))
    made = _experiment(workspace, competition, config, data, folds, Machine(device))
    return find.with_kept(made, config.recipe, run)


@dataclass(frozen=True)
class Machine:
    """Where fits run. workers: number of processes that load data."""

    device: torch.device
    workers: int = 0


def _decoded(
    workspace: Workspace, name: str, data: Tables
) -> tuple[tuple[Series, Series], image_checks.Checked | None, sound_checks.CheckedSounds | None]:
    """Hashes of all rows, and what decoding every image or recording found."""
    targets = workspace.competition(name).targets
    contents = tables.content_hashes(data.train, targets), tables.content_hashes(data.test, targets)
    images, sounds = (workspace.cache / kind / f"{name}.json" for kind in ("images", "sounds"))
    return (
        contents,
        image_checks.decode_all(data, contents, images, workspace.observer.work),
        sound_checks.decode_all(data, contents, sounds, workspace.observer.work),
    )


def _readable(
    data: Tables,
    images: image_checks.Checked | None,
    sounds: sound_checks.CheckedSounds | None,
    protocol: Protocol,
    workspace: Workspace,
) -> Tables:
    """The tables with gray images and silence in place of what is broken."""
    if images:
        return image_checks.readable(images, data, protocol.on_broken, workspace.cache)
    return sound_checks.readable(sounds, data, protocol.on_broken, workspace.cache) if sounds else data


def _experiment(
    workspace: Workspace,
    competition: Competition,
    config: configs.Config,
    data: Tables,
    folds: Sequence[Fold],
    machine: Machine,
) -> Experiment:
    recipe = competition.recipes[config.recipe]
    return Experiment(
        competition=competition,
        recipe=recipe,
        params=config.params,
        loop=config.loop,
        protocol=config.protocol,
        tables=data,
        folds=folds,
        runtime=Runtime(
            seed=0,
            device=machine.device,
            cache=workspace.cache,
            workers=machine.workers,
            progress=workspace.observer.work,
            classes=class_order(competition, recipe, data.train),
        ),
        decide=config.decide,
    )


def draw_folds(
    name: str, competition: Competition, train: DataFrame, protocol: Protocol, files: Decoded | None
) -> Sequence[Fold]:
    """The folds that split() draws with the protocol's seed, checked; without broken files where they are skipped."""
    return _decodable(_split(name, competition, train, protocol), protocol, files)


def _split(name: str, competition: Competition, train: DataFrame, protocol: Protocol) -> Sequence[Fold]:
    splits = {OWN_SPLIT: competition.split, **competition.other_splits}
    if protocol.split not in splits:
        raise unknown("split", protocol.split, splits, code="unknown_split")
    with explained("split()", name, train):
        drawn = fold_checks.as_folds(splits[protocol.split](train, protocol.seed))
    fold_checks.check_positions(drawn, len(train))
    return drawn


def _decodable(drawn: Sequence[Fold], protocol: Protocol, files: Decoded | None) -> Sequence[Fold]:
    return image_checks.without_broken(files, drawn) if files and protocol.on_broken == "skip" else drawn


def config_of_run(workspace: Workspace, run: Path, **changed: Any) -> configs.Config:
    """The config a run was started with, with some values changed.

    Raises:
        GoldfoldError: the run is a blend or imported, or the config is no longer valid.
    """
    values = read_json(run / "config.json") | changed
    if (run / IMPORTED).exists():
        raise GoldfoldError(
            "imported_has_no_models",
            f"run '{run_name(run)}' was imported as predictions and has no models here: name a run that was trained",
        )
    if (run / BLEND).exists():
        raise GoldfoldError(
            "blend_has_no_models",
            f"run '{run_name(run)}' is a blend and has no models of its own: name one of its runs, "
            f"{', '.join(values['runs'])}",
        )
    return configs.resolve_config(values.pop("config"), values, workspace.competition(run.parent.name).recipes)


def accepting(config: configs.Config, codes: Sequence[str]) -> configs.Config:
    """The config with more findings accepted."""
    accept = tuple(dict.fromkeys((*config.protocol.accept, *codes)))
    return replace(config, protocol=config.protocol.model_copy(update={"accept": accept}))


def rebuild(workspace: Workspace, run: Path, device: torch.device, accept: Sequence[str] = ()) -> Prepared:
    """The experiment of a run, to predict again with its weights.

    accept: with `code_changed`, a change of the code since the run is a warning instead of an error.

    Raises:
        GoldfoldError: data, folds or config are no longer those of the run, or the code is not and that is not
            accepted.
    """
    workspace.competition(run.parent.name, edited=True)
    found = prepare_experiment(workspace, run.parent.name, config_of_run(workspace, run), device, rebuilt=run)
    then, now = read_json(run / "reproduce.json"), found.hashes()
    if then["identity"] == now["identity"]:
        return found
    back = _way_back(then["git"]["commit"])
    if changed := _changed_inputs(run, found, then, now):
        raise GoldfoldError(
            "run_inputs_changed",
            f"the {' and the '.join(changed)} changed since run '{run_name(run)}' was trained, so that its models "
            f"cannot be built again: {back}train anew",
        )
    told = f"the code changed since run '{run_name(run)}' was trained{changed_modules(then, now)}"
    if CODE_CHANGED not in accept:
        raise GoldfoldError(
            CODE_CHANGED,
            f"{told}, so its models may predict differently: {back}train anew, or go on, which is recorded "
            f"({way_on(CODE_CHANGED)})",
        )
    workspace.observer.line(f"warning  {CODE_CHANGED}: {told}")
    return replace(found, code_changes=(told,))


def changed_modules(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The modules that differ between what two runs recorded, in brackets; empty if the first recorded none."""
    told = fingerprint.describe_code_changes(then.get("code", {}), now["code"])
    return f" ({told})" if told else ""


def _changed_inputs(run: Path, found: Prepared, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Which of data, folds and config differ from those of the run."""
    changed = ["data"] if then.get("data_hash") != now["data_hash"] else []
    changed += ["folds"] if (run / "folds.csv").read_text(encoding="utf-8") != found.drawn else []
    if not changed and then.get("code_hash") == now["code_hash"]:
        changed = ["config"]
    return changed


def _way_back(commit: str) -> str:
    return f"check out commit {commit[:12]}, or " if set(commit) <= set(hexdigits) else ""
