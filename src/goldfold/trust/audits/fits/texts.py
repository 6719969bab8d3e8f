"""Audit of texts that are longer than an encoder reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldfold.trust.audits.findings import Finding, FindingKind

TEXTS_CUT = FindingKind(
    code="texts_cut",
    topic="Training",
    levels=("note",),
    found="texts that lost their end, since they are longer than the encoder reads",
    seen="Texts of training or validation rows have more tokens than `max_tokens`, or than the encoder reads, "
    "whether it is fine-tuned or frozen.",
    misleads="What stands at their end is not read, such as a verdict or a signature, in training and in prediction.",
    cure="Raise `max_tokens` as far as the encoder reads, where it is fine-tuned; choose an encoder that reads more; "
    "or bring what tells to the start of the text in load().",
    example="412 of 2,711 texts (15.2 %) are longer than 64 tokens and lost their end: ...",
)


def texts_cut(probed: Mapping[str, Any], where: str) -> list[Finding]:
    """Report the share of texts that were cut.

    probed: `Plan.probe`'s facts; `texts_cut`, if it is there, has the counts `cut`, `rows` and `tokens`, and `frozen`
        where the encoder's own limit is what cuts.
    """
    found = probed.get("texts_cut")
    if not found or not found["cut"]:
        return []
    more = "choose an encoder that" if found.get("frozen") else "raise max_tokens if the encoder"
    told = (
        f"{found['cut']:,} of {found['rows']:,} texts ({found['cut'] / found['rows']:.1%}) are longer than "
        f"{found['tokens']} tokens and lost their end: {more} reads more, or bring what "
        "tells to the start of the text in load()"
    )
    return [TEXTS_CUT(told, where)]
