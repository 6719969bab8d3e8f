"""Adversarial validation as text: AUROC of each classifier, the columns, the rows, the findings and the next step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldfold.io.files import read_json
from goldfold.io.formatting import count
from goldfold.report.plotting.markdown import escaped, table
from goldfold.trust.audits import Check
from goldfold.trust.audits.findings import Finding
from goldfold.trust.drift.classifier import Separation
from goldfold.trust.drift.columns import DriftingColumn
from goldfold.trust.drift.verdict import WEAK, Comparison, auroc_text

if TYPE_CHECKING:
    from pandas import DataFrame

PLACE = "drift"  # in runs/<competition>
COLUMNS = "columns"  # folder of a comparison without a backbone
FACTS = "drift.json"
HEADING = ("test against train by", "AUROC", "validation against training rows")
LISTED = 12  # columns
NAMED = 5  # rows of each table


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a page of adversarial validation tells.

    title: of the competition. rows: sizes of both tables, in words. remarks: on columns and rows that were left out.
    ids: audits of row order, ids and paths. likeness: see `trust.drift.measure.likeness`.
    """

    title: str
    rows: str
    compared: Sequence[Comparison]
    remarks: Sequence[str]
    ids: Sequence[Check]
    findings: Sequence[Finding]
    likeness: DataFrame
    next_step: str


def text(told: Told) -> str:
    """What the command prints."""
    parts = [f"drift of {told.title}: {told.rows}", _classifiers(told.compared)]
    parts += [_columns(each) for each in told.compared if each.columns]
    parts += [_rows(told.likeness), "\n".join([*map(str, told.remarks), *_ids(told.ids)])]
    parts += ["\n".join(map(str, told.findings)) or "no findings", told.next_step]
    return "\n\n".join(part for part in parts if part)


def page(told: Told, pictures: Sequence[str]) -> str:
    """The same as Markdown. pictures: names of the files beside the page."""
    parts = [f"# Adversarial validation of {told.title}", f"{told.rows[:1].upper()}{told.rows[1:]}."]
    parts += [f"**{told.next_step}**", "## Classifiers", _classifiers(told.compared)]
    for each in told.compared:
        parts += ["## Columns", _columns(each)] if each.columns else []
    parts += [f"![Distributions or rows]({name})" for name in pictures]
    parts += ["## Rows", _rows(told.likeness).replace("\n", "\n\n"), "## Findings"]
    parts += ["\n".join(f"- {escaped(str(each))}" for each in told.findings) or "None."]
    parts += ["## Remarks", "\n".join(f"- {escaped(each)}" for each in [*told.remarks, *_ids(told.ids)])]
    return "\n\n".join(parts) + "\n"


def section(run: Path) -> str:
    """What a run's report says of the comparison of its competition's tables; empty if there is none.

    That with the run's own backbone counts before the one by columns alone.
    """
    places = [run.parent / PLACE / name / FACTS for name in (run.name, COLUMNS)]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        return ""
    facts = read_json(found, dict)
    rows = [_facts_row(each) for each in facts["compared"]]
    return f"{table(HEADING, rows)}\n\n{escaped(facts['next_step'])}"


def _facts_row(compared: dict[str, Any]) -> list[str]:
    told = Separation(**compared["separation"])
    folds = compared["folds_auroc"]
    return [compared["by"], auroc_text(told), "" if folds is None else f"{folds:.3f}"]


def _classifiers(compared: Sequence[Comparison]) -> str:
    rows = [
        [each.by, auroc_text(each.separation), "" if each.folds_auroc is None else f"{each.folds_auroc:.3f}"]
        for each in compared
    ]
    return table(HEADING, rows)


def _columns(found: Comparison) -> str:
    shown = [_column(column) for column in found.columns[:LISTED]]
    rest = [each for each in found.columns[LISTED:] if each.p_value is not None and each.p_value < WEAK]
    more = f"\n\nand {count(len(rest), 'more column')} with a p-value below {WEAK:g}" if rest else ""
    return table(["column", "AUROC alone", "p, corrected", "AUROC lost if shuffled"], shown) + more


def _column(column: DriftingColumn) -> list[str]:
    lost = "" if column.importance is None else f"{column.importance:.3f}"
    return [column.name, f"{column.auroc:.3f}", "" if column.p_value is None else f"{column.p_value:.2g}", lost]


def _rows(likeness: DataFrame) -> str:
    """The rows of each table that the classifier takes for rows of the other one."""
    test, train = (likeness[likeness["table"] == name] for name in ("test", "train"))
    shown = {
        "most train-like test rows (likeness to test rows)": test.tail(NAMED).iloc[::-1],
        "most test-like train rows (likeness to test rows)": train.head(NAMED),
    }
    return "\n".join(f"{what}: {_named(rows)}" for what, rows in shown.items())


def _named(rows: DataFrame) -> str:
    return ", ".join(f"{name} ({value:.2f})" for name, value in zip(rows["id"], rows["likeness"], strict=True))


def _ids(checks: Sequence[Check]) -> list[str]:
    """Which audits of row order and ids found nothing, or were not made; findings stand on their own."""
    return [
        f"{check.what}: {f'not looked at, since {check.skipped}' if check.skipped else 'nothing found'}"
        for check in checks
        if not check.findings
    ]
