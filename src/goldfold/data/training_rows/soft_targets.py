"""Reserved columns of training rows: weights, and probabilities as targets beside the labels.

They reach a recipe that `accepts` them, and only if a config asks for them. A row of weight w, share a, label y and
soft targets q at temperature T has the loss of knowledge distillation (Hinton, Vinyals and Dean 2015, section 2)

    w * ((1 - a) * CE(y, softmax(z)) + a * T**2 * CE(q, softmax(z / T)))

for logits z, where CE(q, p) = -sum over classes of q ln p. q is `softened` already. A row without soft targets has
a = 0; a row whose label is a guess, such as one of the test table, has a = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame

WEIGHT = "sample_weight"
SHARE = "soft_share"
TEMPERATURE = "soft_temperature"
TARGETS = "soft_target_"  # followed by the number of the class or label


@dataclass(frozen=True)
class RowTargets:
    """What the reserved columns of n rows say.

    weight, share, temperature: float64 (n,). soft: float64 (n, classes or labels), 0 where the share is 0.
    """

    weight: np.ndarray
    share: np.ndarray
    soft: np.ndarray
    temperature: np.ndarray


def put(rows: DataFrame, found: RowTargets) -> DataFrame:
    """Rows with the reserved columns."""
    columns = {f"{TARGETS}{number}": each for number, each in enumerate(found.soft.T)}
    return rows.assign(**{WEIGHT: found.weight, SHARE: found.share, TEMPERATURE: found.temperature, **columns})


def take(rows: DataFrame) -> RowTargets | None:
    """What the reserved columns say; None where there are none, so that each row counts once by its label."""
    if WEIGHT not in rows:
        return None
    names = sorted((name for name in rows if str(name).startswith(TARGETS)), key=lambda name: int(name[len(TARGETS) :]))
    soft = rows[names].to_numpy(np.float64)
    return RowTargets(rows[WEIGHT].to_numpy(), rows[SHARE].to_numpy(), soft, rows[TEMPERATURE].to_numpy())


def reserved(rows: DataFrame) -> list[str]:
    """The columns of rows whose names are reserved."""
    return [name for name in rows if name in (WEIGHT, SHARE, TEMPERATURE) or str(name).startswith(TARGETS)]


def softened(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (n, classes) at a temperature T: p**(1/T), scaled to sum 1, which is softmax(z / T) of logits z.

    >>> softened(np.array([[0.8, 0.2]]), 2.0).round(3).tolist()
    [[0.667, 0.333]]
    """
    raised = probabilities ** (1 / temperature)
    return raised / raised.sum(axis=1, keepdims=True)
