"""Faults of training planted in a recipe of one's own, each caught by its code in a whole run; clean twins are silent.

Two folds of 24 rows are trained through the Python API, so that what is checked is what a run reports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from made_tables import train
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

import goldfold as gf
from goldfold import metrics
from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.nn import schedules
from goldfold.nn.optimizers import Joined
from goldfold.optional_parts import Pairs
from goldfold.params import Params
from goldfold.retrieval.pairs import by_label
from goldfold.training.predictor import labels_refused

CODES = {  # that these cases may raise; others, such as those of a small sample, are not of training
    *("collapse", "constant_feature", "dead_loss_term", "lr_per_group", "lr_swings", "no_gradient", "one_loss_term"),
    *("optimizer_never_stepped", "orphan_parameter", "parameter_outside_model", "schedule_not_finished"),
}
WIDTH, EPOCHS, BATCH = 4, 4, 8
Losses = Callable[[nn.Module, tuple[Tensor, ...]], Mapping[str, Tensor]]


class Nothing(Params):
    """No parameters."""


class Network(nn.Module):
    """An encoder, a head, and the centers of a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(WIDTH, 8), nn.Linear(8, 1)
        self.centers = nn.Parameter(torch.randn(2, 8))
        self.arcface = nn.Linear(8, 2)

    def forward(self, points: Tensor) -> Tensor:
        return self.head(self.encode(points))[:, 0]

    def encode(self, points: Tensor) -> Tensor:
        return torch.tanh(self.encoder(points))


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    draw = np.random.default_rng(0)
    rows = pd.DataFrame(draw.normal(size=(60, WIDTH)), columns=[f"x{at}" for at in range(WIDTH)])
    rows = rows.assign(id=range(60), y=(rows["x0"] > 0).astype(int))
    return rows[:48], rows[48:].drop(columns="y").reset_index(drop=True)


TABLES = tables()
POINTS = [f"x{at}" for at in range(WIDTH)]


def points_of(rows: pd.DataFrame) -> Tensor:
    return torch.tensor(rows[POINTS].to_numpy(), dtype=torch.float32)


def cross_entropy(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    return F.binary_cross_entropy_with_logits(model(batch[0]), batch[1])


def pull(centers: Tensor, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    return (model.encode(batch[0]) - centers[batch[1].long()]).square().mean()


def all_losses(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    arcface = F.cross_entropy(model.arcface(model.encode(batch[0])), batch[1].long())
    return {"id": cross_entropy(model, batch), "center": pull(model.centers, model, batch), "arcface": arcface}


def without(*terms: str, **more: Losses) -> Losses:
    """All losses without some terms, and with others."""

    def losses(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        found = {name: value for name, value in all_losses(model, batch).items() if name not in terms}
        return found | {name: make(model, batch) for name, make in more.items()}

    return losses


class FirstOnly(Joined):
    """Steps its first part only."""

    def step(self, closure: None = None) -> None:
        self.parts[0].step()


def joined(kind: type[Joined], model: Network) -> torch.optim.Optimizer:
    others = [each for name, each in model.named_parameters() if name != "centers"]
    own = {"name": "center", "params": [model.centers], "lr": 0.5}
    return kind(torch.optim.Adam([{"name": "network", "params": others}], 0.01), torch.optim.SGD([own]))


def grouped(model: Network, rates: tuple[float, float, float]) -> torch.optim.Optimizer:
    parts = {"visual": model.encoder.parameters(), "head": model.head.parameters()}
    parts["losses"] = [model.centers, *model.arcface.parameters()]
    groups = [
        {"name": name, "params": list(part), "lr": rate}
        for (name, part), rate in zip(parts.items(), rates, strict=True)
    ]
    return torch.optim.SGD(groups)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 0.01)


def recipe(
    losses: Losses = all_losses,
    optimizer: Callable = adam,
    predict: Callable | None = None,
    model: type[nn.Module] = Network,
    **stage,
) -> Recipe:
    """A recipe with one stage, whose model predicts a score."""

    def build(params: Nothing, rows: pd.DataFrame, runtime: Runtime) -> Plan:
        points, labels = points_of(rows), torch.tensor(rows["y"].to_numpy(), dtype=torch.float32)
        parts = [(points[at : at + BATCH], labels[at : at + BATCH]) for at in range(0, len(rows), BATCH)]
        fit = Stage(name="fit", epochs=EPOCHS, batches=lambda epoch: parts, losses=losses, optimizer=optimizer, **stage)
        own = predict or (lambda model, state, rows: model(points_of(rows)).sigmoid().numpy())
        return Plan(model=model(), stages=[fit], predict=own)

    return Recipe(params=Nothing, build=build)


def run_of(made: Recipe, **options) -> gf.Run:
    return train(metrics.auroc("y"), made, TABLES, **options)


def told(run: gf.Run) -> dict[str, list[str]]:
    """Code -> messages, of the codes of training."""
    found: dict[str, list[str]] = {}
    for each in run.findings:
        if each.code in CODES:
            found.setdefault(each.code, []).append(each.message)
    return found


# -- faults, their clean twins, and what each reports


class Centers(nn.Module):
    """Centers of a loss that is made beside the plan's model, with an optimizer that nobody steps."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.randn(2, 8))
        self.optimizer = torch.optim.SGD([self.values], 0.5)


class Single(Network):
    """The encoder and the head alone."""

    def __init__(self) -> None:
        super().__init__()
        del self.centers, self.arcface


class Texts(nn.Module):
    """A causal text tower on the prompts of two classes: start token, word, end token."""

    def __init__(self, position: int) -> None:
        super().__init__()
        self.position, self.words = position, nn.Embedding(4, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True)

    def forward(self, labels: Tensor) -> Tensor:
        tokens = torch.stack([torch.zeros_like(labels), 1 + labels, torch.full_like(labels, 3)], dim=1)
        mask = nn.Transformer.generate_square_subsequent_mask(3)
        return self.layer(self.words(tokens), src_mask=mask, is_causal=True)[:, self.position]


def alignment(position: int) -> Losses:
    """The cosine of images and their texts, read at a position of a frozen tower."""
    tower = Texts(position).requires_grad_(False)

    def loss(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        return (1 - F.cosine_similarity(model.encode(batch[0]), tower(batch[1].long()))).mean()

    return loss


def frozen_alignment(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    return (1 - F.cosine_similarity(batch[0], batch[0].flip(0))).mean()


def summed(*parts: Losses) -> Losses:
    """Every loss and more parts, added up before they are returned."""
    return lambda model, batch: {
        "total": sum(all_losses(model, batch).values()) + sum(part(model, batch) for part in parts)
    }


def head_beside(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    all_losses(model, batch)
    return without("arcface")(model, batch)


def tiny(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    return 1e-6 * cross_entropy(model, batch)


def small(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    return 1e-3 * cross_entropy(model, batch)


def weak_group(factor: float) -> Losses:
    """The gradient of the losses' own weights is scaled by a factor, beside that of the network."""

    def scaled(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        found = all_losses(model, batch)
        weak = found["center"] + found["arcface"]
        return {"id": found["id"], "rest": factor * weak}

    return scaled


def only(part: Losses) -> Losses:
    return lambda model, batch: {"id": part(model, batch)}


def one_cycle(peaks: float | list[float]) -> Callable:
    return lambda optimizer, epochs, steps: OneCycleLR(optimizer, max_lr=peaks, total_steps=epochs * steps)


RATES = (1e-4, 1e-5, 5e-6)
THREE = partial(grouped, rates=RATES)
NO_CENTERS = lambda model: torch.optim.Adam([p for n, p in model.named_parameters() if n != "centers"], 0.01)  # noqa: E731
ANNEALED = {"schedule": lambda optimizer, *_: CosineAnnealingLR(optimizer, T_max=EPOCHS), "schedule_per": "epoch"}
PLANTED: dict[str, tuple[dict, dict[str, str], dict]] = {  # case -> parts, code -> words of its message, the clean twin
    "L: a head whose loss is not in the sum": (
        {"losses": head_beside},
        {"no_gradient": "arcface.weight, arcface.bias got no gradient"},
        {},
    ),
    "L: centers whose optimizer never steps": (
        {"optimizer": partial(joined, FirstOnly)},
        {"optimizer_never_stepped": "parameter group center got gradients"},
        {"optimizer": partial(joined, Joined)},
    ),
    "L: centers in no optimizer": ({"optimizer": NO_CENTERS}, {"orphan_parameter": "centers can be trained"}, {}),
    "L: centers outside the model": (
        {"losses": without(beside=partial(pull, Centers().values))},
        {"parameter_outside_model": "of shape (2, 8), and no optimizer steps them"},
        {},
    ),
    "A: a term whose gradient is tiny": (
        {"losses": without(tiny=tiny)},
        {"dead_loss_term": "'tiny' has a gradient of norm"},
        {"losses": without(small=small)},
    ),
    "A: a group whose gradient is tiny": (
        {"losses": weak_group(1e-7), "optimizer": THREE},
        {"dead_loss_term": "'rest'", "no_gradient": "parameter group losses got a gradient of norm"},
        {"losses": weak_group(1e-2), "optimizer": THREE},
    ),
    "A: a part without gradient in a single term": (
        {"losses": summed(frozen_alignment)},
        {"one_loss_term": "a value without gradient is added (test_planted_training.py line"},
        {"losses": summed(small)},
    ),
    "M: texts read at the start token": (
        {"losses": without(alignment=alignment(0))},
        {"constant_feature": "input 2 of cosine_similarity (8 columns, test_planted_training.py line"},
        {"losses": without(alignment=alignment(2))},
    ),
    "N: a scalar peak lifts every group": (
        {"optimizer": THREE, "schedule": one_cycle(1e-4)},
        {"lr_per_group": "parameter group head, configured 1e-05: peak 9.94e-05"},
        {"optimizer": THREE, "schedule": one_cycle(list(RATES))},
    ),
    "N: a scalar peak lowers groups": (
        {"optimizer": THREE, "schedule": one_cycle(5e-6)},
        {"lr_per_group": "the group never reached more than 5% of its own learning rate"},
        {"optimizer": THREE, "schedule": schedules.create("cosine", 0.5)},
    ),
    "N: a cosine in epochs stepped by batch": (
        {"schedule": lambda optimizer, *_: CosineAnnealingLR(optimizer, T_max=2)},
        {"lr_swings": "it fell and rose 3 times"},
        ANNEALED,
    ),
    "F: a cosine planned for more epochs": (
        {"schedule": lambda optimizer, *_: CosineAnnealingLR(optimizer, T_max=100), "schedule_per": "epoch"},
        {"schedule_not_finished": "the schedule ended at"},
        ANNEALED,
    ),
    "G: outputs that do not depend on the inputs": (
        {"predict": lambda model, state, rows: np.full(len(rows), 0.3)},
        {"collapse": "the fit predicts the same for all of 24 rows"},
        {},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_fault_is_caught_by_its_code(toy: Path, case: str) -> None:
    parts, expected, _ = PLANTED[case]
    found = told(run_of(recipe(**parts)))
    assert set(found) == set(expected), found
    for code, words in expected.items():
        assert any(words in message for message in found[code]), found[code]


TWINS = {case: twin for case, (_, _, twin) in PLANTED.items() if twin} | {
    "all losses": {},
    "a single loss": {"losses": only(cross_entropy), "model": Single},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", TWINS)
def test_the_clean_twin_is_silent(toy: Path, case: str) -> None:
    assert told(run_of(recipe(**TWINS[case]))) == {}


def test_several_faults_of_one_recipe_are_told_apart(toy: Path) -> None:
    """Case L in one run: centers whose optimizer never steps, a head outside the sum, centers outside the model."""
    losses = without("arcface", beside=partial(pull, Centers().values), alignment=alignment(0))
    faulty = told(run_of(recipe(losses, partial(joined, FirstOnly))))
    assert set(faulty) == {"optimizer_never_stepped", "no_gradient", "parameter_outside_model", "constant_feature"}


def test_a_term_without_gradient_stops_the_run(toy: Path) -> None:
    """Case A: the towers are frozen, so that the alignment has no trainable ancestor."""
    with raises_code("dead_loss_term", "'alignment' has no gradient"):
        run_of(recipe(without(alignment=frozen_alignment)))


@pytest.mark.parametrize(
    "read", [lambda rows: rows["y"], lambda rows: rows[["x0", "y"]], lambda rows: rows.y], ids=["[]", "[[]]", "."]
)
def test_a_prediction_from_labels_is_refused_by_name(toy: Path, read: Callable) -> None:
    """Case P: a predict that reads the labels of the rows it predicts."""

    def cheat(model: nn.Module, state: None, rows: pd.DataFrame) -> np.ndarray:
        return read(rows).to_numpy(float)

    with raises_code("label_at_inference", "predict() reads the target column 'y'"):
        run_of(recipe(predict=cheat))


def test_another_missing_column_is_no_label() -> None:
    rows, own = pd.DataFrame({"x": [1.0]}), {"y2": 1}
    for read in (lambda: rows["y1"], lambda: own["y"], lambda: rows.y1):
        with pytest.raises((KeyError, AttributeError)), labels_refused(["y"]):
            read()


# -- embeddings


def by_class(rows: pd.DataFrame) -> Pairs:
    return by_label(rows["y"])


def embedder(spread: float, rate: float) -> Recipe:
    """Embeddings of a linear map that is trained on labels, beside a constant; the smaller the spread, the nearer."""

    def predict(model: nn.Module, state: None, rows: pd.DataFrame) -> np.ndarray:
        return np.concatenate([spread * model.encode(points_of(rows)).numpy(), np.ones((len(rows), 1), np.float32)], 1)

    made = {"losses": only(cross_entropy), "optimizer": lambda model: torch.optim.Adam(model.parameters(), rate)}
    return replace(recipe(**made, predict=predict, model=Single), pooled=False)


@pytest.mark.slow
def test_embeddings_of_ones_own_are_watched_for_collapse(toy: Path) -> None:
    """Case G: nothing in the recipe measures how far embeddings are apart."""
    metric = metrics.mean_average_precision(by_class, protocol="all others answer")
    for spread, expected in ((1e-4, True), (1.0, False)):
        run = train(metric, embedder(spread, 0.01), TABLES, outputs=9)
        found = told(run).get("collapse", [])
        assert bool(found) == expected
        assert all("the embeddings that the fit predicts are collapsed (one point: spread" in each for each in found)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "level"), [(0.05, None), (1e-7, "note")])
def test_two_folds_are_compared_with_nothing_trained_by_their_rows(toy: Path, rate: float, level: str | None) -> None:
    """Case O: what training took off each row's error decides, where two folds have no interval worth the name."""
    metric = metrics.mean_average_precision(by_class, protocol="all others answer")
    run = train(metric, embedder(1.0, rate), TABLES, outputs=9)
    found = [each for each in run.findings if each.code == "below_untrained"]
    assert [each.level for each in found] == ([level] if level else [])
    assert all("95 % interval of what a row's error fell by" in each.message for each in found)
