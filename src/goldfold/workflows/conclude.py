"""Conclude a run after its last fit: predictions, metrics, findings, submission, pictures and the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.data import csv_tables
from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment.cross_validation import Outcome, combine_fits
from goldfold.experiment.decisions import label_thresholds, nested
from goldfold.experiment.decisions.use import for_writer
from goldfold.experiment.failures import carried_out
from goldfold.experiment.fits import Experiment, Fit
from goldfold.experiment.identity import intact, manifest
from goldfold.experiment.run_folders import BLEND, DECISIONS, FINISHED, IMPORTED, THRESHOLDS, run_name
from goldfold.experiment.workspace import Workspace
from goldfold.io import clock
from goldfold.io.clock import CLOCK
from goldfold.io.files import read_json, write_array, write_json, write_text
from goldfold.report.run.draw import draw
from goldfold.report.run.record import record
from goldfold.submission import writing
from goldfold.trust import audits
from goldfold.trust.audits import Check, Finding, made
from goldfold.trust.run_audits import after_training
from goldfold.trust.run_checks import NOT_IN_TRAINING, WITHOUT_MODELS, of_decision, of_run

if TYPE_CHECKING:
    from pandas import DataFrame

CHECKS = "checks.json"  # what the audits looked at, with the codes, and why not at the rest


def conclude(
    workspace: Workspace,
    experiment: Experiment,
    fits: Sequence[Fit],
    run: Path,
    checks: Sequence[Check],
    whole: Outcome | None = None,
    ready: DataFrame | None = None,
) -> None:
    """Write everything a finished run holds, the record last.

    checks: from before the fits. whole: what the fits add up to, if it is not the recipe's combination of them. ready:
        a checked submission, if it is not to be written from the test predictions, of which there may be none then.

    Raises:
        GoldfoldError: a finding is an error that the config does not accept, or the submission is not valid.
    """
    with CLOCK.phase("intervals"):
        whole = whole or combine_fits(experiment, fits)
    with CLOCK.phase("decisions"):
        decided = nested.facts(experiment, whole)
    with CLOCK.phase("record"):
        _save(experiment, whole, decided, run)
    with CLOCK.phase("audits"):
        finished = finished_beside(run)
        after = after_training(experiment, fits, whole, runs=len(finished) + 1)
        best = made("the lead of the best of many runs", ["best_of_runs"], among_runs(run, finished))
        checks = [*checks, *of_run(experiment, fits, whole, after), of_decision(decided), best]
    findings = audits.findings_of(checks)
    write_json(run / "findings.json", [vars(finding) for finding in findings])
    models = not ((run / BLEND).exists() or (run / IMPORTED).exists())
    write_json(run / CHECKS, _looked_at([*checks, NOT_IN_TRAINING if models else WITHOUT_MODELS]))
    audits.refuse_errors(findings, experiment.protocol.accept)
    if not any(finding.code == "rule_broken" for finding in findings):
        with CLOCK.phase("record"):
            write_submission(experiment, whole.test, run, workspace.submission_path(run), {}, ready)
    with CLOCK.phase("pictures"):
        draw(experiment, fits, whole, run)
    with CLOCK.phase("record"):
        manifest.write_manifest(run)
    manifest.write_value(run, clock.FILE, CLOCK.take())
    write_record(workspace, run)


def finished_beside(run: Path) -> list[Path]:
    """The other finished runs of the competition that can be read."""
    others = [each for each in run.parent.iterdir() if each != run and (each / FINISHED).exists()]
    return [each for each in others if not intact.fault(each)]


def among_runs(run: Path, others: Sequence[Path]) -> list[Finding]:
    """Whether a run is the best of many with its folds and protocol."""
    metric, own = next(iter(read_json(run / "metrics.json").items()))
    folds = (run / "folds.csv").read_bytes()
    drawn_alike = [each for each in others if (each / "folds.csv").read_bytes() == folds]
    scored = [read_json(each / "metrics.json").get(metric, {}) for each in drawn_alike]
    alike = [
        each["folds"]
        for each in scored
        if each.get("protocol") == own["protocol"] and each["folds"].keys() == own["folds"].keys()
    ]
    share = own["validation_per_training_row"]
    return audits.best_of_runs(metric, own["folds"], alike, own["higher_is_better"], share)


def add_findings(workspace: Workspace, run: Path, findings: Sequence[Finding]) -> None:
    """Add findings to a finished run and its record; a finding of equal code and place is replaced."""
    if not findings:
        return
    places = {(finding.code, finding.where) for finding in findings}
    before = [each for each in read_json(run / "findings.json") if (each["code"], each["where"]) not in places]
    manifest.write_value(run, "findings.json", before + [vars(finding) for finding in findings])
    write_record(workspace, run)


def remove_findings(run: Path, code: str, where: str) -> None:
    """Remove the findings of a code and place from a finished run, before they are looked for again."""
    before = read_json(run / "findings.json")
    kept = [each for each in before if (each["code"], each["where"]) != (code, where)]
    if kept != before:
        manifest.write_value(run, "findings.json", kept)


def write_record(workspace: Workspace, run: Path) -> None:
    """Write the page of a run whose other files are there."""
    config = read_json(run / "config.json")
    if (run / BLEND).exists() or (run / IMPORTED).exists():
        defaults = {**config, "runs": None, "method": "all", "weights": None, "files": None}
    else:
        recipes = workspace.competition(run.parent.name).recipes
        defaults = configs.resolve_config(config["config"], {"recipe": config["recipe"]}, recipes).resolved()
    csv = workspace.submission_path(run)
    checks = read_json(run / CHECKS) if (run / CHECKS).exists() else []  # runs of older versions have none
    text = record(
        run,
        defaults=defaults,
        checked=[each["what"] for each in checks if not each["skipped"]],
        not_checked=_by_reason(checks),
        submission=str(csv) if csv.exists() else None,
    )
    manifest.write(run, FINISHED, text.encode("utf-8"))


def _by_reason(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was not checked, with the reason once for all that have it."""
    reasons: dict[str, list[str]] = {}
    for each in checks:
        if each["skipped"]:
            reasons.setdefault(each["skipped"], []).append(each["what"])
    return [f"{', '.join(what)} ({reason})" for reason, what in reasons.items()]


def _looked_at(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """The checks as JSON, without their findings."""
    return [{"what": each.what, "codes": list(each.codes), "skipped": each.skipped} for each in checks]


def submission_of(experiment: Experiment, fits: Sequence[Fit], run: Path | None = None) -> DataFrame:
    """The checked submission of some fits. run: finished, by whose decisions it is made if its config has `decide:`."""
    tests = np.stack([fit.test for fit in fits])
    combined = carried_out(experiment.competition.slug, experiment.recipe.combine, tests)
    if run is not None and experiment.decide:
        written = for_writer(experiment.competition, run, experiment.tables.test, combined)
    else:
        written = label_thresholds.for_submission(experiment, fits, combined)
    return _checked_submission(experiment, written)


def _save(experiment: Experiment, whole: Outcome, decided: Mapping[str, Any], run: Path) -> None:
    """Out-of-fold and test predictions with their ids, the metrics, decisions, and thresholds of several labels."""
    train, test = experiment.tables.train, experiment.tables.test
    write_array(run / "oof.npy", whole.oof)
    write_text(run / "oof_ids.csv", csv_tables.to_text(train[["id"]].iloc[whole.rows]))
    if len(whole.test):  # a ready submission alone tells no predictions
        write_array(run / "test.npy", whole.test)
        write_text(run / "test_ids.csv", csv_tables.to_text(test[["id"]]))
    write_json(run / "metrics.json", nested.beside(whole.metrics, decided))
    if decided:
        write_json(run / DECISIONS, decided)
    if facts := label_thresholds.facts(experiment, whole):
        write_json(run / THRESHOLDS, facts)


def _checked_submission(experiment: Experiment, predictions: np.ndarray) -> DataFrame:
    submission, data = experiment.competition.submission, experiment.tables
    frame = carried_out(experiment.competition.slug, submission.write, data.test, predictions)
    writing.check(frame, data.sample_submission, data.test, submission)
    return frame


def refuse_exploration(run: Path) -> None:
    """Refuse a run that breaks a rule of its competition (`exploration`)."""
    if any(finding["code"] == "rule_broken" for finding in read_json(run / "findings.json")):
        raise GoldfoldError(
            "exploration", f"run '{run.name}' breaks a rule of '{run.parent.name}': an exploration has no submission"
        )


def write_submission(
    experiment: Experiment,
    predictions: np.ndarray,
    run: Path,
    path: Path,
    facts: Mapping[str, Any],
    ready: DataFrame | None = None,
) -> None:
    """Write a checked submission of a run whose metrics are written, with its provenance.

    predictions: of the test rows. facts: more of the provenance. ready: the submission, if it is not to be made of the
        predictions.

    Raises:
        GoldfoldError: the submission is not valid.
    """
    competition = experiment.competition
    if ready is None:
        predictions = for_writer(competition, run, experiment.tables.test, predictions)
    frame = _checked_submission(experiment, predictions) if ready is None else ready
    own = read_json(run / "metrics.json")[competition.metric.name]
    decided = {"decided": own["decided"]} if "decided" in own else {}
    provenance: dict[str, Any] = {
        "competition": competition.slug,
        "run": run_name(run),
        "cv": {key: own[key] for key in ("protocol", "mean", "sd_ddof1", "n", "chance")} | decided,
        "identity": read_json(run / "reproduce.json")["identity"],
        "test_rows": len(experiment.tables.test),
    }
    writing.write(frame, path, {**provenance, **facts})
