"""Embeddings of frames without labels: SimSiam, then FastAP on views of a frame and its neighbors in time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pandas import DataFrame

from competitions.recordings.data import NEIGHBORS, UNLABELED
from goldfold.competition import Plan, Runtime
from goldfold.recipes import embedder

EMBEDDER = embedder.recipe(
    "label",
    sequence=NEIGHBORS.sequence,
    time=NEIGHBORS.time,
    backbone="efficientnet_lite0",
    labels="views",
    neighbors=NEIGHBORS.guard,
)


def build(params: Any, rows: DataFrame, runtime: Runtime) -> Plan:
    """Build the embedder's plan with missing labels for unlabeled frames."""
    return EMBEDDER.build(params, rows.assign(label=rows["label"].where(rows["label"] != UNLABELED)), runtime)


RECIPES = {"embedder": replace(EMBEDDER, build=build)}
