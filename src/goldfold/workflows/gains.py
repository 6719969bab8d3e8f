"""Measure what test-time views, seeds and folds together gain a finished run, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldfold.ensemble.gains import PLAIN, gain_of_folds, gain_of_seeds, gain_of_views
from goldfold.errors import unknown
from goldfold.experiment import views_and_seeds
from goldfold.experiment.fits import Experiment, Fit
from goldfold.experiment.identity import manifest
from goldfold.experiment.run_folders import run_name
from goldfold.experiment.setup import rebuild
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json
from goldfold.report.ensemble import gains as report
from goldfold.report.plotting import markdown
from goldfold.submission import writing
from goldfold.training.devices import choose_device
from goldfold.trust.audits.code import code_changed
from goldfold.workflows.conclude import add_findings, submission_of
from goldfold.workflows.delivery.grade import has_hidden_labels, hidden_labels

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, kw_only=True)
class Gains:
    """What views, seeds and folds gain a run, over the scores of one fit with plain images.

    measured: as gains.json in the run's folder has it, by `views`, `seeds` and `folds`; None for what cannot be
    measured, with the reason in `not_measured`.
    picture: the differences with their intervals; None where nothing could be measured.
    """

    run: str
    measured: Mapping[str, Any]
    picture: Path | None

    @property
    def table(self) -> DataFrame:
        """A row per way to predict, as `report.ensemble.gains.table` describes it."""
        return report.table(self.measured)

    @property
    def not_measured(self) -> Mapping[str, str]:
        """`views`, `seeds` or `folds` -> why it cannot be measured."""
        return self.measured["not_measured"]

    @property
    def text(self) -> str:
        lines = report.lines(self.run, self.measured)
        return "\n".join([*lines, f"{self.picture}: the differences with their intervals"] if self.picture else lines)

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return markdown.code(self.text)


def gains(
    workspace: Workspace,
    run: Path,
    views: Sequence[str] | None = None,
    *,
    device: str | None = None,
    accept: Sequence[str] = (),
) -> Gains:
    """Measure what a run gains, and write gains.json and a picture into its folder; nothing is trained.

    views: names of sets of views; all the recipe knows by default. `none` is always among them.

    Raises:
        GoldfoldError: an unknown set of views, weights that are gone, or code or data that changed since.
    """
    found = rebuild(workspace, run, choose_device(device), accept)
    experiment = found.experiment
    metric, known = experiment.competition.metric, views_and_seeds.view_options(experiment)
    for name in views or ():
        if known and name not in known:
            raise unknown("set of views", name, known, code="unknown_views")
    fits = views_and_seeds.load_fits(experiment, run)
    why_not = _not_measured(workspace, experiment, run, fits)
    wanted = [name for name in known if views is None or name in (PLAIN, *views)]
    with closing(workspace.observer):
        measured = {
            "metric": metric.name,
            "higher_is_better": metric.higher_is_better,
            "bounds": list(metric.bounds),
            "views": None if "views" in why_not else gain_of_views(experiment, run, fits, wanted),
            "seeds": None if "seeds" in why_not else gain_of_seeds(experiment, fits),
            "folds": None if "folds" in why_not else _gain_of_folds(workspace, experiment, run, fits),
            "not_measured": why_not,
        }
    manifest.write_value(run, "gains.json", measured)
    picture = run / "gains.png" if any(measured[part] for part in ("views", "seeds", "folds")) else None
    if picture:
        manifest.write(run, picture.name, report.gains(measured))
    add_findings(workspace, run, code_changed(found.code_changes, "gains.json"))
    return Gains(run=run_name(run), measured=measured, picture=picture)


def _not_measured(workspace: Workspace, experiment: Experiment, run: Path, fits: Sequence[Fit]) -> dict[str, str]:
    """What cannot be measured of this run -> why."""
    name, why = run.parent.name, {}
    if not views_and_seeds.views_parameter(experiment):
        why["views"] = "the recipe has no parameter for test-time views, it predicts each row in one way"
    elif fits[0].epoch is None:
        why["views"] = "the fits keep no weights to predict with again: train with other views, and compare the runs"
    if len(experiment.protocol.seeds) == 1:
        why["seeds"] = "the run has one seed a fold: train it with seeds=[0,1] to see what two give together"
    if not has_hidden_labels(workspace, name):
        why["folds"] = f"'{name}' keeps no hidden labels here, and no row is new to all folds: only Kaggle can tell"
    elif any(finding["code"] == "rule_broken" for finding in read_json(run / "findings.json")):
        why["folds"] = f"the run breaks a rule of '{name}': an exploration has no submission"
    elif len(fits) == 1:
        why["folds"] = "the run is one fit, with nothing to combine it with"
    return why


def _gain_of_folds(workspace: Workspace, experiment: Experiment, run: Path, fits: Sequence[Fit]) -> dict[str, Any]:
    sample = experiment.tables.sample_submission
    score, path = hidden_labels(workspace, run.parent.name)
    solution = writing.read(path, sample)

    def grade(some: Sequence[Fit]) -> float:
        return float(score(writing.read_back(submission_of(experiment, some, run), sample), solution))

    return gain_of_folds(experiment, fits, grade)
