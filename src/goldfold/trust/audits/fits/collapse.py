"""Audit of collapse: outputs or features that are nearly the same for every row, as monitored or as predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from goldfold.data import fields
from goldfold.trust.audits.findings import Finding, first_three

LOOKED = 200  # predicted rows whose spread is measured


def collapse(
    history: Sequence[Mapping[str, Any]],
    where: str,
    chosen: int | None = None,
    predictions: np.ndarray | None = None,
    embeddings: bool = False,
) -> list[Finding]:
    """Report epochs at which a monitored value raised an alarm ("black", "one point"), and collapsed predictions.

    chosen: number of the epoch of the last stage that predicts; None if none was selected. predictions: (n, ...) of a
        trained fit, looked at where its recipe monitors nothing; embeddings: whether they are, else they have collapsed
        if they are equal for all rows.
    """
    seen = _of_predictions(predictions, embeddings) if history and not any(_looked(row) for row in history) else ""
    stage = f"{where}, stage {history[-1]['stage']}" if history else where
    told = [*_by_epoch(history, where, chosen), *([(seen, stage)] if seen else [])]
    return [Finding("collapse", "warning", message, place) for message, place in told]


def _looked(row: Mapping[str, Any]) -> bool:
    return bool(row.get("monitored"))


def _of_predictions(predictions: np.ndarray | None, embeddings: bool) -> str:
    """What is wrong with the predictions of a fit; empty if they differ from row to row."""
    from goldfold.nn.collapse import IDENTICAL, measure_features

    if predictions is None or len(predictions) < 2:
        return ""
    rows = np.linspace(0, len(predictions) - 1, min(LOOKED, len(predictions))).astype(int)
    floats = [part for part in fields.parts(predictions[rows]) if part.dtype.kind == "f" and part.size]
    if embeddings and len(floats) == 1 and floats[0].ndim == 2:
        found = measure_features(floats[0])
        if not found.verdicts:
            return ""
        return (
            f"the embeddings that the fit predicts are collapsed ({found.verdicts[0]}: spread {found.spread:.2g}, and "
            f"{found.isotropic:.2g} if isotropic, median cosine {found.median_cosine:.4f}): they are nearly the same "
            "for every row. Lower the learning rate, and check that a loss pushes different rows apart"
        )
    equal = [np.abs(part - part[0]).max() <= IDENTICAL * np.abs(part).max() for part in floats]
    if not equal or not all(equal):
        return ""
    return (
        f"the fit predicts the same for all of {len(rows)} rows: its outputs do not depend on the inputs. Lower the "
        "learning rate, and check what predict() and the losses are given"
    )


def _by_epoch(history: Sequence[Mapping[str, Any]], where: str, chosen: int | None) -> Iterator[tuple[str, str]]:
    """A message on each stage with alarms, and its place."""
    for stage in dict.fromkeys(row["stage"] for row in history):
        rows = [row for row in history if row["stage"] == stage]
        alarms = {row["epoch"]: _alarms(row["monitored"]) for row in rows if _looked(row)}
        words = dict.fromkeys(word for raised in alarms.values() for word in raised)
        if not words:
            continue
        spans = [f"{word} in {_spans({epoch: word in raised for epoch, raised in alarms.items()})}" for word in words]
        seen = f"{', '.join(spans)} of {rows[-1]['epoch']}"
        message = (
            f"{seen}: the outputs or features are nearly the same for every row there. Look at them with make epochs"
        )
        if stage == history[-1]["stage"] and alarms.get(chosen):
            message = (
                f"epoch {chosen}, which predicts, is collapsed ({seen}): its outputs or features are nearly the same "
                "for every row. Select another epoch; make epochs shows them"
            )
        yield message, f"{where}, stage {stage}"


def _alarms(monitored: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [measured["alarm"] for measured in monitored.values() if measured["alarm"]]


def _spans(raised: Mapping[int, bool]) -> str:
    """Epoch -> alarm raised, as "epochs 2-30" or "epoch 4"; a span includes epochs that were not validated."""
    runs = [[epoch for epoch, _ in run] for on, run in groupby(raised.items(), key=itemgetter(1)) if on]
    spans = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"epoch{'s' if sum(map(len, runs)) > 1 else ''} {first_three(spans)}"
