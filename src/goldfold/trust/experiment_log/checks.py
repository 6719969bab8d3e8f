"""Check a remark on a run against the table of the experiment log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from goldfold.io.formatting import ROUNDING, change, signed_interval
from goldfold.trust.comparisons import difference
from goldfold.trust.experiment_log import config_claims, delta_claims, score_claims
from goldfold.trust.experiment_log.claims import Claim, Verdict, find_claims
from goldfold.trust.experiment_log.mentions import compared
from goldfold.trust.experiment_log.metric_names import Named, named
from goldfold.trust.experiment_log.rows import Row, paired
from goldfold.trust.experiment_log.runs import LoggedRun

NOTHING = "nothing in it to check"


@dataclass(frozen=True)
class Check:
    """What the table says of a claim. told: in words, with values; of an untrue claim also wording that is true."""

    claim: str
    verdict: Verdict
    told: str


def check(text: str, row: Row, runs: Sequence[LoggedRun]) -> list[Check]:
    """Check the claims of a remark on the run of `row`, in order; empty if it has none.

    runs: of the log, in order of their starts.
    """
    found = find_claims(text, tuple(row.run.config))
    return [Check(claim.text, *_checked(claim, row, runs)) for claim in found]


def _checked(claim: Claim, row: Row, runs: Sequence[LoggedRun]) -> tuple[Verdict, str]:
    mention = named(claim.clause, row.run.metrics)
    if claim.kind == "config":
        about_score = mention is not None and claim.named is None
        return _same_score(claim, mention, row, runs) if about_score else config_claims.checked(claim, row, runs)
    if mention and mention.metric is None:
        return "unchecked", f"{row.run.name} has no metric {mention.text}"
    metric = mention.metric if mention and mention.metric else row.run.metric
    if claim.kind == "superlative":
        return score_claims.superlative(claim, metric, row.run, runs)
    reference = compared(claim, row.run, runs) or row.reference
    if claim.kind == "direction":
        return _with_caveat(score_claims.direction(claim, metric, row, runs), row, reference)
    if reference is None:
        return "unchecked", "there is no run to compare with"
    pairs = paired(row.run, reference)
    wanted = {metric: pairs[metric]} if mention and metric in pairs else {} if mention else pairs
    return _with_caveat(delta_claims.checked(claim, wanted, reference.name), row, reference)


def _with_caveat(found: tuple[Verdict, str], row: Row, reference: LoggedRun | None) -> tuple[Verdict, str]:
    """A verdict on a difference, with the codes of what else is unequal between the two runs."""
    codes = [each.code for each in row.unequal if each.level != "note"] if reference is row.reference else []
    return (found[0], f"{found[1]} ({', '.join(codes)})") if codes and found[0] != "unchecked" else found


def _same_score(claim: Claim, mention: Named | None, row: Row, runs: Sequence[LoggedRun]) -> tuple[Verdict, str]:
    """A claim that a score is unchanged: untrue if the interval of the difference excludes 0."""
    metric = (mention.metric if mention else None) or ""
    reference = compared(claim, row.run, runs) or row.reference
    pair = paired(row.run, reference).get(metric) if reference else None
    if reference is None or pair is None:
        return "unchecked", "there is no run to compare it with"
    found = difference(*pair)
    told = f"{metric} {change(found.mean, found.relative, pair[0]['bounds'])} against {reference.name}"
    told += f", interval {signed_interval(found.interval)}"
    if abs(found.mean) <= ROUNDING:
        return "true", told
    return ("untrue", f"{told}, which excludes 0") if score_claims.shown(found) else ("not_shown", f"not shown: {told}")
