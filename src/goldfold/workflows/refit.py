"""Refit a run on all training rows, and write a second submission beside that of its folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock

from goldfold.errors import GoldfoldError
from goldfold.experiment import refits, views_and_seeds
from goldfold.experiment.fits import Experiment, Fit
from goldfold.experiment.fits.lessons import NO_FOLD
from goldfold.experiment.identity import manifest
from goldfold.experiment.run_folders import GRADE, REFIT, REFIT_FITS, run_name
from goldfold.experiment.setup import rebuild
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json, write_array
from goldfold.report.plotting import markdown
from goldfold.report.run import hidden_scores
from goldfold.training.averaging import UNIFORM
from goldfold.training.devices import choose_device
from goldfold.trust.audits.code import code_changed
from goldfold.trust.run_audits import of_training
from goldfold.workflows.conclude import add_findings, refuse_exploration, write_record, write_submission

Epochs = int | Literal["median", "same-steps"]


@dataclass(frozen=True, kw_only=True)
class Refit:
    """A run trained again on all rows. It has no score of its own: its CV is that of the run's folds.

    run: its name. epochs: stage -> number of epochs trained; empty without training. submission: path of the CSV.
    """

    run: str
    rows: int
    epochs: Mapping[str, int]
    seeds: tuple[int, ...]
    submission: Path
    text: str

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return markdown.code(self.text)


def refit(
    workspace: Workspace,
    run: Path,
    *,
    epochs: Epochs = "median",
    seeds: Sequence[int] = (),
    with_folds: bool = False,
    device: str | None = None,
    accept: Sequence[str] = (),
) -> Refit:
    """Train a finished run's config on every row that its folds use, and predict the test rows.

    A refit that was interrupted is resumed; a finished one of equal epochs and seed is read.

    epochs: of the last stage: the median of those that the folds selected, the median scaled by rows so that as many
    optimizer steps are made as in a fold (`same-steps`), or a number. seeds: those of the run by default. with_folds:
    the submission combines the fold models and the refits, as the recipe combines fits. accept: codes of findings.

    Raises:
        GoldfoldError: the run is a blend, breaks a rule of its competition, its code or data has changed, its fits are
            gone, or the config trains no such number of epochs.
    """
    prepared = rebuild(workspace, run, choose_device(device), accept)
    experiment = prepared.experiment
    refuse_exploration(run)
    _refuse_started(experiment)
    _refuse_chosen_average(experiment)
    fits = views_and_seeds.load_fits(experiment, run)
    lengths, wanted = _lengths(experiment, fits, epochs), tuple(dict.fromkeys(seeds)) or experiment.protocol.seeds
    (run / REFIT_FITS).mkdir(exist_ok=True)
    with FileLock(run / REFIT_FITS / ".lock"):
        made = _made(workspace, experiment, run, lengths, wanted)
        facts: dict[str, Any] = {
            "rows": len(refits.used_rows(experiment)),
            "epochs": lengths,
            "epochs_by": str(epochs),
            "seeds": list(wanted),
            "with_folds": with_folds,
        }
        members = [fit.test for fit in ([*fits, *made] if with_folds else made)]
        predictions = experiment.recipe.combine(np.stack(members))
        write_array(run / REFIT_FITS / "test.npy", predictions)
        path = workspace.refit_submission_path(run)
        if (run / GRADE).exists():  # the score of an earlier refit is no longer this one's
            manifest.write_value(
                run, GRADE, {key: each for key, each in read_json(run / GRADE, dict).items() if key != "refit"}
            )
        write_submission(experiment, predictions, run, path, {"refit": facts})
        manifest.write_value(run, REFIT, facts)
    write_record(workspace, run)
    found = [of_training(fit, f"refit seed {fit.seed}") for fit in made]
    add_findings(workspace, run, sum(found, code_changed(prepared.code_changes, "refit")))
    told = f"{run_name(run)}: {hidden_scores.refit_facts(facts)}\nsubmission {path}\nrecord {run / 'record.md'}"
    return Refit(run=run_name(run), rows=facts["rows"], epochs=lengths, seeds=wanted, submission=path, text=told)


def _refuse_started(experiment: Experiment) -> None:
    """Refuse a run whose folds started from another run's: all rows together have no such weights."""
    if wanted := experiment.loop.init_from:
        raise GoldfoldError(
            "refit_starts_from_folds",
            f"the fits start from those of '{wanted}' (init_from), and a refit trains on the rows of all folds at "
            f"once: submit the fold models, or refit '{wanted}'",
        )


def _refuse_chosen_average(experiment: Experiment) -> None:
    """Refuse a run whose averaged epochs were chosen by scores: a refit scores no epoch."""
    if (by := experiment.loop.average_by) != UNIFORM:
        raise GoldfoldError(
            "refit_averages_by_scores",
            f"the fits chose the epochs to average by scores (average_by={by}), and a refit holds no row out to score: "
            "submit the fold models, or refit a run with average_by=uniform",
        )


def _lengths(experiment: Experiment, fits: Sequence[Fit], epochs: Epochs) -> dict[str, int]:
    """Stage -> number of epochs to train."""
    if epochs in ("median", "same-steps"):
        return refits.stage_epochs(fits, refits.row_share(experiment, fits) if epochs == "same-steps" else 1)
    found = refits.stage_epochs(fits)
    last = next(reversed(found), None)
    if not isinstance(epochs, int) or last is None:
        what = "it trains nothing by epochs" if last is None else f"EPOCHS is {epochs}"
        raise GoldfoldError(
            "refit_epochs", f"a refit trains median, same-steps or a number of epochs, and {what}: leave EPOCHS out"
        )
    return {**found, last: epochs}


def _made(
    workspace: Workspace, experiment: Experiment, run: Path, lengths: Mapping[str, int], seeds: Sequence[int]
) -> list[Fit]:
    """The refit of each seed, in its own folder."""
    observer, name = workspace.observer, "-".join(map(str, lengths.values()))
    observer.fits_begin(len(seeds), experiment.competition.metric.name)
    made = []
    for seed in seeds:
        place = run / REFIT_FITS / (f"epochs{name}-seed{seed}" if name else f"seed{seed}")
        made.append(refits.refit(experiment, place, seed, lengths, partial(observer.epoch, NO_FOLD, seed)))
        observer.fit_ended(f"refit seed {seed}: {_seconds(made[-1])}")
    observer.close()
    return made


def _seconds(fit: Fit) -> str:
    return f"{sum(row['seconds'] for row in fit.history):.1f} s of training" if fit.history else "no training by epochs"
