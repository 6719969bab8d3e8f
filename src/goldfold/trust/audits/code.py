"""Audit of the code: weights of one version of it that predict with another."""

from __future__ import annotations

from collections.abc import Iterable

from goldfold.trust.audits.findings import Finding


def code_changed(changes: Iterable[str], where: str) -> list[Finding]:
    """A warning for each change of code that was accepted. changes: sentences that name the modules."""
    return [Finding("code_changed", "warning", change, where) for change in changes]
