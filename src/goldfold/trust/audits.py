"""Audits: pure functions from recorded facts to findings, so that a wrong conclusion is not drawn unwarned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    from pandas import Series

    from goldfold.competition import Fold

Level = Literal["note", "warning", "error"]
ANNEALED = 0.1  # a schedule that falls is expected to end at or below this share of its peak
SWINGS = 2  # local minima of a learning rate beyond which its period was hardly meant


@dataclass(frozen=True)
class Finding:
    """Something a reader of the score must know. An error stops the run unless the config accepts its code."""

    code: str
    level: Level
    message: str
    where: str


def shared_rows(folds: Sequence[Fold]) -> list[Finding]:
    """Rows that are in both halves of a fold."""
    findings = []
    for number, fold in enumerate(folds):
        both = np.intersect1d(fold.train, fold.validation)
        if len(both):
            message = f"{len(both)} rows are trained on and scored, first at position {both[0]}: mend split()"
            findings.append(Finding("shared_rows", "error", message, f"fold {number}"))
    return findings


def shared_groups(folds: Sequence[Fold], groups: Series) -> list[Finding]:
    """Groups (people, recordings) that have rows in both halves of a fold."""
    findings = []
    for number, fold in enumerate(folds):
        both = set(groups.iloc[fold.train]) & set(groups.iloc[fold.validation])
        if both:
            message = (
                f"{len(both)} values of '{groups.name}' are on both sides, such as {min(both, key=str)!r}: "
                "split with goldfold.splits.grouped or stratified_grouped"
            )
            findings.append(Finding("shared_groups", "error", message, f"fold {number}"))
    return findings


def shared_contents(folds: Sequence[Fold], contents: Series, ids: Series, files: bool = True) -> list[Finding]:
    """Different ids with identical content on both sides of a fold: copies, where the content is a file's.

    Rows of a table with few values may be equal without being copies: a note.
    """
    findings = []
    for number, fold in enumerate(folds):
        seen = dict(zip(contents.iloc[fold.train], ids.iloc[fold.train], strict=True))
        copies = [
            (row, seen[content])
            for row, content in zip(ids.iloc[fold.validation], contents.iloc[fold.validation], strict=True)
            if content in seen
        ]
        if copies:
            row, twin = copies[0]
            how = "copies of" if files else "equal to"
            step = "drop the copies in load(), or group by content" if files else "if they are copies, group by content"
            message = (
                f"{len(copies)} of {len(fold.validation)} scored samples are {how} trained ones, first id {row!r} "
                f"like {twin!r}: {step}"
            )
            findings.append(Finding("shared_contents", "warning" if files else "note", message, f"fold {number}"))
    return findings


def copies_in_test(train_contents: Series, train_ids: Series, test_contents: Series, test_ids: Series) -> list[Finding]:
    """Test samples that are copies of training samples: their leaderboard score says little about new ones."""
    seen = dict(zip(train_contents, train_ids, strict=True))
    copies = [(row, seen[c]) for row, c in zip(test_ids, test_contents, strict=True) if c in seen]
    if not copies:
        return []
    row, twin = copies[0]
    message = f"{len(copies)} of {len(test_ids)} test samples are copies of training ones, first {row!r} like {twin!r}"
    return [Finding("copies_in_test", "warning", message, "test")]


def stale_data(name: str) -> list[Finding]:
    """The data was prepared by another data.py than the one there is now."""
    message = f"data.py has changed since it prepared these rows: make prepare COMP={name} prepares them again"
    return [Finding("stale_data", "warning", message, "data")]


def orphan_parameters(facts: Mapping[str, Any], where: str) -> list[Finding]:
    """Trainable parameters that no stage's optimizer holds, or that no loss reaches: they stay as they were drawn."""
    held = {name for stage in facts.values() for name in stage["held"]}
    orphans = sorted({name for stage in facts.values() for name in stage["trainable"]} - held)
    findings = []
    if orphans:
        message = f"{_some(orphans)} can be trained and are in no optimizer: hand them to one, or freeze them"
        findings.append(Finding("orphan_parameter", "warning", message, where))
    for name, stage in facts.items():
        if stage.get("without_gradient"):
            message = (
                f"{_some(stage['without_gradient'])} got no gradient: no loss reaches them, so they are not learned"
            )
            findings.append(Finding("no_gradient", "warning", message, f"{where}, stage {name}"))
    return findings


def dead_loss_terms(history: Sequence[Mapping[str, Any]], where: str) -> list[Finding]:
    """Loss terms that change the loss and move nothing: an error without any gradient, a warning where it is 0."""
    norms: dict[tuple[str, str], list[float | None]] = {}
    for row in history:
        for term, norm in row["gradient_norm"].items():
            norms.setdefault((row["stage"], term), []).append(norm)
    findings = []
    for (stage, term), seen in norms.items():
        if not any(seen):
            how = "no gradient" if set(seen) == {None} else "a gradient of 0 in every epoch"
            message = f"loss term '{term}' has {how} on what is trained: it moves nothing, remove it or mend its input"
            level = "error" if set(seen) == {None} else "warning"
            findings.append(Finding("dead_loss_term", level, message, f"{where}, stage {stage}"))
    return findings


def learning_rates(facts: Mapping[str, Any], where: str) -> list[Finding]:
    """Rates that left what was configured: groups lifted to one peak, anneals cut short, schedules that swing."""
    findings = []
    for stage, noted in facts.items():
        rates, place = noted["rates"], f"{where}, stage {stage}"
        for group, configured in enumerate(rates["configured"] if rates["final"] else ()):
            peak, minima = rates["peak"][group], rates["minima"][group]
            final = min(rates["final"][group], rates["left"][group])
            told = f"group {group}, configured {configured:.3g}: peak {peak:.3g}, final {final:.3g}"
            if peak > configured * 1.01:
                message = f"{told}: the schedule lifted it above its own rate (a scalar max_lr does): give a list"
                findings.append(Finding("lr_per_group", "warning", message, place))
            if minima >= SWINGS:
                message = f"{told}: it fell and rose {minima} times (a schedule in epochs stepped per batch does)"
                findings.append(Finding("lr_swings", "warning", message, place))
            elif peak * ANNEALED * 1.0001 < final < peak * 0.9999:
                message = (
                    f"{told}: the anneal ended at {final / peak:.0%} of its peak, so it was planned for another length"
                )
                findings.append(Finding("schedule_not_finished", "warning", message, place))
    return findings


def worse_than_chance(name: str, summary: Mapping[str, Any]) -> list[Finding]:
    """A score no better than knowing nothing: below chance, or with chance inside its interval over folds."""
    chance, mean, sign = summary["chance"], summary["mean"], 1 if summary["higher_is_better"] else -1
    if sign * (mean - chance) <= 0:
        message = f"{name} {mean:.4f} is no better than chance, {chance:.4f}: look for swapped labels or no training"
        return [Finding("worse_than_chance", "warning", message, "all folds")]
    interval = summary["interval_95_t"]
    if interval and interval[0] <= chance <= interval[1]:
        message = (
            f"{name} {mean:.4f} cannot be told from the chance level {chance:.4f}: the interval over folds is "
            f"[{interval[0]:.4f}, {interval[1]:.4f}]"
        )
        return [Finding("at_chance", "warning", message, "all folds")]
    return []


def selected_on_scored_fold(histories: Iterable[Sequence[Mapping[str, Any]]], higher_is_better: bool) -> list[Finding]:
    """The best epoch was chosen on the very fold that is scored: says by how much that flatters."""
    gains = []
    for history in histories:
        scores = [
            row["metric"] for row in history if row["stage"] == history[-1]["stage"] and row["metric"] is not None
        ]
        if scores:
            gains.append((max(scores) - scores[-1]) if higher_is_better else (scores[-1] - min(scores)))
    if not gains:
        return []
    message = (
        f"each fold's epoch was chosen by the score it is given; the last epochs read {np.mean(gains):.4f} worse on "
        "average: quote select: last, or a hold-out score"
    )
    return [Finding("selected_on_scored_fold", "note", message, "all folds")]


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Equal findings of several folds as one, with all the places."""
    places: dict[tuple[str, Level, str], list[str]] = {}
    for finding in findings:
        places.setdefault((finding.code, finding.level, finding.message), []).append(finding.where)
    return [Finding(*key, _some(where)) for key, where in places.items()]


def refuse_errors(findings: Iterable[Finding], accepted: Sequence[str]) -> None:
    """Stop at the first error the config does not accept.

    Raises:
        GoldfoldError: with the finding's code, place and message.
    """
    for finding in findings:
        if finding.level == "error" and finding.code not in accepted:
            raise GoldfoldError(
                f"{finding.where}: {finding.message} (accept=[{finding.code}] goes on, and the record says so)"
            )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
