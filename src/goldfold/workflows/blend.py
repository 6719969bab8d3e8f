"""`blend`: several runs as one, their weights and the method chosen on out-of-fold predictions; a run of its own."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from goldfold.competition import Recipe, Runtime
from goldfold.ensemble import blending
from goldfold.ensemble import members as blend_members
from goldfold.ensemble.blending import Blend, Members, MethodResult
from goldfold.ensemble.members import Gathered
from goldfold.ensemble.methods import METHODS
from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment import identity, workspace
from goldfold.experiment import provenance as records
from goldfold.experiment import run_folders as runs
from goldfold.experiment.fits import Experiment, Fit, Protocol, fit_folder
from goldfold.experiment.outcome import Outcome, combine_fits
from goldfold.experiment.run_folders import BLEND
from goldfold.experiment.scoring import metrics_for
from goldfold.experiment.setup import sources
from goldfold.io.files import write_bytes, write_json, write_text
from goldfold.params import Params
from goldfold.report.run import blend_pictures, blends
from goldfold.training.settings import LoopOptions
from goldfold.trust.audits import Finding
from goldfold.trust.comparisons import blend_protocol
from goldfold.workflows.conclude import conclude

NAME = "blend"  # of config and recipe
ALL = "all"  # methods


def run(arguments: Namespace) -> None:
    blend(arguments.runs, arguments.method, arguments.quiet)


def blend(names: Sequence[str], method: str | None = None, quiet: bool = False) -> Path:
    """Blend runs by one method or by the best of all; returns the folder of the run that this makes.

    Raises:
        GoldfoldError: the runs cannot be blended, or no method fits their predictions.
    """
    if method not in (None, *METHODS):
        raise unknown("method to blend by", str(method), METHODS)
    found = blend_members.gathered([runs.find_run(workspace.RUNS, name) for name in names])
    config = _config(found, method)
    started = _started(found, config)
    trials, left_out = _tried(found.members, [method] if method else list(METHODS), quiet)
    result = blending.choose_blend(found.members, trials)
    facts = _facts(found.members, trials, result, method is not None, left_out)
    write_json(started.folder / BLEND, facts)
    write_bytes(started.folder / "blend.png", blend_pictures.blend(facts))
    print(f"\n{blends.told(facts)}\n")
    experiment, fits = _experiment(found, config), _fits(found.members, result)
    _save(fits, facts["by_fold"], started.folder)
    findings = found.findings + _no_better(facts)
    conclude(experiment, fits, started.folder, findings, _outcome(found, experiment, fits, result))
    return started.folder


def _config(found: Gathered, method: str | None) -> dict[str, Any]:
    """What `config.json` says of a blend: the keys of a protocol, and what is blended how."""
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
    }


def _started(found: Gathered, config: Mapping[str, Any]) -> runs.Run:
    """The run's folder, new or taken up again."""
    code = identity.code_hashes((f"competitions.{found.name}", blending.__name__, combine_fits.__module__), sources())
    inputs = {"config": config, "runs": [each["identity"] for each in found.reproduce]}
    hashes = {**identity.run_identity(inputs, code), "data_hash": found.data_hash}
    facts = {**records.reproduce(workspace.ROOT), **hashes}
    started = runs.start_run(workspace.RUNS, found.name, NAME, hashes["identity"], facts)
    names = ", ".join(found.members.names)
    print(f"{'going on with' if started.resumed else 'run'} {started.folder}: blend of {names}", flush=True)
    write_json(started.folder / "config.json", config)
    write_text(started.folder / "folds.csv", found.drawn)
    return started


def _tried(members: Members, names: Sequence[str], quiet: bool) -> tuple[list[MethodResult], dict[str, str]]:
    """The trials, and why methods were left out."""
    silent = quiet or bool(os.environ.get("CI")) or not sys.stderr.isatty()
    bar = tqdm(blending.evaluate_methods(members, names), total=len(names), desc="methods", disable=silent, leave=False)
    found = dict(bar)
    trials = [each for each in found.values() if isinstance(each, MethodResult)]
    left_out = {name: reason for name, reason in found.items() if isinstance(reason, str)}
    if not trials:
        method, reason = next(iter(left_out.items()))
        raise GoldfoldError(f"{method} cannot blend {', '.join(members.names)} ({reason}): choose other runs or METHOD")
    return trials, left_out


def _facts(
    members: Members, trials: Sequence[MethodResult], result: Blend, named: bool, left_out: Mapping[str, str]
) -> dict[str, Any]:
    """What `blend.json` holds: every figure of the report, of the competition's own metric."""
    metric = members.competition.metric
    singles = [_own(metric.name, blending.score_by_fold(members, each)) for each in members.oof]
    elsewhere = blending.best_on_other_folds(members, singles)
    best = blending.best_index(metric, [fmean(scores.values()) for scores in singles])
    likeness = blending.error_correlations(members)
    return {
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "bounds": list(metric.bounds),
        "runs": {name: _summary(scores) for name, scores in zip(members.names, singles, strict=True)},
        "best_run": members.names[best],
        "best_elsewhere": _summary({fold: singles[at][fold] for fold, at in elsewhere.items()}),
        "methods": {trial.method: _of_trial(metric.name, trial) for trial in trials},
        "left_out": dict(left_out),
        "named": named,
        "too_few_folds": len(members.folds) < blending.FEWEST_TO_CHOOSE,
        "method": result.method,
        "by_fold": {str(fold): method for fold, method in result.by_fold.items()},
        "blend": _summary(_own(metric.name, result.scores)),
        "correlations": likeness and {"of": likeness[0], "matrix": _plain(likeness[1])},
    }


def _own(metric: str, scores: Mapping[int, blending.Scores]) -> dict[int, float]:
    return {fold: by_metric[metric] for fold, by_metric in scores.items()}


def _summary(folds: Mapping[int, float]) -> dict[str, Any]:
    return {"folds": {str(fold): value for fold, value in folds.items()}, "mean": fmean(folds.values())}


def _of_trial(metric: str, trial: MethodResult) -> dict[str, Any]:
    blenders = {"all" if fold is None else str(fold): blender for fold, blender in trial.blenders.items()}
    weights = None
    if blenders["all"].weights is not None:
        values = {fold: blender.weights.tolist() for fold, blender in blenders.items()}
        weights = {"all": values.pop("all"), "folds": values, "learned": METHODS[trial.method].learns}
    own, in_sample = _summary(_own(metric, trial.scores)), fmean(trial.in_sample.values())
    return {**own, "in_sample": in_sample, "weights": weights, "told": blenders["all"].description}


def _plain(matrix: np.ndarray) -> list[list[float | None]]:
    return [[float(value) if np.isfinite(value) else None for value in row] for row in matrix]


def _experiment(found: Gathered, config: Mapping[str, Any]) -> Experiment:
    """The blend as what follows a training knows it: nothing is fitted by it."""
    protocol = Protocol(**{key: config[key] for key in ("seed", "folds", "accept")})
    return Experiment(
        competition=found.members.competition,
        recipe=Recipe(params=Params, build=_no_model),
        params=Params(),
        loop=LoopOptions(),
        protocol=protocol,
        tables=found.tables,
        folds=found.folds,
        runtime=Runtime(seed=0, device=torch.device("cpu"), cache=workspace.CACHE),
    )


def _no_model(*_: Any) -> None:
    raise GoldfoldError("a blend has no models of its own to build: name one of its runs")


def _fits(members: Members, result: Blend) -> list[Fit]:
    """One for each fold; the test predictions are the blend's alone."""
    fits = []
    for fold in members.folds:
        own = members.of_fold(fold)
        rows, part = members.rows.iloc[own].reset_index(drop=True), result.oof[own]
        chance = {metric.name: float(metric.chance(rows)) for metric in metrics_for(members.competition, part)}
        fits.append(Fit(fold, 0, result.scores[fold], chance, None, [], {}, part, np.empty(0)))
    return fits


def _save(fits: Sequence[Fit], methods: Mapping[str, str], run: Path) -> None:
    """What each fold scored, where a run's fits are."""
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
    level = "warning" if better is False else "note"
    return [Finding("blend_no_better", level, blends.verdict(facts).rstrip("."), "all folds")]
