"""The last validation's predictions are a fit's own where its weights are, equal to the bit to predicting again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_tables_with_gaps import experiment
from torch import nn
from torch.nn import functional as F

from goldfold.competition import Plan, Recipe, Stage
from goldfold.experiment.fits import CHECKPOINTS, fit, fit_folder
from goldfold.nn.batches import in_memory
from goldfold.optional_parts import Monitored
from goldfold.params import Params
from goldfold.training.settings import LoopOptions

EPOCHS = 3
TEST = 1  # prediction of the test rows


class Options(Params):
    """Whether predictions depend on random numbers; stages; the monitored value of each epoch."""

    draws: bool = False
    stages: int = 1
    heights: tuple[float, ...] = (1.0, 2.0, 3.0)


def values(rows: pd.DataFrame) -> torch.Tensor:
    return torch.from_numpy(rows[["a", "b"]].to_numpy(np.float32, copy=True))


def counting(asked: list[int]) -> Recipe:
    """A recipe whose plans add the number of rows of each prediction to a list."""

    def build(params, rows, runtime) -> Plan:
        def predict(model, finished, rows):
            asked.append(len(rows))
            noise = torch.rand(len(rows)) if params.draws else 0.0
            return (model(values(rows))[:, 0] * finished + noise).double().numpy()

        model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
        labels = torch.from_numpy(rows["target"].to_numpy(np.float32, copy=True))
        heights = iter(params.heights)
        stages = [
            Stage(
                name=f"stage {number}",
                epochs=EPOCHS,
                batches=in_memory((values(rows), labels), 8, runtime.seed),
                losses=lambda model, batch: {
                    "bce": F.binary_cross_entropy_with_logits(model(batch[0])[:, 0], batch[1])
                },
                optimizer=lambda model: torch.optim.AdamW(model.parameters(), 0.05),
            )
            for number in range(params.stages)
        ]
        return Plan(
            model=model,
            stages=stages,
            finish=lambda model: float(model(values(rows)).std()),
            predict=predict,
            monitor=lambda model: {"height": Monitored(next(heights), higher_is_better=True)},
        )

    return Recipe(params=Options, build=build)


def rows() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    table = pd.DataFrame(draw.normal(size=(60, 2)), columns=["a", "b"]).assign(id=range(60))
    return table.assign(target=(table["a"] + draw.normal(size=60) > 0).astype(int))


def fitted(folder: Path, loop: LoopOptions, **params):
    """The first fold's fit, and how often it predicted."""
    asked: list[int] = []
    found = experiment(counting(asked), rows(), loop, **params)
    return fit(found, folder, 0, 0), len(asked)


CASES = {
    "the last epoch": ({}, {}, EPOCHS + TEST),
    "two stages": ({}, {"stages": 2, "heights": (1.0,) * 6}, 2 * EPOCHS + TEST),
    "not every epoch validated": ({"validate_every": 2}, {}, 2 + TEST),
    "the best epoch is the last": ({"select": "height"}, {}, EPOCHS + TEST),
    "the last epoch by its number": ({"select": "3"}, {}, EPOCHS + TEST),
    "an earlier epoch": ({"select": "height"}, {"heights": (1.0, 9.0, 3.0)}, EPOCHS + 1 + TEST),
    "stopped early": ({"select": "height", "patience": 1}, {"heights": (9.0, 2.0, 3.0)}, 2 + 1 + TEST),
    "averaged epochs": ({"average": 2}, {}, EPOCHS + 1 + TEST),
    "averaged weights": ({"ema": 0.5}, {}, EPOCHS + 1 + TEST),
    "their statistics estimated": ({"ema": 0.5, "ema_statistics": "estimated"}, {}, EPOCHS + 1 + TEST),
    "random predictions": ({}, {"draws": True}, EPOCHS + 1 + TEST),
}


@pytest.mark.parametrize("case", CASES)
def test_predictions_have_the_bits_of_predicting_again(tmp_path: Path, case: str) -> None:
    loop, params, expected = CASES[case]
    made, predicted = fitted(tmp_path / "trained", LoopOptions(**loop), **params)
    assert predicted == expected
    place = fit_folder(tmp_path / "taken up", 0, 0)
    shutil.copytree(fit_folder(tmp_path / "trained", 0, 0) / CHECKPOINTS, place / CHECKPOINTS)
    again, predicted = fitted(tmp_path / "taken up", LoopOptions(**loop), **params)
    assert predicted == 1 + TEST, "a fit whose training is over was validated once more"
    np.testing.assert_array_equal(made.validation, again.validation)
    np.testing.assert_array_equal(made.test, again.test)
    assert (made.scores, made.epoch, made.history) == (again.scores, again.epoch, again.history)
