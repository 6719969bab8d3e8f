"""Types of the parameters that recipes with a trained network share; each recipe gives its own defaults.

class HeadParams(Params):
    epochs: TrainingEpochs = 20
    warmup: Warmup = 0.1
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from goldfold.images.views import ViewSet
from goldfold.nn import schedules
from goldfold.params import BatchSize, Epochs, LearningRate, Needs, Not, Role

TrainingEpochs = Annotated[Epochs, Field(ge=1, description="number of training epochs")]
SamplesPerBatch = Annotated[BatchSize, Field(ge=1, description="samples per batch")]
PeakRate = Annotated[LearningRate, Field(gt=0, description="peak learning rate of AdamW")]
WeightDecay = Annotated[float, Field(ge=0, description="weight decay of AdamW")]
HeadFactor = Annotated[
    float, Field(gt=0, description="learning rate of the last layer, as a multiple of learning_rate")
]
LayerDecay = Annotated[
    float,
    Field(gt=0, le=1, description="learning rate of a block, as a multiple of that of the next block; 1: all alike"),
]
GradientCheckpointing = Annotated[
    bool, Field(description="compute activations again in the backward pass: less memory, more time")
]
Schedule = Annotated[schedules.Name, Field(description="learning-rate schedule")]
Warmup = Annotated[
    float,
    Needs(schedule=Not("constant")),
    Field(ge=0, lt=1, description="share of all steps in which the learning rate rises"),
]
Mixup = Annotated[
    float,
    Field(
        ge=0,
        description="mix each sample with another one of its batch, by a share from Beta(mixup, mixup); 0: none",
    ),
]
Views = Annotated[ViewSet, Role.VIEWS]
