"""Rows of a table as text, as `predict.py` reads them from a CSV file, and predictions of them by a run's export."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.export import predict
from goldfold.io.files import read_json

if TYPE_CHECKING:
    from pandas import DataFrame

FOLDER = "export"  # in the folder of a run
FACTS = "export.json"  # in that folder and in the run's


def as_text(rows: DataFrame) -> list[dict[str, str]]:
    """Rows as `predict.py` reads them from a CSV file."""
    return list(csv.DictReader(io.StringIO(rows.to_csv(index=False))))


def exported(run: Path) -> bool:
    """Whether a run has an export."""
    return (run / FOLDER / FACTS).exists()


def predictions(run: Path, rows: DataFrame) -> np.ndarray:
    """Predictions (n, ...) of rows by a run's export, combined over its fits.

    Raises:
        GoldfoldError: `export_damaged`, its files are not as they were written.
    """
    try:
        return predict.predict(run / FOLDER, as_text(rows))
    except (OSError, ValueError, KeyError) as error:
        raise GoldfoldError("export_damaged", f"the export in {run / FOLDER} cannot predict ({error})") from error


def told(run: Path) -> str:
    """What an export is made of, in one clause."""
    facts = read_json(run / FOLDER / FACTS, dict)
    return f"{facts['format']} model of {facts['fits']} fits, by {facts['runtime']}"
