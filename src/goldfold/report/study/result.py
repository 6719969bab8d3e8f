"""The result of `tune` as a value: the study's trials, the best one, and its re-evaluation on newly drawn folds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldfold.io.formatting import number as score
from goldfold.io.formatting import signed, signed_interval
from goldfold.report.plotting import markdown
from goldfold.report.study.numbers import Facts, Reestimate, top
from goldfold.tuning.trials import TrialRecord

if TYPE_CHECKING:
    from pandas import DataFrame

RECORD = "record.md"


@dataclass(frozen=True, repr=False)
class StudyResult:
    """A tuning study after `tune`; a table of the best trials when printed and in Jupyter.

    facts: the study's trials and what they are measured by. folder: runs/<competition>/studies/<study>. wanted: trials
    the study was asked for. concluded: whether all of them ended, or time was up, so that the best trial was
    re-evaluated and its config written. config_path: that config; None if trial 0, the config itself, is the best.
    """

    facts: Facts
    folder: Path
    wanted: int
    concluded: bool
    config_path: Path | None = None

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def competition(self) -> str:
        return self.facts.competition

    @property
    def trials(self) -> DataFrame:
        """A row per trial: state, value (mean over folds), parameters, scores of folds, reason, fits, times, worker."""
        import pandas as pd

        return pd.DataFrame([self._row(trial) for trial in self.facts.trials]).rename_axis("trial")

    @property
    def best_trial(self) -> int | None:
        """The number of the complete trial with the best value; 0 is the config itself."""
        return self.facts.winner.number if self.facts.winner else None

    @property
    def best_params(self) -> dict[str, Any] | None:
        """The searched parameters of the best trial; None if no trial is complete."""
        return dict(self.facts.winner.params) if self.facts.winner else None

    @property
    def best_value(self) -> float | None:
        """The best trial's mean over the study's folds: optimistic, since it was selected on them."""
        return self.facts.winner.value if self.facts.winner else None

    @property
    def reestimate(self) -> Reestimate | None:
        """Scores of the best trial and of trial 0 on newly drawn folds: `score`, `baseline_score`, `gain`.

        None if trial 0 is the best, no folds were drawn, or trials are missing.
        """
        return self.facts.reestimate

    @property
    def record(self) -> str:
        """The text of record.md."""
        return (self.folder / RECORD).read_text(encoding="utf-8")

    @property
    def pictures(self) -> list[Path]:
        return sorted(self.folder.glob("*.png"))

    @property
    def text(self) -> str:
        """The best trials, the re-evaluation, and where config and record are."""
        ended = len(self.facts.trials) - len(self.facts.of("running"))
        lines = top(self.facts)
        if ended < self.wanted:
            lines = [f"{ended} of {self.wanted} trials ended; run the same command again to resume", *lines]
        lines += [f"warning  code_changed: {self.facts.code_warning}"] if self.facts.code_changes else []
        lines += [self._reestimated(self.reestimate)] if self.reestimate else []
        lines += [self._config()] if self.concluded and self.facts.winner else []
        return "\n".join([*lines, f"record {self.folder / RECORD}"])

    def _reestimated(self, found: Reestimate) -> str:
        return (
            f"trial {self.best_trial} on newly drawn folds: {self.facts.metric} {score(found.score)} "
            f"({score(found.study)} in the study), {signed(found.gain.mean)} {signed_interval(found.gain.interval)} "
            "against the config"
        )

    def _config(self) -> str:
        if self.config_path is None:
            return "no trial is better than the config (trial 0), so no config was written"
        if self.config_path.parent == self.folder:
            return f"config {self.config_path}, not in configs/, since {self.config_path.name} there was edited by hand"
        return f"config {self.config_path}: make train COMP={self.competition} CONFIG={self.config_path.stem}"

    def _row(self, trial: TrialRecord) -> dict[str, Any]:
        return {
            "state": trial.state,
            "value": trial.value,
            **{key: trial.params.get(key) for key in self.facts.space},
            **{f"fold_{fold}": trial.folds.get(fold) for fold in sorted(self.facts.order)},
            **{name: getattr(trial, name) for name in ("reason", "fits", "started", "ended", "worker")},
        }

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        best = "none complete" if self.best_value is None else f"best {self.facts.metric} {score(self.best_value)}"
        return f"StudyResult({self.competition}/{self.name}, trials: {self.facts.states}, {best})"

    def _repr_markdown_(self) -> str:
        return markdown.code(self.text)
