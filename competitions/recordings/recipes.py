"""How frames are embedded without their labels: SimSiam, then FastAP on the views of a frame and its neighbours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pandas import DataFrame

from competitions.recordings.data import NEIGHBOURS, UNLABELLED
from goldfold.competition import Plan, Runtime
from goldfold.recipes import embedder

EMBEDDER = embedder.recipe(
    "label",
    sequence=NEIGHBOURS.sequence,
    time=NEIGHBOURS.time,
    backbone="efficientnet_lite0",
    labels="views",
    neighbours=NEIGHBOURS.guard,
)


def build(params: Any, rows: DataFrame, runtime: Runtime) -> Plan:
    """The embedder's plan, told which frames have no label."""
    return EMBEDDER.build(params, rows.assign(label=rows["label"].where(rows["label"] != UNLABELLED)), runtime)


RECIPES = {"embedder": replace(EMBEDDER, build=build)}
