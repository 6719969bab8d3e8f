"""How each text of a run's remarks stands against today's table: true, refuted, or true no longer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from goldfold.trust.audits import Finding
from goldfold.trust.experiment_log.checks import NOTHING, Check, check
from goldfold.trust.experiment_log.rows import Row
from goldfold.trust.experiment_log.runs import LoggedRun

TEXT_OF = {  # field -> what messages call it
    "text": "remark",
    "conclusion": "conclusion",
    "next": "next step",
    "message": "message",
}


@dataclass(frozen=True)
class Standing:
    """A text of a remark and what the table says of it.

    untrue: whether it was untrue when it was written, or was never checked. outdated: whether it was true then.
    """

    field: str
    text: str
    checks: Sequence[Check]
    verdicts: Mapping[str, str]

    @property
    def refuted(self) -> list[Check]:
        """The claims that are untrue today."""
        return [each for each in self.checks if each.verdict == "untrue"]

    @property
    def untrue(self) -> bool:
        return any(self._then(each) in ("untrue", None) for each in self.refuted)

    @property
    def outdated(self) -> bool:
        return bool(self.refuted) and not self.untrue

    @property
    def told(self) -> str:
        """What the table says, in one line."""
        return "; ".join(self._told(each) for each in self.checks) or NOTHING

    def _told(self, each: Check) -> str:
        words = {"true": "true", "not_shown": "not shown", "unchecked": "not checked", "untrue": "untrue"}[each.verdict]
        if each.verdict == "untrue" and self._then(each) not in ("untrue", None):
            words = "no longer true"
        return f"'{each.claim}' {words}: {each.told.removeprefix('not shown: ')}"

    def _then(self, each: Check) -> str | None:
        """The verdict on a claim when it was written."""
        return self.verdicts.get(each.claim)


def standings(row: Row, runs: Sequence[LoggedRun]) -> list[Standing]:
    """Each text of a run's remarks with today's checks. runs: of the log, in order of their starts."""
    given = row.run.remarks
    return [
        Standing(name, text, check(text, row, runs), given.verdicts.get(name, {})) for name, text in given.texts.items()
    ]


def findings(run: str, found: Sequence[Standing]) -> list[Finding]:
    """Texts that the table refutes: an error if they were untrue when written, a warning if they no longer are true."""
    return [finding for each in found if each.refuted for finding in (_finding(run, each),)]


def _finding(run: str, found: Standing) -> Finding:
    what = TEXT_OF[found.field]
    told = "; ".join(f"'{each.claim}' is untrue, since {each.told}" for each in found.refuted)
    if found.untrue:
        return Finding("remark_untrue", "error", f"the {what} contradicts the table: {told}", run)
    message = f"the {what} '{found.text}' is no longer true: {'; '.join(each.told for each in found.refuted)}"
    return Finding("remark_outdated", "warning", message, run)
