"""How frames are embedded without their labels: SimSiam, then FastAP on the views of a frame and its neighbors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pandas import DataFrame

from competitions.recordings.data import NEIGHBORS, UNLABELLED
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
    """The embedder's plan, told which frames have no label."""
    return EMBEDDER.build(params, rows.assign(label=rows["label"].where(rows["label"] != UNLABELLED)), runtime)


RECIPES = {"embedder": replace(EMBEDDER, build=build)}
