"""Audit of the code: weights of one version of it that predict with another."""

from __future__ import annotations

from collections.abc import Iterable

from goldfold.trust.audits.findings import Finding, FindingKind

CODE_CHANGED = FindingKind(
    code="code_changed",
    topic="Comparisons and blends",
    levels=("warning",),
    found="weights of one version of the code that predict with another",
    seen="Warning, if it was accepted. A run's weights predict with code that has changed since the run was "
    "trained; the message names the modules.",
    misleads="The models may predict differently than when they were scored.",
    cure="Train the run again with today's code. `ACCEPT=code_changed` goes on, and the record says so.",
    example="the code changed since run 'digits/baseline-r1' was trained (recipes.tabular): ...",
)


def code_changed(changes: Iterable[str], where: str) -> list[Finding]:
    """A warning for each change of code that was accepted. changes: sentences that name the modules."""
    return [CODE_CHANGED(change, where) for change in changes]
