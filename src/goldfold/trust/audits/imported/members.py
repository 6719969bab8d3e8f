"""Audits of imported predictions: folds of their own, and members of a blend without out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean, stdev

from goldfold.experiment.predictions.foreign_folds import FoldFacts
from goldfold.io.formatting import count, number
from goldfold.trust.audits.findings import Finding, FindingKind

FOREIGN_FOLDS = FindingKind(
    code="foreign_folds",
    topic="Comparisons and blends",
    levels=("warning",),
    found="imported predictions that were made on other folds, or on unknown ones",
    seen="The out-of-fold predictions of an imported run were made on folds that are not those of this project, or "
    "nothing tells on which. The finding is repeated where the run is compared or blended.",
    misleads="A row may have been predicted by models that trained on other rows of its fold, which the runs beside it "
    "never see: rows of one group, near-duplicates, or the row itself if the predictions are not out of fold. The "
    "score may flatter, and a blend gives the run too much weight.",
    cure="Ask for predictions made on `folds.csv` of one of your runs, and import them with `FOLDS=`. Otherwise blend "
    "it with a small fixed weight, `WEIGHTS=`.",
    example="nothing says on which folds its predictions were made: ...",
)

UNSCORED_MEMBER = FindingKind(
    code="unscored_member",
    topic="Comparisons and blends",
    levels=("warning",),
    found="a blend with a file of test predictions that no fold scores",
    seen="A blend with fixed weights has a member without out-of-fold predictions.",
    misleads="The CV is that of the other members. The submission may score better or worse than they do.",
    cure="Import the member with its out-of-fold predictions, or keep its weight small.",
    example="friend.csv has 0.30 of the weight and no out-of-fold predictions: ...",
)


def foreign_folds(found: FoldFacts, metric: str, mean: float, place: str) -> list[Finding]:
    """Report predictions whose folds are not ours, or unknown.

    metric, mean: its score on our folds. place: of the file that lists these.
    """
    if found.kind == "equal":
        return []
    cure = f"ask for predictions made on {place}, and import them with FOLDS"
    if found.kind == "unknown":
        told = (
            "nothing says on which folds its predictions were made: if a row was predicted by models that trained on "
            f"it or on rows like it, {metric} {number(mean)} flatters, and a blend gives it too much weight. Give "
            f"FOLDS, or {cure}"
        )
    else:
        told = _different(found, metric, mean, cure)
    return [FOREIGN_FOLDS(told, "all folds")]


def _different(found: FoldFacts, metric: str, mean: float, cure: str) -> str:
    where = f"{found.other_rows:,} scored rows lie in folds that are none of these"
    if not found.other_rows:
        where = "it holds out the same rows, and trains on rows that are left out here (time order, guards)"
    groups = (
        f", and {count(found.split_groups, 'group')} of rows that belong together were split"
        if found.split_groups
        else ""
    )
    return (
        f"its predictions were made on {count(found.folds, 'fold')} of its own ({where}{groups}): its models may have "
        f"trained on rows that the same fold scores here, so {metric} {number(mean)} may flatter, and so may its "
        f"weight in a blend.{_own(found, metric)} To be sure {cure}"
    )


def _own(found: FoldFacts, metric: str) -> str:
    if not found.scores:
        return ""
    spread = f" ± {number(stdev(found.scores))} (sd, ddof=1)" if len(found.scores) > 1 else ""
    return f" By its own folds it has {metric} {number(fmean(found.scores))}{spread}."


def unscored_members(weights: Mapping[str, float]) -> list[Finding]:
    """Report members of a blend without out-of-fold predictions; weights: file -> its share of the test predictions."""
    return [
        UNSCORED_MEMBER(
            f"{name} has {share:.2f} of the weight and no out-of-fold predictions: the CV is that of the other "
            "members, and nothing here tells how the submission scores. Import it with OOF, or keep its weight small",
            "test rows",
        )
        for name, share in weights.items()
    ]
