"""Results in a run folder as tables: scores, fold scores, folds, predictions, and a line of the run list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldfold.errors import GoldfoldError
from goldfold.experiment.identity import intact
from goldfold.experiment.run_folders import FINISHED, IMPORTED, run_name
from goldfold.io.files import read_array, read_json

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame

TABLE = ("run", "metric", "mean", "sd", "folds", "chance", "findings")


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions with their ids, for outputs that do not fit a table (maps, embeddings, records of maps).

    ids: (n,) text. values: (n, ...) array in the same order.
    """

    ids: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def metrics(folder: Path) -> dict[str, dict[str, Any]]:
    """Metric name -> its summary."""
    return read_json(folder / "metrics.json")


def scores(folder: Path) -> DataFrame:
    """A row per metric: mean over folds, sd, 95 % interval, folds, chance level, pooled score, protocol.

    A run with `decide:` has a column `decided`: the mean over folds of the nested score, None for other metrics.
    """
    import pandas as pd

    found = metrics(folder)
    rows = {name: _score_row(summary) for name, summary in found.items()}
    if any("decided" in summary for summary in found.values()):
        rows = {name: row | {"decided": found[name].get("decided", {}).get("mean")} for name, row in rows.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")


def fold_scores(folder: Path) -> DataFrame:
    """A row per fold, a column per metric."""
    import pandas as pd

    columns = {name: summary["folds"] for name, summary in metrics(folder).items()}
    frame = pd.DataFrame(columns).rename_axis("fold")
    return frame.set_axis(frame.index.astype(int)).sort_index()


def folds(folder: Path) -> DataFrame:
    """id, and the fold that validates on it (-1: none)."""
    import pandas as pd

    return pd.read_csv(folder / "folds.csv", dtype={"id": str}, keep_default_na=False)


def predictions(folder: Path, side: str) -> DataFrame | Predictions:
    """Predictions with their ids; side: `oof` or `test`."""
    import pandas as pd

    if (folder / IMPORTED).exists() and not (folder / f"{side}.npy").exists():
        raise GoldfoldError(
            "no_test_predictions",
            f"run '{run_name(folder)}' was imported with a submission ready to be sent and has no test predictions: "
            "see its submission",
        )
    values = read_array(folder / f"{side}.npy")
    ids = text_table(folder / f"{side}_ids.csv")["id"].to_numpy()
    columns = _columns(values)
    return Predictions(ids, values) if columns is None else pd.DataFrame({"id": ids, **columns})


def text_table(path: Path) -> DataFrame:
    """A CSV file, every cell as text."""
    import pandas as pd

    return pd.read_csv(path, dtype=str, keep_default_na=False)


def run_table(folders: Sequence[Path]) -> DataFrame:
    """A row per run."""
    import pandas as pd

    return pd.DataFrame([table_row(folder) for folder in folders], columns=list(TABLE))


def table_row(folder: Path) -> dict[str, Any]:
    """The values of the columns `TABLE`; of an unfinished or damaged run only the first two."""
    if not (folder / FINISHED).exists():
        return {"run": run_name(folder), "metric": "not finished"}
    if intact.fault(folder):
        return {"run": run_name(folder), "metric": "damaged"}
    metric, summary = next(iter(metrics(folder).items()))
    findings = len(read_json(folder / "findings.json"))
    values = (run_name(folder), metric, summary["mean"], summary["sd_ddof1"], summary["n"], summary["chance"], findings)
    return dict(zip(TABLE, values, strict=True))


def _score_row(summary: Mapping[str, Any]) -> dict[str, Any]:
    low, high = summary.get("interval_95") or (None, None)
    return {
        "mean": summary["mean"],
        "sd": summary["sd_ddof1"],
        "low": low,
        "high": high,
        "folds": summary["n"],
        "chance": summary["chance"],
        "pooled": summary.get("pooled"),
        "protocol": summary["protocol"],
    }


def _columns(values: np.ndarray) -> dict[str, np.ndarray] | None:
    """Column name -> (n,) values for predictions that fit a table, else None."""
    if values.dtype.names:
        fits = all(values.dtype[name].shape == () for name in values.dtype.names)
        return {name: values[name] for name in values.dtype.names} if fits else None
    if values.ndim == 1:
        return {"prediction": values}
    if values.ndim == 2:
        return {f"prediction_{column}": values[:, column] for column in range(values.shape[1])}
    return None
