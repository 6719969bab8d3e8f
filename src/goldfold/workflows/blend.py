"""Blend runs: weights and method chosen on out-of-fold predictions, scored nested, concluded as a run of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from goldfold.competition import Recipe, Runtime
from goldfold.ensemble import blending
from goldfold.ensemble.blending import Blend, Members, MethodResult
from goldfold.ensemble.facts import blend_facts
from goldfold.ensemble.members import Gathered, gathered
from goldfold.ensemble.methods import METHODS
from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment import run_folders as runs
from goldfold.experiment.cross_validation import Outcome, combine_fits
from goldfold.experiment.fits import Experiment, Fit, Protocol, fit_folder
from goldfold.experiment.identity import fingerprint
from goldfold.experiment.identity import provenance as records
from goldfold.experiment.run_folders import BLEND
from goldfold.experiment.scoring import metrics_for
from goldfold.experiment.setup import sources
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import write_bytes, write_json, write_text
from goldfold.io.progress import Observer
from goldfold.params import Params
from goldfold.report.ensemble import blend_pictures, blends
from goldfold.training.settings import LoopOptions
from goldfold.trust.audits import Check, Finding, Level, made
from goldfold.trust.comparisons import blend_protocol
from goldfold.workflows.conclude import conclude

NAME = "blend"  # of config and recipe
ALL = "all"  # methods


def blend(workspace: Workspace, names: Sequence[str], method: str | None = None) -> Path:
    """Blend runs by one method, or by the best of all; returns the folder of the run that this makes.

    Raises:
        GoldfoldError: the runs cannot be blended, or no method fits their predictions.
    """
    if method not in (None, *METHODS):
        raise unknown("method to blend by", str(method), METHODS, code="unknown_method")
    found = gathered(workspace, [runs.open_run(workspace, name) for name in names])
    config = _config(found, method)
    with _started(workspace, found, config) as run:
        _carry_out(workspace, found, config, method, run)
    return run


def _carry_out(workspace: Workspace, found: Gathered, config: Mapping[str, Any], method: str | None, run: Path) -> None:
    """Choose the blend and conclude its run."""
    trials, left_out = _tried(found.members, [method] if method else list(METHODS), workspace.observer)
    result = blending.choose_blend(found.members, trials)
    facts = blend_facts(found.members, trials, result, method is not None, left_out)
    write_json(run / BLEND, facts)
    write_bytes(run / "blend.png", blend_pictures.blend(facts))
    experiment, fits = _experiment(workspace, found, config), _fits(found.members, result)
    _save(fits, facts["by_fold"], run)
    conclude(workspace, experiment, fits, run, _checks(found, facts), _outcome(found, experiment, fits, result))


def _checks(found: Gathered, facts: Mapping[str, Any]) -> list[Check]:
    """What was looked at before the blend was scored; what refuses it would have raised an error by now."""
    better = _no_better(facts)
    codes = list(dict.fromkeys(finding.code for finding in found.findings))
    return [
        made("what was found in the runs it is made of, repeated with their names", codes, found.findings),
        made("data, folds and protocols of the runs against each other", [], []),
        made("the blend against the best single run", ["blend_no_better"], better),
    ]


def _config(found: Gathered, method: str | None) -> dict[str, Any]:
    """The config.json of a blend: the keys of a protocol, the runs and the method."""
    configs = found.configs
    return {
        "config": NAME,
        "recipe": NAME,
        "runs": list(found.members.names),
        "method": method or ALL,
        "seed": configs[0]["seed"],
        "seeds": sorted({seed for config in configs for seed in config["seeds"]}),
        "folds": configs[0]["folds"],
        "accept": sorted({finding.code for finding in found.findings if finding.level == "error"}),
        **_decide(configs),
    }


def _decide(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The block `decide:` of the first run that has one, fitted anew on the blend's predictions; empty if none has."""
    return next(({"decide": config["decide"]} for config in configs if config.get("decide")), {})


@contextmanager
def _started(workspace: Workspace, found: Gathered, config: Mapping[str, Any]) -> Iterator[Path]:
    """The run's folder, new or resumed, locked meanwhile."""
    entries = (f"competitions.{found.name}", blending.__name__, combine_fits.__module__)
    inputs = {"config": config, "runs": [each["identity"] for each in found.reproduce]}
    known = fingerprint.run_identity(inputs, fingerprint.code_hashes(entries, sources(workspace)))
    facts = {**records.reproduce(workspace.root), **known, "data_hash": found.data_hash}
    with runs.start_run(workspace, found.name, NAME, known["identity"], facts) as started:
        verb = "resuming" if started.resumed else "run"
        workspace.observer.line(f"{verb} {started.folder}: blend of {', '.join(found.members.names)}")
        write_json(started.folder / "config.json", config)
        write_text(started.folder / "folds.csv", found.drawn)
        yield started.folder


def _tried(members: Members, names: Sequence[str], observer: Observer) -> tuple[list[MethodResult], dict[str, str]]:
    """The result of each method, and why methods were left out."""
    found: dict[str, MethodResult | str] = {}
    observer.work("methods", 0, len(names))
    for name, each in blending.evaluate_methods(members, names):
        found[name] = each
        observer.work("methods", len(found), len(names))
    observer.close()
    trials = [each for each in found.values() if isinstance(each, MethodResult)]
    left_out = {name: reason for name, reason in found.items() if isinstance(reason, str)}
    if not trials:
        method, reason = next(iter(left_out.items()))
        raise GoldfoldError(
            "method_unfit",
            f"{method} cannot blend {', '.join(members.names)} ({reason}): choose other runs or METHOD",
        )
    return trials, left_out


def _experiment(workspace: Workspace, found: Gathered, config: Mapping[str, Any]) -> Experiment:
    """An experiment without models, from which the run is concluded."""
    protocol = Protocol(**{key: config[key] for key in ("seed", "folds", "accept")})
    return Experiment(
        competition=found.members.competition,
        recipe=Recipe(params=Params, build=_no_model),
        params=Params(),
        loop=LoopOptions(),
        protocol=protocol,
        tables=found.tables,
        folds=found.folds,
        runtime=Runtime(seed=0, device=torch.device("cpu"), cache=workspace.cache),
        decide=config.get("decide", {}),
    )


def _no_model(*_: Any) -> NoReturn:
    raise GoldfoldError("blend_has_no_models", "a blend has no models of its own to build: name one of its runs")


def _fits(members: Members, result: Blend) -> list[Fit]:
    """One for each fold, without test predictions: those are the blend's alone."""
    fits = []
    for fold in members.folds:
        own = members.of_fold(fold)
        rows, part = members.rows.iloc[own].reset_index(drop=True), result.oof[own]
        chance = {metric.name: float(metric.chance(rows)) for metric in metrics_for(members.competition, part)}
        fits.append(Fit(fold, 0, result.scores[fold], chance, None, [], {}, part, np.empty(0)))
    return fits


def _save(fits: Sequence[Fit], methods: Mapping[str, str], run: Path) -> None:
    """Write each fold's scores where a run's fits are."""
    for fit in fits:
        place = fit_folder(run, fit.fold, fit.seed)
        write_json(place / "history.json", fit.history)
        kept = {name: getattr(fit, name) for name in ("fold", "seed", "scores", "chance", "epoch", "facts")}
        write_json(place / "fit.json", {**kept, "method": methods[str(fit.fold)]})


def _outcome(found: Gathered, experiment: Experiment, fits: Sequence[Fit], result: Blend) -> Outcome:
    whole = combine_fits(experiment, fits)
    for metric, summary in whole.metrics.items():
        first = found.metrics[0].get(metric, summary)
        summary["protocol"] = blend_protocol(first["protocol"], len(found.members.names))
    return replace(whole, test=result.test)


def _no_better(facts: Mapping[str, Any]) -> list[Finding]:
    better = blends.beats(facts)
    if better:
        return []
    level: Level = "warning" if better is False else "note"
    return [Finding("blend_no_better", level, blends.verdict(facts).rstrip("."), "all folds")]
