"""What audits looked at: each check with its findings, or the reason why it could not be made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from goldfold.trust.audits.findings import Finding


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that audits look at.

    what: in words, with how much was looked at where that is a sample. codes: of the findings it can have. findings:
        what it found. skipped: why it was not made; empty if it was.
    """

    what: str
    codes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    skipped: str = ""


def made(what: str, codes: Sequence[str], findings: Iterable[Finding], skipped: str = "") -> Check:
    """A check that was made, or that was `skipped`, with what it found."""
    return Check(what=what, codes=tuple(codes), findings=tuple(findings), skipped=skipped)


def not_made(what: str, codes: Sequence[str], why: str) -> Check:
    """A check that could not be made."""
    return Check(what=what, codes=tuple(codes), skipped=why)


def findings_of(checks: Iterable[Check]) -> list[Finding]:
    """All findings, in order of the checks."""
    return [finding for check in checks for finding in check.findings]
