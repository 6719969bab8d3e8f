"""The experiment log of a competition: its rows and how the remarks on them stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldfold.experiment.workspace import Workspace
from goldfold.trust.audits import Finding
from goldfold.trust.experiment_log.rows import Row, rows_of
from goldfold.trust.experiment_log.runs import LoggedRun, read_runs, with_remarks
from goldfold.trust.experiment_log.standing import Standing, findings, standings


@dataclass(frozen=True)
class Entry:
    """A row and how the texts of its run stand against the table."""

    row: Row
    standings: Sequence[Standing]

    @property
    def findings(self) -> list[Finding]:
        """Findings on the texts that the table refutes."""
        return findings(self.row.run.name, self.standings)

    def standing(self, field: str) -> Standing | None:
        """That of one field of the remarks; None if it is empty."""
        return next((each for each in self.standings if each.field == field), None)


@dataclass(frozen=True)
class Log:
    """Entries, the oldest run first. left_out: run -> why it has none: it is not finished, or damaged."""

    entries: Sequence[Entry]
    left_out: Mapping[str, str]

    @property
    def runs(self) -> list[LoggedRun]:
        """Every run that has a row, the oldest first."""
        return [entry.row.run for entry in self.entries]

    @property
    def metrics(self) -> list[str]:
        """Every metric that a run has, the newest run's ranking metric first."""
        return list(dict.fromkeys(metric for entry in self.entries[::-1] for metric in entry.row.run.metrics))


def read_log(
    workspace: Workspace, competition: str, changed: Path | None = None, fields: Mapping[str, str] | None = None
) -> Log:
    """Read the log of a competition; with `fields` as if they had been remarked on the run `changed`."""
    runs, left_out = read_runs(workspace, competition)
    if changed is not None and fields:
        runs = with_remarks(runs, changed, fields)
    return Log([Entry(row, standings(row, runs)) for row in rows_of(runs)], left_out)
