"""Turn a probed batch into parameters: batch size, accumulation and learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from goldfold.params import Params

Rule = Literal["none", "linear", "sqrt"]


class AdoptionParams(Params):
    """The block `capacity:` of a config, for a batch size that is `auto`."""

    effective: Literal["default", "knee"] | int = Field(
        "default",
        description="samples per optimizer step: default, those of the recipe's batch size times accumulate; knee, the "
        "fastest batch if it is larger; or a number",
    )
    learning_rate: Rule = Field(
        "none", description="how learning rates follow the samples per step: none, linear, sqrt (square root)"
    )
    memory: str | None = Field(
        None, description="what a training process may take, such as 4GiB; default: what is free"
    )


@dataclass(frozen=True)
class Adopted:
    """batch * accumulate = samples per optimizer step; factor: of the learning rates."""

    batch: int
    accumulate: int
    factor: float


def batches_of(effective: int, least: int = 1) -> list[int]:
    """The batch sizes whose accumulation gives exactly `effective` samples per step, the largest first.

    >>> batches_of(12), batches_of(13, least=2)
    ([12, 6, 4, 3, 2, 1], [13])
    """
    return [size for size in range(effective, least - 1, -1) if effective % size == 0]


def adopted(batch: int, effective: int, default: int, rule: Rule) -> Adopted:
    """Accumulate `batch` to `effective` samples; default: samples per step that the learning rate was chosen for.

    The linear rule is of Goyal et al. (arXiv 1706.02677), for SGD; the square root is that of Krizhevsky (arXiv
    1404.5997), and of Malladi et al. (arXiv 2205.10287) for Adam.

    >>> adopted(8, 32, default=16, rule="linear"), adopted(64, 64, default=16, rule="sqrt")
    (Adopted(batch=8, accumulate=4, factor=2.0), Adopted(batch=64, accumulate=1, factor=2.0))
    """
    assert effective % batch == 0, "batches are divisors of the samples per step"
    ratio = effective / default
    return Adopted(batch, effective // batch, {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[rule])
