"""What an audit returns: its checks, its findings, and whether an error among them stands."""

from __future__ import annotations

from dataclasses import dataclass

from goldfold.errors import GoldfoldError, way_on
from goldfold.report.plotting import markdown
from goldfold.trust.audits import Check, Finding, findings_of
from goldfold.workflows.audit import text as report


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was looked at and found.

    name: of the competition or the run. accepted: codes of findings that do not count as errors.
    """

    name: str
    checks: tuple[Check, ...]
    accepted: tuple[str, ...] = ()

    @property
    def findings(self) -> list[Finding]:
        """All findings, in order of the checks."""
        return findings_of(self.checks)

    @property
    def checked(self) -> dict[str, tuple[str, ...]]:
        """What was checked, in words -> the codes of its findings."""
        return {check.what: check.codes for check in self.checks if not check.skipped}

    @property
    def not_checked(self) -> dict[str, str]:
        """What was not checked, in words -> why."""
        return {check.what: check.skipped for check in self.checks if check.skipped}

    @property
    def errors(self) -> list[Finding]:
        """The errors that are not accepted."""
        return [each for each in self.findings if each.level == "error" and each.code not in self.accepted]

    @property
    def ok(self) -> bool:
        """Whether no error stands."""
        return not self.errors

    @property
    def text(self) -> str:
        """The tables that `goldfold audit` prints."""
        lines = [report.text(self.name, self.checks, self.accepted)]
        codes = list(dict.fromkeys(error.code for error in self.errors))
        lines += [f"to accept {code}, which is recorded: {way_on(code)}" for code in codes]
        return "\n".join(lines)

    def refuse(self) -> None:
        """Raise the first error that is not accepted as a GoldfoldError with its code."""
        for error in self.errors:
            raise GoldfoldError(error.code, f"{error.where}: {error.message}")

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return markdown.code(self.text)
