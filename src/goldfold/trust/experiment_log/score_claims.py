"""Check superlatives (`best so far`) and directions (`better than v1`) of a remark against the scores of the log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from goldfold.io.formatting import ROUNDING, count, number, signed_interval
from goldfold.io.formatting import change as change_text
from goldfold.trust.comparisons import Difference, difference
from goldfold.trust.experiment_log import words
from goldfold.trust.experiment_log.claims import Claim, Verdict
from goldfold.trust.experiment_log.mentions import THE_REFERENCE, compared, mentioned
from goldfold.trust.experiment_log.rows import Pair, Row, paired, sign
from goldfold.trust.experiment_log.runs import LoggedRun

NAMING = ("config", "recipe")  # with the backbone: keys whose value a text uses as a name, as in `best perceptron`
NO_NAMES = {"so", "far", "yet", "all", "the", "score", "result", "until", "now", "run", "runs", "model", "date"}
BACKBONE = "backbone"


def superlative(claim: Claim, metric: str, run: LoggedRun, runs: Sequence[LoggedRun]) -> tuple[Verdict, str]:
    """Whether no comparable run is ahead: of those before `run` if the claim says `so far`, else of the whole log."""
    subject = mentioned(claim.clause[: claim.place], run, runs) or run
    if metric not in subject.metrics:
        return "unchecked", f"{subject.name} has no metric {metric}"
    key, value = _group(claim, subject)
    alike = [each for each in runs if _in_group(each, key, value)]
    group = f" with {key} {value}" if key else ""
    turn = {"best": sign(subject.metrics[metric]), "worst": -sign(subject.metrics[metric]), "highest": 1, "lowest": -1}
    before = _pairs(subject, metric, [each for each in alike if runs.index(each) <= runs.index(run)])
    pairs = before if claim.so_far else _pairs(subject, metric, alike)
    when = ", up to this row" if claim.so_far else ""
    among = f"of {len(pairs) + 1} comparable runs{group}{when}"
    ahead = _ahead(pairs, turn[claim.sense])
    if claim.rank > 1 and pairs:
        told = f"number {len(ahead) + 1} {among}, from the {claim.sense}"
        return ("true" if (len(ahead) + 1 == claim.rank) != claim.negated else "untrue"), told
    if ahead:
        name, (own, other) = next(iter(ahead.items()))
        told = f"{name} has {number(other['mean'])} and {subject.name} {number(own['mean'])} of {metric}"
        if claim.negated:
            return "true", told
        so_far = f"{claim.sense} so far' or '" if before and not _ahead(before, turn[claim.sense]) else ""
        ranked = f"number {len(ahead) + 1} {among}"
        return "untrue", f"{told}; true would be '{so_far}{ranked}'"
    others = [each for each in alike if each is not subject and (each in runs[: runs.index(run)] or not claim.so_far)]
    if others and not pairs:
        return (
            "unchecked",
            f"{subject.name} cannot be compared with any of {count(len(others), 'other run')}{group}{when}",
        )
    mean = number(subject.metrics[metric]["mean"])
    told = f"{claim.sense} {among}, with {mean} of {metric}" if pairs else f"no other run{group} can be compared{when}"
    return ("untrue" if claim.negated else "true"), told


def _pairs(run: LoggedRun, metric: str, others: Sequence[LoggedRun]) -> dict[str, Pair]:
    """Other run -> both summaries of the metric, of the runs that can be compared."""
    found = {other.name: paired(run, other) for other in others if other is not run}
    return {name: pairs[metric] for name, pairs in found.items() if metric in pairs}


def _ahead(pairs: Mapping[str, Pair], turn: int) -> dict[str, Pair]:
    """The runs with a higher mean (turn 1) or a lower one (-1), the farthest first."""
    leads = {name: turn * (other["mean"] - own["mean"]) for name, (own, other) in pairs.items()}
    return {name: pairs[name] for name in sorted(leads, key=lambda each: -leads[each]) if leads[name] > ROUNDING}


def _group(claim: Claim, run: LoggedRun) -> tuple[str, str]:
    """The key, and a run's value of it, by which the words after a superlative name a group: `best perceptron`."""
    values = {key: str(run.config.get(key) or "") for key in NAMING} | {BACKBONE: run.backbone or ""}
    after = claim.clause[claim.place + len(claim.text) :].lower()
    following = [word for word in re.findall(r"[\w.-]{3,}", after)[:3] if word not in NO_NAMES]
    for key, value in values.items():
        if any(re.search(rf"(?<![a-z\d]){re.escape(word)}", value.lower()) for word in following):
            return key, value
    return "", ""


def _in_group(run: LoggedRun, key: str, value: str) -> bool:
    own = run.backbone if key == BACKBONE else run.config.get(key)
    return not key or str(own or "") == value


def direction(claim: Claim, metric: str, row: Row, runs: Sequence[LoggedRun]) -> tuple[Verdict, str]:
    """Whether a difference has the claimed sign, and whether its interval excludes 0."""
    after = claim.clause[claim.place + len(claim.text) :]
    if re.search(rf"(?<!\w){words.CHANCE}", after, re.IGNORECASE):
        return _against_chance(claim, metric, row.run)
    if mentioned(claim.clause[: claim.place], row.run, runs) and not mentioned(after, row.run, runs):
        return "unchecked", "it is about another run"
    other, than = compared(claim, row.run, runs), re.match(r"\s*\w*\s*(?:than|als)\s+(.+)", after, re.IGNORECASE)
    if than and not other and not re.match(THE_REFERENCE, than[1], re.IGNORECASE):
        return "unchecked", f"no run of the log is called '{than[1].strip()}'"
    reference = other or row.reference
    if reference is None:
        return "unchecked", "there is no run to compare with"
    pair = paired(row.run, reference).get(metric)
    if pair is None:
        return "unchecked", f"{row.run.name} and {reference.name} have no {metric} that can be compared"
    found = difference(*pair)
    told = f"{metric} {change_text(found.mean, found.relative, pair[0]['bounds'])} against {reference.name}"
    told += f", interval {signed_interval(found.interval)}"
    agrees = _turn(claim, pair[0]) * found.mean > ROUNDING
    if claim.negated:
        return ("untrue", f"{told}, which excludes 0") if agrees and shown(found) else ("true", told)
    if not agrees:
        return "untrue", f"{told}; true would be '{_opposite(claim, found)}'"
    return ("true", told) if shown(found) else ("not_shown", f"not shown: {told}, which contains 0")


def shown(found: Difference) -> bool:
    """Whether the interval of a difference excludes 0."""
    return found.interval is not None and (found.interval[0] > 0 or found.interval[1] < 0)


def _turn(claim: Claim, summary: Mapping[str, Any]) -> int:
    return {"better": sign(summary), "worse": -sign(summary), "higher": 1, "lower": -1}[claim.sense]


def _opposite(claim: Claim, found: Difference) -> str:
    if abs(found.mean) <= ROUNDING:
        return "equal"
    return {"better": "worse", "worse": "better", "higher": "lower", "lower": "higher"}[claim.sense]


def _against_chance(claim: Claim, metric: str, run: LoggedRun) -> tuple[Verdict, str]:
    summary = run.metrics[metric]
    told = f"{metric} is {number(summary['mean'])} and its chance level {number(summary['chance'])}"
    agrees = _turn(claim, summary) * (summary["mean"] - summary["chance"]) > ROUNDING
    if agrees == claim.negated:
        return "untrue", told
    low, high = summary.get("interval_95") or (float("-inf"), float("inf"))
    inside = low <= summary["chance"] <= high
    return ("not_shown", f"not shown: {told}, interval [{low:.4f}, {high:.4f}]") if inside else ("true", told)
