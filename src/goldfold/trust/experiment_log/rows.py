"""Rows of the experiment log: each run with the run it is compared with, its differences and its category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.trust import audits
from goldfold.trust.audits import Finding
from goldfold.trust.comparisons import PARTS, Difference, comparable_metrics, difference
from goldfold.trust.experiment_log.changes import Changes, changed_keys, changes
from goldfold.trust.experiment_log.runs import LoggedRun
from goldfold.trust.run_comparison import COMPARED, on_folds
from goldfold.trust.unequal_runs import unequal_budget, unequal_protocols

Pair = tuple[Mapping[str, Any], Mapping[str, Any]]  # summaries of one metric of a run and of another, on shared folds


@dataclass(frozen=True, eq=False, kw_only=True)
class Row:
    """A run in the log.

    reference: the run it is compared with; None for the first. chosen: whether the user chose it. changes, differences
    (metric -> difference to the reference): empty without a reference. unequal: findings on the two. untrained:
    findings if an untrained run of the same recipe and backbone scores as well.
    """

    run: LoggedRun
    reference: LoggedRun | None
    chosen: bool
    changes: Changes | None
    differences: Mapping[str, Difference]
    unequal: Sequence[Finding]
    untrained: Sequence[Finding]
    category: str

    @property
    def changed(self) -> str:
        """What changed against the reference, or what a run without models is made of, in one line."""
        if self.run.imported:
            return f"imported from {', '.join(map(str, self.run.config.get('files', {}).values()))}"
        if self.run.blended:
            return f"blend of {', '.join(map(str, self.run.config.get('runs', ())))}"
        return self.changes.text if self.changes else ""

    @property
    def several(self) -> str:
        """A sentence where a difference has several possible causes; else empty."""
        names = self.changes.names if self.changes else ()
        if len(names) < 2 or self.run.blended or self.run.imported:
            return ""
        told = ", ".join(names)
        return f"{len(names)} changes: the difference cannot be attributed to one of them ({told})"


def rows_of(runs: Sequence[LoggedRun]) -> list[Row]:
    """A row per run, in the order of `runs`, which is that of their starts."""
    return [row_of(run, runs) for run in runs]


def row_of(run: LoggedRun, runs: Sequence[LoggedRun]) -> Row:
    """The row of one of the runs, compared with the run that the user chose, else with an earlier one."""
    chosen = next((each for each in runs if each.name == run.remarks.against and paired(run, each)), None)
    reference = chosen or nearest(run, runs)
    found = changes(reference, run) if reference else None
    pairs = paired(run, reference) if reference else {}
    return Row(
        run=run,
        reference=reference,
        chosen=chosen is not None,
        changes=found,
        differences={metric: difference(own, other) for metric, (own, other) in pairs.items()},
        unequal=_unequal(run, reference) if reference else (),
        untrained=_below_untrained(run, runs),
        category=_category(run, found),
    )


def nearest(run: LoggedRun, runs: Sequence[LoggedRun]) -> LoggedRun | None:
    """The earlier run that can be paired with `run` and differs in the fewest config keys, the newest of equals.

    For a blend it is the best of its runs. Other runs are not compared with blends and imported predictions.
    """
    before = [each for each in runs[: runs.index(run)] if not each.blended][::-1]
    if not run.blended:
        before = [each for each in before if not each.imported]
    if run.blended:
        own = [each for each in before if each.name in run.config.get("runs", ())]
        return best_of([each for each in own if paired(run, each)], run.metric)
    before.sort(key=lambda other: len(changed_keys(other, run)))  # stable: the newest first
    return next((other for other in before if paired(run, other)), None)


def best_of(runs: Sequence[LoggedRun], metric: str) -> LoggedRun | None:
    """The run with the best mean of a metric; the first of equals."""
    return max(runs, key=lambda run: sign(run.metrics[metric]) * run.metrics[metric]["mean"], default=None)


def sign(summary: Mapping[str, Any]) -> int:
    """1 if higher scores are better, else -1."""
    return 1 if summary["higher_is_better"] else -1


def paired(run: LoggedRun, other: LoggedRun) -> dict[str, Pair]:
    """The metrics of two runs on the folds that both scored; empty if they cannot be compared.

    They cannot if `make compare` refuses them for their folds, metrics or protocols, or since only one of them has an
    epoch that was selected by the compared score.
    """
    try:
        check_pair(run, other)
    except GoldfoldError:
        return {}
    folds = [fold for fold in other.metrics[run.metric]["folds"] if fold in run.metrics[run.metric]["folds"]]
    return {
        metric: (
            on_folds(run.folder, metric, own, folds),
            on_folds(other.folder, metric, other.metrics[metric], folds),
        )
        for metric, own in run.metrics.items()
        if metric in other.metrics
    }


def check_pair(run: LoggedRun, other: LoggedRun) -> None:
    """Raise the GoldfoldError by which two runs cannot be compared; see `paired`."""
    both = (other, run)
    comparable_metrics([each.name for each in both], [each.metrics for each in both], [e.drawn for e in both], PARTS)
    audits.refuse_errors(_unequal_protocols(run, other), ())


def _unequal_protocols(run: LoggedRun, other: LoggedRun) -> list[Finding]:
    summaries = {each.name: each.metrics[run.metric] for each in (other, run)}
    return unequal_protocols(
        {name: own["protocol"] for name, own in summaries.items()},
        {name: own["folds"] for name, own in summaries.items()},
    )


def _unequal(run: LoggedRun, reference: LoggedRun) -> list[Finding]:
    """Findings on the two runs but those of data and code, which `Changes` has."""
    both = (reference, run)
    spent = {each.name: {key: each.budget[key] for key in COMPARED} for each in both}
    recipes = {each.name: str(each.config.get("recipe")) for each in both}
    return [*unequal_budget(spent, recipes), *_unequal_protocols(run, reference)]


def _below_untrained(run: LoggedRun, runs: Sequence[LoggedRun]) -> list[Finding]:
    alike = [each for each in runs if each.untrained and each.backbone == run.backbone]
    alike = [each for each in alike if each.config.get("recipe") == run.config.get("recipe")]
    pairs = {each.name: pair[run.metric] for each in alike if not run.untrained and (pair := paired(run, each))}
    return [
        finding
        for name, (own, other) in pairs.items()
        for finding in audits.below_untrained(run.name, own, {name: other})
    ]


def _category(run: LoggedRun, found: Changes | None) -> str:
    """The kind of experiment, computed from what changed."""
    if run.blended:
        return "ensemble"
    if run.imported:
        return "imported"
    if run.picked:
        return "picked epoch"
    if found is None or run.untrained or run.as_chance:
        return "baseline"
    if len(found.keys) == 1 and len(found.names) == 1:
        return "ablation"
    if len(found.names) > 1:
        return "several changes"
    if found.data:
        return "other data"
    return "environment" if found.code or found.environment else "repeat"
