"""Audit a finished run again: its data and folds, its fits and scores, and its predictions in other batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from goldfold.experiment.cross_validation import combine_fits
from goldfold.experiment.decisions import nested
from goldfold.experiment.run_folders import run_name
from goldfold.experiment.setup import rebuild
from goldfold.experiment.views_and_seeds import load_fits
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json
from goldfold.training.devices import choose_device
from goldfold.trust.audits import made
from goldfold.trust.audits.code import code_changed
from goldfold.trust.data_audits import MOST_COMPARED, of_data
from goldfold.trust.run_audits import after_training
from goldfold.trust.run_checks import batch_dependence, of_decision, of_run
from goldfold.workflows.audit.data import cached_features
from goldfold.workflows.audit.result import Audit
from goldfold.workflows.conclude import among_runs, finished_beside


def audit_run(workspace: Workspace, run: Path, *, device: str | None = None, accept: Sequence[str] = ()) -> Audit:
    """Make every audit of a finished run with the audits of today; the run and its record stay as they are.

    accept: codes of findings that do not count as errors, beside those of the run's config.

    Raises:
        GoldfoldError: the run is a blend; its data or folds changed; or its code did and that is not accepted.
    """
    found = rebuild(workspace, run, choose_device(device), accept)
    experiment = found.experiment
    fits = load_fits(experiment, run)
    whole = combine_fits(experiment, fits)
    others = finished_beside(run)
    after = after_training(experiment, fits, whole, runs=len(others) + 1)
    changes = (*read_json(run / "reproduce.json").get("code_changes", ()), *found.code_changes)
    checks = [
        *of_data(found, MOST_COMPARED),
        cached_features(workspace.cache, found.contents[0].tolist(), "path" in experiment.tables.train),
        made("changes of the code since the run was started", ["code_changed"], code_changed(changes, "all folds")),
        *of_run(experiment, fits, whole, after),
        of_decision(nested.facts(experiment, whole)),
        made("the lead of the best of many runs", ["best_of_runs"], among_runs(run, others)),
        batch_dependence(experiment, run, fits[0]),
    ]
    workspace.observer.close()
    return Audit(name=run_name(run), checks=tuple(checks), accepted=(*experiment.protocol.accept, *accept))
