"""The result of an audit as text: what was checked, what was found, and what was not checked."""

from __future__ import annotations

from collections.abc import Sequence

from goldfold.io.formatting import count
from goldfold.report.plotting.markdown import table
from goldfold.trust.audits import Check, findings_of

LEVELS = ("error", "warning", "note")


def text(name: str, checks: Sequence[Check], accepted: Sequence[str]) -> str:
    """Three parts: a table of all checks that were made, the findings with the worst first, and what was not checked.

    name: of the competition or run. accepted: codes that do not count as errors.
    """
    made, skipped = ([check for check in checks if bool(check.skipped) == skip] for skip in (False, True))
    findings = sorted(findings_of(checks), key=lambda finding: LEVELS.index(finding.level))
    rows = [[check.what, ", ".join(check.codes), _found(check)] for check in made]
    lines = [f"audit of {name}: {count(len(made), 'check')}, {count(len(findings), 'finding')}", ""]
    lines += [table(["checked", "codes", "found"], rows, left=3), ""]
    for finding in findings:
        ignored = " (accepted)" if finding.level == "error" and finding.code in accepted else ""
        lines.append(f"{finding}{ignored}")
    lines += ["no findings"] if not findings else []
    if skipped:
        rows = [[check.what, ", ".join(check.codes), check.skipped] for check in skipped]
        lines += ["", table(["not checked", "codes", "why"], rows, left=3)]
    return "\n".join(lines)


def _found(check: Check) -> str:
    numbers = {level: sum(finding.level == level for finding in check.findings) for level in LEVELS}
    return ", ".join(count(number, level) for level, number in numbers.items() if number) or "nothing"
