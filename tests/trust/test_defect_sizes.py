"""A run that misses small defects says so, once, with what a finer one would see; one that sees them all is silent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from made_tables import on_columns, train

from goldfold import metrics
from goldfold.competition import Plan, Recipe
from goldfold.trust.audits import small_defects_missed

AUROC = {"2": 0.5, "4": 0.55, "8": 0.8, "16": 1.0, "32": 1.0}
TRIAL = {
    "set": {"strides": [4, 8], "library": 40_000},
    "images": 22,
    "auroc": {**AUROC, "4": 0.58},
    "finer": {**AUROC, "4": 0.81},
}
FACTS = {"images": 11, "auroc": AUROC, "smallest_seen": 8, "trial": TRIAL}


def found(**changes: Any) -> list:
    return small_defects_missed({"defect_sizes": {**FACTS, **changes}}, "fold 0 seed 0")


def test_missed_sizes_are_told_with_the_finer_parameters_that_see_them() -> None:
    (told,) = found()
    assert (told.code, told.level) == ("small_defects_missed", "warning")
    for fact in ("below about 8 pixels", "0.55 at 4 pixels", "0.50 at 2 pixels", "11 spots", "22 images"):
        assert fact in told.message
    assert "AUROC 0.81 at 4 pixels instead of 0.58 at 4 pixels" in told.message
    assert 'SET="strides=[4,8] library=40000"' in told.message


def test_without_a_finer_trial_that_sees_more_it_is_a_note() -> None:
    small_gain = {**TRIAL, "auroc": {**AUROC, "4": 0.75}}
    for trial in (None, {**TRIAL, "finer": AUROC}, small_gain):
        (told,) = found(trial=trial)
        assert told.level == "note"
        assert "SET" not in told.message
    (told,) = found(smallest_seen=None, auroc=dict.fromkeys(AUROC, 0.5), trial=None)
    assert "up to 32 pixels" in told.message


def test_a_library_that_sees_every_size_and_a_plan_that_is_not_probed_are_silent() -> None:
    assert found(auroc=dict.fromkeys(AUROC, 0.9), smallest_seen=2, trial=None) == []
    assert small_defects_missed({}, "fold 0") == []


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """60 train rows and 20 test rows."""
    table = pd.DataFrame({"id": range(80), "x0": np.random.default_rng(1).normal(size=80)})
    table["y"] = (table["x0"] > 0).astype(int)
    return table[:60], table[60:].drop(columns="y").reset_index(drop=True)


def probing(calls: list[tuple[int, int]]) -> Recipe:
    """A recipe whose plans find out the facts above, and note how often they are asked."""
    recipe = on_columns(["x0"], kind="binary")

    def build(*arguments: Any) -> Plan:
        def probe(model: None, state: Any, rows: pd.DataFrame, predictions: Any, images: int) -> dict[str, Any]:
            assert "y" in rows
            calls.append((len(predictions), images))
            return {"defect_sizes": FACTS}

        return replace(recipe.build(*arguments), probe=probe)

    return replace(recipe, build=build)


def test_the_first_fit_of_a_run_is_probed_and_the_record_has_the_table(toy: Path) -> None:
    calls: list[tuple[int, int]] = []
    run = train(metrics.accuracy("y"), probing(calls), tables())
    assert calls == [(30, 80)]  # two folds of 30 rows, 20 test rows
    assert [each.where for each in run.findings if each.code == "small_defects_missed"] == ["fold 0 seed 0"]
    record = (Path("runs/table") / run.name.split("/")[-1] / "record.md").read_text(encoding="utf-8")
    assert "## Defect sizes" in record
    assert "| 4 | 0.5500 | 0.5800 | 0.8100 |" in " ".join(record.split())
    plain = train(metrics.accuracy("y"), on_columns(["x0"], kind="binary"), tables())
    assert "small_defects_missed" not in {each.code for each in plain.findings}
