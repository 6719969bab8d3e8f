"""Write what adversarial validation found: Markdown, JSON, likeness of every row, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pandas import DataFrame

from goldfold.competition import Competition, Tables
from goldfold.data import csv_tables
from goldfold.data.image_checks import are_images
from goldfold.errors import GoldfoldError
from goldfold.io.files import write_bytes, write_json, write_text
from goldfold.report.drift import page, pictures
from goldfold.report.drift.page import Told
from goldfold.trust.audits import Check, findings_of
from goldfold.trust.drift import measure, verdict
from goldfold.trust.drift.features import Features
from goldfold.trust.drift.measure import Sides
from goldfold.trust.drift.verdict import Comparison
from goldfold.trust.table_audits import of_ids

SHOWN = 9  # images of either table


class Measured(NamedTuple):
    """One classifier: what it reads, what it found, and the log-odds of each row to be a test row, float64 (n,)."""

    features: Features
    comparison: Comparison
    scores: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """What a record is made of. name: of the competition's folder. remarks: on what was left out."""

    name: str
    competition: Competition
    data: Tables
    rows: Sides
    measured: Sequence[Measured]
    remarks: Sequence[str]

    @cached_property
    def best(self) -> Measured:
        """The classifier that tells the tables apart best."""
        return max(self.measured, key=lambda each: each.comparison.separation.auroc)

    @cached_property
    def ids(self) -> list[Check]:
        """Audits of row order, ids and paths."""
        return of_ids(self.competition, self.data)

    def told(self) -> Told:
        """What the page tells."""
        compared, train, test = [each.comparison for each in self.measured], self.data.train, self.data.test
        return Told(
            title=self.name,
            rows=f"{len(train):,} train rows, {len(test):,} test rows",
            compared=compared,
            remarks=self.remarks,
            ids=self.ids,
            findings=[*verdict.findings(compared), *findings_of(self.ids)],
            likeness=measure.likeness(self.best.scores, self.rows, train["id"].tolist(), test["id"].tolist()),
            next_step=verdict.next_step(compared),
        )


def remarks_on_rows(competition: Competition, data: Tables, rows: Sides) -> list[str]:
    """Samples, groups that test rows lack, and tables whose files were not looked at."""
    found = []
    for name, sampled, whole in (("train", rows.train_rows, data.train), ("test", rows.test_rows, data.test)):
        if len(sampled) < len(whole):
            found.append(f"compared {len(sampled):,} of {len(whole):,} {name} rows, a random sample")
    if not rows.exchangeable:
        found.append(
            f"the test table lacks '{competition.group or 'the groups'}' of the train table: test rows of a group can "
            "be recognized by one another, so there is no p-value and the interval is too narrow; compare the AUROC "
            "with that of the folds, whose validation rows lost their groups as well"
        )
    if "path" in data.train and not are_images(data.train):
        found.append("the files in 'path' are no images and were not looked into, only the columns beside them")
    return found


def write(known: Known, place: Path) -> list[Path]:
    """Write the record into a folder; returns its files."""
    told = known.told()
    files: dict[str, bytes] = {}
    columns = next((each for each in known.measured if each.comparison.columns), None)
    if columns is not None:
        files["columns.png"] = pictures.columns(columns.features, known.rows.is_test, columns.comparison.columns)
    if are_images(known.data.train) and are_images(known.data.test) and (strips := _images(known, told.likeness)):
        files["rows.png"] = strips
    for name, content in files.items():
        write_bytes(place / name, content)
    write_text(place / "likeness.csv", csv_tables.to_text(told.likeness))
    write_json(place / page.FACTS, _facts(told, known))
    write_text(place / "drift.md", page.page(told, list(files)))
    return [place / name for name in ("drift.md", page.FACTS, "likeness.csv", *files)]


def _facts(told: Told, known: Known) -> dict[str, Any]:
    return {
        "competition": known.name,
        "train_rows": len(known.data.train),
        "test_rows": len(known.data.test),
        "compared_rows": {"train": len(known.rows.train_rows), "test": len(known.rows.test_rows)},
        "compared": [asdict(each) for each in told.compared],
        "findings": [asdict(each) for each in told.findings],
        "next_step": told.next_step,
        "remarks": list(told.remarks),
    }


def _images(known: Known, likeness: DataFrame) -> bytes | None:
    """A picture of the rows most like the other table; None where an image of them cannot be read."""
    paths = {
        name: dict(zip(table["id"], table["path"], strict=True))
        for name, table in (("train", known.data.train), ("test", known.data.test))
    }
    test, train = (likeness[likeness["table"] == name] for name in ("test", "train"))
    shown = {
        "Most train-like test rows": test.iloc[::-1].head(SHOWN),
        "Most test-like train rows": train.head(SHOWN),
        "Most test-like test rows": test.head(SHOWN),
    }
    strips = {
        heading: [
            (paths[side][name], str(name), value)
            for side, name, value in zip(rows["table"], rows["id"], rows["likeness"], strict=True)
        ]
        for heading, rows in shown.items()
    }
    try:
        return pictures.rows(strips, private=known.competition.private_images)
    except GoldfoldError:
        return None
