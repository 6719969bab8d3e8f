"""Blend runs: weights and method chosen on out-of-fold predictions, scored nested, concluded as a run of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from goldfold.ensemble import blending
from goldfold.ensemble.blending import Blend, Members, MethodResult
from goldfold.ensemble.facts import blend_facts
from goldfold.ensemble.fixed_weights import FixedWeights, blended_test, fixed_weights, read_test_files
from goldfold.ensemble.members import Gathered, gathered
from goldfold.ensemble.methods import METHODS, Method
from goldfold.ensemble.names import ALIASES, FIXED
from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment import run_folders as runs
from goldfold.experiment.cross_validation import Outcome, combine_fits
from goldfold.experiment.fits import Experiment, Fit, Protocol
from goldfold.experiment.identity import fingerprint
from goldfold.experiment.identity import provenance as records
from goldfold.experiment.predictions import as_run
from goldfold.experiment.predictions.reading import is_file_name
from goldfold.experiment.run_folders import BLEND
from goldfold.experiment.setup import sources
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json, write_bytes, write_json, write_text
from goldfold.io.progress import Observer
from goldfold.report.ensemble import blend_pictures, blends
from goldfold.trust.audits import Check, Finding, Level, made
from goldfold.trust.audits.imported.members import unscored_members
from goldfold.trust.comparisons import blend_protocol
from goldfold.workflows.conclude import conclude

NAME = "blend"  # of config and recipe
ALL = "all"  # methods


def blend(
    workspace: Workspace,
    names: Sequence[str],
    method: str | None = None,
    weights: Sequence[str | float] | None = None,
) -> Path:
    """Blend runs by one method, or by the best of all, or by given weights; returns the folder of the run it makes.

    names: of runs; with weights also files of test predictions. weights: one for each of the names.

    Raises:
        GoldfoldError: the runs cannot be blended, or no method fits their predictions.
    """
    if method not in (None, *METHODS, *ALIASES):
        raise unknown("method to blend by", str(method), [*METHODS, *ALIASES], code="unknown_method")
    if weights is None:
        return _by_methods(workspace, names, method)
    if method is not None:
        raise GoldfoldError("weights_invalid", f"METHOD={method} finds weights, and WEIGHTS gives them: leave one out")
    return _by_weights(workspace, fixed_weights(names, weights))


def _by_methods(workspace: Workspace, names: Sequence[str], method: str | None) -> Path:
    files = [name for name in names if is_file_name(name)]
    if files:
        raise GoldfoldError(
            "weights_invalid",
            f"{files[0]} has no out-of-fold predictions to find weights by: give WEIGHTS, one for each of RUNS, or "
            "import it with make import-run",
        )
    found = gathered(workspace, [runs.open_run(workspace, name) for name in names])
    own = ALIASES.get(str(method), method)
    config = _config(found, own)
    with _started(workspace, found, config) as run:
        chosen = {own: METHODS[own]} if own else METHODS
        trials, left_out = _tried(found.members, chosen, workspace.observer)
        result = blending.choose_blend(found.members, trials)
        facts = blend_facts(found.members, trials, result, own is not None, left_out)
        facts |= {"asked": method} if method != own else {}
        _conclude(workspace, found, result, facts, run)
    return run


def _by_weights(workspace: Workspace, fixed: FixedWeights) -> Path:
    """The blend by given weights, of which files are members, too; it is scored with those of the runs."""
    found = gathered(workspace, [runs.open_run(workspace, name) for name in fixed.runs], 2 - bool(fixed.files))
    files = read_test_files(fixed.files, found.members.competition, found.tables)
    config = _config(found, FIXED) | {"weights": fixed.shares.tolist()}
    config |= {"files": {each.name: each.sha256 for each in files}} if files else {}
    with _started(workspace, found, config) as run:
        trials, left_out = _tried(found.members, {FIXED: fixed.method()}, workspace.observer)
        result = blending.choose_blend(found.members, trials)
        result = replace(result, test=blended_test(fixed, found.members, files))
        facts = blend_facts(found.members, trials, result, True, left_out)
        _conclude(workspace, found, result, facts | ({"files": fixed.of_files} if files else {}), run)
    return run


def _conclude(workspace: Workspace, found: Gathered, result: Blend, facts: Mapping[str, Any], run: Path) -> None:
    """Conclude the run of a blend."""
    write_json(run / BLEND, facts)
    write_bytes(run / "blend.png", blend_pictures.blend(facts))
    config = read_json(run / "config.json", dict)
    protocol = Protocol(**{key: config[key] for key in ("seed", "folds", "accept")})
    experiment = as_run.experiment_of(found.members.competition, found.tables, found.folds, protocol, workspace.cache)
    experiment = replace(experiment, decide=config.get("decide", {}))
    fits = _fits(experiment, found.members, result)
    as_run.save_scores(fits, run, {int(fold): {"method": name} for fold, name in facts["by_fold"].items()})
    conclude(workspace, experiment, fits, run, _checks(found, facts), _outcome(found, experiment, fits, result))


def _checks(found: Gathered, facts: Mapping[str, Any]) -> list[Check]:
    """What was looked at before the blend was scored; what refuses it would have raised an error by now."""
    better = _no_better(facts)
    codes = list(dict.fromkeys(finding.code for finding in found.findings))
    return [
        made("what was found in the runs it is made of, repeated with their names", codes, found.findings),
        made("data, folds and protocols of the runs against each other", [], []),
        made("the blend against the best single run", ["blend_no_better"], better),
        made("members without out-of-fold predictions", ["unscored_member"], unscored_members(facts.get("files", {}))),
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


def _tried(
    members: Members, methods: Mapping[str, Method], observer: Observer
) -> tuple[list[MethodResult], dict[str, str]]:
    """The result of each method, and why methods were left out."""
    found: dict[str, MethodResult | str] = {}
    observer.work("methods", 0, len(methods))
    for name, each in blending.evaluate_methods(members, methods):
        found[name] = each
        observer.work("methods", len(found), len(methods))
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


def _fits(experiment: Experiment, members: Members, result: Blend) -> list[Fit]:
    """One for each fold."""
    return [
        as_run.fit_of(experiment, fold, result.oof[members.of_fold(fold)], result.scores[fold])
        for fold in members.folds
    ]


def _outcome(found: Gathered, experiment: Experiment, fits: Sequence[Fit], result: Blend) -> Outcome:
    whole = combine_fits(experiment, fits)
    for metric, summary in whole.metrics.items():
        first = found.metrics[0].get(metric, summary)
        summary["protocol"] = blend_protocol(first["protocol"], len(found.members.names))
    return replace(whole, test=result.test)


def _no_better(facts: Mapping[str, Any]) -> list[Finding]:
    better = blends.beats(facts)
    if better or len(facts["runs"]) < 2:  # of one run alone, with files that nothing scores, there is nothing to tell
        return []
    level: Level = "warning" if better is False else "note"
    return [Finding("blend_no_better", level, blends.verdict(facts).rstrip("."), "all folds")]
