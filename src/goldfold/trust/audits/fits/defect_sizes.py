"""Audit of the size of defects that an anomaly detector sees, by synthetic spots on held-out normal images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldfold.anomaly.defect_sizes import SEEN
from goldfold.trust.audits.findings import Finding, FindingKind, Level

GAIN = 0.1  # AUROC that a finer trial must gain at a missed size

SMALL_DEFECTS_MISSED = FindingKind(
    code="small_defects_missed",
    topic="Scores",
    levels=("warning", "note"),
    found="synthetic defects below some size that score like normal images",
    seen="Dark and light spots of 2 to 32 pixels are drawn on held-out normal images of a `patch_library`. A size "
    "counts as seen if it and all larger ones have an AUROC of 0.7 against normal images. It is a warning if a library "
    "with half of the strides sees a missed size in a small trial, with an AUROC that is higher by 0.1, else a note.",
    misleads="Real defects of that size are missed as well, whatever the score on larger ones is: spots have more "
    "contrast than most of them.",
    cure="Train with the finer parameters that the message names; if none help, cut images into tiles or raise "
    "`image_size`.",
    example="defects below about 8 pixels are not seen (AUROC 0.55 at 4 pixels, ...): ...",
)


def small_defects_missed(probed: Mapping[str, Any], where: str) -> list[Finding]:
    """Report sizes at which synthetic defects are not told from normal images.

    probed: `Plan.probe`'s facts; `defect_sizes`, if it is there, as `recipes.patches.sizes.probe` returns it.
    """
    facts = probed.get("defect_sizes")
    if not facts:
        return []
    auroc, smallest = _by_size(facts["auroc"]), facts["smallest_seen"]
    missed = [size for size in auroc if smallest is None or size < smallest]
    if not missed:
        return []
    seen = f"below about {smallest}" if smallest else f"of up to {max(missed)}"
    told = f"defects {seen} pixels are not seen (AUROC {_listed(auroc, missed)}; {facts['images']} spots of each size)"
    trial = facts.get("trial") or {}
    helped = _helped(trial, missed)
    level: Level = "warning" if helped else "note"
    return [SMALL_DEFECTS_MISSED(f"{told}: {_advice(trial, helped)}", where, level)]


def _advice(trial: Mapping[str, Any], helped: list[int]) -> str:
    """What to do: the finer parameters with their numbers, if they see more."""
    if not helped:
        return "real ones of that size are missed, too. Cut images into tiles or raise image_size to see them"
    own, finer = (_listed(_by_size(trial[name]), helped) for name in ("auroc", "finer"))
    changed = " ".join(f"{name}={_plain(value)}" for name, value in trial["set"].items())
    return (
        f"a finer library would see more, AUROC {finer} instead of {own} in a trial with {trial['images']} images. "
        f'Train with SET="{changed}", which takes several times as long'
    )


def _by_size(auroc: Mapping[str, float]) -> dict[int, float]:
    """Size in pixels -> AUROC, the largest size first."""
    return {size: auroc[str(size)] for size in sorted(map(int, auroc), reverse=True)}


def _helped(trial: Mapping[str, Any], missed: list[int]) -> list[int]:
    """The missed sizes that the finer trial sees."""
    if not trial:
        return []
    own, finer = _by_size(trial["auroc"]), _by_size(trial["finer"])
    return [size for size in missed if finer[size] >= SEEN and finer[size] - own[size] >= GAIN]


def _listed(auroc: Mapping[int, float], sizes: list[int]) -> str:
    return ", ".join(f"{auroc[size]:.2f} at {size} pixels" for size in sizes)


def _plain(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, (list, tuple)) else str(value)
