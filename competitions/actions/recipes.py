"""Statistics of joints over time (the baseline), a network on the frames themselves, and the most frequent action."""

from __future__ import annotations

from typing import Any

import numpy as np
from pandas import DataFrame

from competitions.actions.data import ACTIONS, JOINTS
from goldfold.competition import Plan, Recipe, Runtime
from goldfold.metrics.inputs import uniform_probabilities
from goldfold.optional_parts import ClassLabels
from goldfold.params import Params
from goldfold.recipes import sequence_network, statistics_pooling


def majority(params: Params, rows: DataFrame, runtime: Runtime) -> Plan:
    """Predict the shares of the actions among the training rows, whatever the recording."""
    shares = rows["action"].value_counts(normalize=True).reindex(ACTIONS, fill_value=0.0).to_numpy()

    def predict(model: None, finished: Any, rows: DataFrame) -> np.ndarray:
        return np.tile(shares, (len(rows), 1))

    return Plan(predict=predict)


RECIPES = {
    "statistics_pooling": statistics_pooling.recipe(
        "action", ACTIONS, joint_names=JOINTS, mouth="head", hands=("left hand", "right hand")
    ),
    "sequence_network": sequence_network.recipe("action", ACTIONS),
    "majority": Recipe(
        params=Params,
        build=majority,
        labels=ClassLabels("action", ACTIONS),
        columns=("action",),
        example=lambda params, rows, classes: uniform_probabilities(rows, ACTIONS),
    ),
}
