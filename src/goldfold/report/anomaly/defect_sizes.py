"""Section of the record on the size of defects that a detector sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from goldfold.anomaly.defect_sizes import SEEN
from goldfold.io.formatting import number
from goldfold.report.plotting.markdown import table


def section(fits: Sequence[Mapping[str, Any]]) -> str:
    """A table of AUROC by size of synthetic spots; empty if no fit was probed. fits: their `fit.json`."""
    found = [each["probed"]["defect_sizes"] for each in fits if each.get("probed", {}).get("defect_sizes")]
    if not found:
        return ""
    facts, trial = found[0], found[0].get("trial")
    header, columns = ["pixels", "AUROC"], [facts["auroc"]]
    if trial:
        changed = ", ".join(f"{name} {value}" for name, value in trial["set"].items())
        header += [f"trial, {trial['images']} images", f"trial with {changed}"]
        columns += [trial["auroc"], trial["finer"]]
    lines = [[size, *(number(each[size]) for each in columns)] for size in sorted(facts["auroc"], key=int)]
    note = (
        f"Dark or light spots of each length on {facts['images']} held-out normal images of one fit, in pixels of the "
        f"file, against normal images; chance level 0.5, a size counts as seen from {SEEN:g} on. Real defects of the "
        "same size have less contrast. Trials compare two small libraries of the same images."
    )
    return f"{table(header, lines)}\n\n{note}"
