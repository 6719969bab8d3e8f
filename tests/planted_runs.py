"""Finished runs with chosen scores, configs and dates, made from one that was trained; for tests of what reads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from goldfold.experiment.intervals.limits import fold_statistics

SPREAD = (-0.01, 0.0, 0.01)  # of the folds around their mean


def edit(path: Path, **changed: Any) -> None:
    """Change keys of a JSON file of a run, as if an older version had written it: without a manifest."""
    path.with_name("manifest.json").unlink(missing_ok=True)
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(values | changed), encoding="utf-8")


def summary(template: Mapping[str, Any], folds: Sequence[float], **changed: Any) -> dict[str, Any]:
    """A metric of metrics.json with these scores."""
    found = {key: value for key, value in template.items() if not key.startswith("pooled")} | changed
    statistics = fold_statistics(folds, found["bounds"])
    return {**found, "folds": {str(fold): value for fold, value in enumerate(folds)}, **statistics}


def plant(
    source: Path,
    name: str,
    *,
    day: int,
    mean: float = 0.8,
    folds: Sequence[float] = (),
    metric: str = "auroc",
    also: Mapping[str, float] | None = None,
    **config: Any,
) -> Path:
    """Copy a finished run; its start is that day of February 2026.

    mean: of the metric, with `SPREAD` over folds, unless `folds` has the scores. metric: its name; `rmse` is lower is
    better. also: other metrics and their means. config: keys that differ.
    """
    run = source.parent / name
    shutil.copytree(source, run, ignore=shutil.ignore_patterns("manifest.json"))
    template = next(iter(json.loads((source / "metrics.json").read_text(encoding="utf-8")).values()))
    lower = {"higher_is_better": False, "bounds": [0.0, float("inf")]} if metric == "rmse" else {}
    own = list(folds) or [mean + each for each in SPREAD]
    others = {key: summary(template, [value + each for each in SPREAD]) for key, value in (also or {}).items()}
    metrics = {metric: summary(template, own, **lower), **others}
    assert abs(fmean(own) - metrics[metric]["mean"]) < 1e-12
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    edit(run / "config.json", **config)
    edit(run / "reproduce.json", started=f"2026-02-{day:02d}T12:00:00+00:00", identity=name)
    return run
