"""The experiment log as a table of numbers, and as CSV that a spreadsheet can open safely."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pandas import DataFrame, isna

from goldfold.io.formatting import as_text
from goldfold.report.experiment_log import cells
from goldfold.trust.experiment_log.log import Entry, Log
from goldfold.trust.experiment_log.rows import Row, sign

SCORES = ("mean", "sd", "low", "high", "n", "chance")


def table(log: Log) -> DataFrame:
    """A row per run, the oldest first.

    Columns: id, started (ISO 8601), run, category and category_computed, compared_with, changed; for each metric
    <metric>_mean over folds, _sd (ddof=1), _low, _high (95 % interval of the mean), _n (folds), _chance; difference
    of the first metric to the run compared with, difference_pp (empty unless its range is [0, 1]), difference_percent,
    difference_low, difference_high (95 %), better_folds, verdict; epochs, samples and seconds of a fit; findings;
    hidden (score on hidden labels); training_seconds of all fits; remark, table_says; conclusion,
    conclusion_table_says; next, next_table_says.
    """
    return DataFrame([_row(entry, log.metrics) for entry in log.entries])


def csv(found: DataFrame) -> str:
    """Text of a CSV file; texts that a spreadsheet would calculate get an apostrophe, numbers stay numbers."""
    return _safe(found).to_csv(index=False, lineterminator="\n")


def backbone_csvs(log: Log) -> dict[str, str]:
    """File name -> CSV with the columns model_version and remarks, a row per run with this backbone.

    A remark that the table contradicts is followed by what the table says.
    """
    found: dict[str, list[dict[str, str]]] = {}
    for entry in log.entries:
        if entry.row.run.backbone:
            backbone = re.sub(r"[^\w.-]+", "_", entry.row.run.backbone)
            version = entry.row.run.remarks.name or entry.row.run.name
            found.setdefault(f"remarks_{backbone}.csv", []).append(
                {"model_version": version, "remarks": _remark(entry)}
            )
    return {name: csv(DataFrame(rows)) for name, rows in found.items()}


def _remark(entry: Entry) -> str:
    remark = entry.standing("text")
    if remark is None:
        return ""
    return f"{remark.text} [the table says: {remark.told}]" if remark.refuted else remark.text


def _row(entry: Entry, metrics: Iterable[str]) -> dict[str, Any]:
    row, run = entry.row, entry.row.run
    texts: dict[str, str] = {}
    for field, column in (("text", "remark"), ("conclusion", "conclusion"), ("next", "next")):
        found = entry.standing(field)
        says = "table_says" if field == "text" else f"{column}_table_says"
        texts |= {column: found.text if found else "", says: found.told if found else ""}
    return {
        "id": run.id,
        "started": run.started.isoformat(),
        "run": run.name,
        "category": run.remarks.category or row.category,
        "category_computed": row.category,
        "compared_with": row.reference.name if row.reference else "",
        "changed": row.changed,
        **{f"{metric}_{name}": value for metric in metrics for name, value in _scores(row, metric).items()},
        **_difference(row),
        **{key: run.budget[key] for key in ("epochs", "samples", "seconds")},
        "findings": cells.findings(run),
        "hidden": run.hidden,
        "training_seconds": run.seconds,
        **texts,
    }


def _scores(row: Row, metric: str) -> dict[str, Any]:
    summary = row.run.metrics.get(metric)
    if summary is None:
        return dict.fromkeys(SCORES)
    low, high = summary.get("interval_95") or (None, None)
    values = (summary["mean"], summary["sd_ddof1"], low, high, summary["n"], summary["chance"])
    return dict(zip(SCORES, values, strict=True))


def _difference(row: Row) -> dict[str, Any]:
    found, summary = row.differences.get(row.run.metric), row.run.metrics[row.run.metric]
    low, high = (found.interval if found else None) or (None, None)
    in_pp = found is not None and list(summary["bounds"]) == [0, 1]
    return {
        "difference": found.mean if found else None,
        "difference_pp": 100 * found.mean if found and in_pp else None,
        "difference_percent": 100 * found.relative if found and found.relative is not None else None,
        "difference_low": low,
        "difference_high": high,
        "better_folds": found.better if found else None,
        "verdict": cells.verdict(found, sign(summary)) if found else "",
    }


def _safe(found: DataFrame) -> DataFrame:
    """Texts with an apostrophe before what a spreadsheet would take for a formula."""
    return found.map(lambda cell: as_text(cell) if isinstance(cell, str) else _number(cell))


def _number(cell: Any) -> Any:
    return None if not isinstance(cell, str) and isna(cell) else cell
