"""Validate a fit in training, and keep the last epoch's predictions, which are the fit's own if it ends with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pandas import DataFrame
from torch import nn

from goldfold.competition import Plan
from goldfold.experiment.fits.experiment import Experiment
from goldfold.experiment.scoring import metrics_per_score, score_all
from goldfold.io import random_states
from goldfold.training.predictor import Predictor, finish_plan


@dataclass
class Validation:
    """Scores a plan in training on the rows its fit holds out.

    last: the predictor and the predictions of the validation after which no epoch could follow, if they are those of
        the plan's model: not of an average of its weights. None too if they drew random numbers, since predicting
        again would draw others.
    """

    experiment: Experiment
    plan: Plan
    held_out: DataFrame
    last: tuple[Predictor, np.ndarray] | None = None

    def scores(self, model: nn.Module, last: bool = False) -> dict[str, float]:
        """Scores by name of a model in training. last: whether no epoch can follow."""
        before = random_states.get_states() if last else None
        predict = self.finished(model)
        predictions = predict(self.held_out)
        if before and model is self.plan.model and random_states.equal(before, random_states.get_states()):
            self.last = predict, predictions
        metrics = metrics_per_score(self.experiment.competition, predictions)
        return score_all(metrics, self.held_out, predictions)

    def finished(self, model: nn.Module | None) -> Predictor:
        """The plan finished with the current weights of a model."""
        return finish_plan(self.plan, model, self.experiment.competition.targets, self.experiment.loop.precision)
