"""Which other run of the log a remark names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from goldfold.experiment.run_folders import run_name
from goldfold.trust.experiment_log.claims import Claim
from goldfold.trust.experiment_log.runs import LoggedRun

THE_REFERENCE = r"(?:the |our |my )?(?:baseline|reference|before|previous|last|it|that|earlier|one before)\b"
AGAINST = r"(?:than|compared (?:to|with)|vs\.?|versus|relative to|against|over|als|que|比)"


def mentioned(text: str, run: LoggedRun, runs: Sequence[LoggedRun]) -> LoggedRun | None:
    """The first run but `run` that a text names: by its folder, its id or the name its user gave it."""
    places: dict[int, LoggedRun] = {}
    for other in (each for each in runs if each is not run):
        for name in filter(None, (other.name, run_name(other.folder), other.id, other.remarks.name)):
            if found := re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w-])", text, re.IGNORECASE):
                places.setdefault(found.start(), other)
    return places[min(places)] if places else None


def compared(claim: Claim, run: LoggedRun, runs: Sequence[LoggedRun]) -> LoggedRun | None:
    """The run that a claim compares with, if it names one: in its clause, or with `compared to` in its sentence."""
    if other := mentioned(claim.clause, run, runs):
        return other
    found = re.search(rf"(?<!\w){AGAINST}\s+(.*)", claim.sentence, re.IGNORECASE)
    return mentioned(found[1], run, runs) if found else None
