"""Each audit: a planted case that it must catch, and a clean one on which it must stay silent.

Learning rates, gradient norms and parameters are what training itself noted, not made up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from goldfold import schedules
from goldfold.competition import Fold, Plan, Stage
from goldfold.engine.loop import Loop
from goldfold.engine.scoring import spread
from goldfold.engine.training import train
from goldfold.errors import GoldfoldError
from goldfold.trust import audits


def codes(findings: list[audits.Finding]) -> list[str]:
    return [finding.code for finding in findings]


# -- folds and data


CLEAN = [Fold(np.array([2, 3, 4, 5]), np.array([0, 1])), Fold(np.array([0, 1, 4, 5]), np.array([2, 3]))]
LEAKING = [CLEAN[0], Fold(np.array([0, 1, 3, 4, 2]), np.array([2, 3]))]


def test_shared_rows():
    assert audits.shared_rows(CLEAN) == []
    (finding,) = audits.shared_rows(LEAKING)
    assert (finding.code, finding.level, finding.where) == ("shared_rows", "error", "fold 1")
    assert finding.message.startswith("2 rows are trained on and scored, first at position 2")


def test_shared_groups():
    """Index labels do not matter, positions do."""
    people = pd.Series(["甲", "甲", "乙", "乙", "丙", "丙"], name="person", index=range(10, 16))
    assert audits.shared_groups(CLEAN, people) == []
    (finding,) = audits.shared_groups(CLEAN, people.mask(people == "丙", "乙"))
    assert (finding.code, finding.level, finding.where) == ("shared_groups", "error", "fold 1")
    assert finding.message.startswith("1 values of 'person' are on both sides, such as '乙'")


def test_shared_contents():
    ids = pd.Series(["a", "b", "c", "d", "e", "f"], index=range(6, 12))
    assert audits.shared_contents(CLEAN, pd.Series([1, 1, 2, 2, 3, 4], index=ids.index), ids) == []
    (finding,) = audits.shared_contents(CLEAN, pd.Series([1, 2, 3, 3, 2, 5], index=ids.index), ids)
    assert (finding.code, finding.level, finding.where) == ("shared_contents", "warning", "fold 0")
    assert finding.message.startswith("1 of 2 scored samples are copies of trained ones, first id 'b' like 'e'")


def test_copies_in_test():
    train, test = pd.Series([1, 2, 3]), pd.Series([4, 3, 2])
    ids, test_ids = pd.Series(["a", "b", "c"]), pd.Series(["x", "y", "z"])
    assert audits.copies_in_test(train, ids, pd.Series([4, 5, 5]), test_ids) == []
    (finding,) = audits.copies_in_test(train, ids, test, test_ids)
    assert (finding.code, finding.level) == ("copies_in_test", "warning")
    assert finding.message.startswith("2 of 3 test samples are copies of training")
    assert "first 'y' like 'c'" in finding.message


# -- parameters and losses


POINTS, LABELS = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0.0, 1.0] * 6)


def trained(model: nn.Module, *stages: Stage) -> tuple[list, dict]:
    plan = Plan(model=model, stages=stages, predict=lambda *_: None)
    return train(plan, loop=Loop(), device=torch.device("cpu"))


def a_stage(losses: Callable, optimizer: Callable | None = None, epochs: int = 2, **parts) -> Stage:
    return Stage(
        name=parts.pop("name", "fit"),
        epochs=epochs,
        batches=lambda epoch: [(POINTS[:6], LABELS[:6]), (POINTS[6:], LABELS[6:])],
        losses=losses,
        optimizer=optimizer or (lambda model: torch.optim.SGD(model.parameters(), 0.05)),
        **parts,
    )


def cross_entropy(model: nn.Module, batch: tuple) -> dict:
    return {"cross_entropy": F.binary_cross_entropy_with_logits(model(batch[0])[:, 0], batch[1])}


def headed() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))


def test_a_loss_term_without_a_trainable_ancestor_is_named():
    """Case A: BCE(head(v)) + (1 - cos(v_i, v_t)) where v comes from frozen towers."""

    def with_alignment(model, batch):
        return {**cross_entropy(model, batch), "alignment": (1 - F.cosine_similarity(batch[0], batch[0] + 1)).mean()}

    history, _ = trained(headed(), a_stage(with_alignment))
    (finding,) = audits.dead_loss_terms(history, "fold 0")
    assert (finding.code, finding.level, finding.where) == ("dead_loss_term", "error", "fold 0, stage fit")
    assert "loss term 'alignment' has no gradient" in finding.message
    assert audits.dead_loss_terms(trained(headed(), a_stage(cross_entropy))[0], "fold 0") == []


def test_a_term_that_reaches_frozen_parameters_only_is_dead_too():
    def on_first_layer(model, batch):
        return {**cross_entropy(model, batch), "size": model[0].weight.square().sum()}

    frozen = a_stage(on_first_layer, lambda model: torch.optim.SGD(model[1].parameters(), 0.1))
    (finding,) = audits.dead_loss_terms(trained(headed(), frozen)[0], "fold 0")
    assert (finding.level, "'size' has no gradient" in finding.message) == ("error", True)


def test_a_term_whose_gradient_is_zero_is_a_warning():
    def with_margin(model, batch):
        return {**cross_entropy(model, batch), "margin": F.relu(model(batch[0]) - 1e6).sum()}

    (finding,) = audits.dead_loss_terms(trained(headed(), a_stage(with_margin))[0], "fold 0")
    assert (finding.level, "'margin' has a gradient of 0 in every epoch" in finding.message) == ("warning", True)


def test_a_term_that_wakes_up_later_is_not_dead():
    seen = []

    def late(model, batch):
        seen.append(batch)
        return {**cross_entropy(model, batch), "late": model(batch[0]).sum() * float(len(seen) > 3)}

    assert audits.dead_loss_terms(trained(headed(), a_stage(late))[0], "fold 0") == []


def test_a_layer_outside_every_optimizer_is_named():
    """Case L: what was built, is trainable, and was handed to no optimizer stays as it was drawn."""
    only_head = a_stage(cross_entropy, lambda model: torch.optim.SGD(model[1].parameters(), 0.1))
    _, facts = trained(headed(), only_head)
    (finding,) = audits.orphan_parameters(facts, "fold 2")
    assert (finding.code, finding.level, finding.where) == ("orphan_parameter", "warning", "fold 2")
    assert finding.message.startswith("0.bias, 0.weight can be trained and are in no optimizer")


def test_a_layer_another_stage_holds_or_the_recipe_froze_is_none():
    first = a_stage(cross_entropy, lambda model: torch.optim.SGD(model[0].parameters(), 0.1), name="first")
    second = a_stage(cross_entropy, lambda model: torch.optim.SGD(model[1].parameters(), 0.1), name="second")
    assert audits.orphan_parameters(trained(headed(), first, second)[1], "fold 0") == []
    frozen = headed()
    frozen[0].requires_grad_(False)
    assert audits.orphan_parameters(trained(frozen, second)[1], "fold 0") == []


def test_a_head_no_loss_uses_is_named():
    """Case L: ArcFace logits that are computed and never enter the sum."""
    model = nn.ModuleDict({"head": nn.Linear(4, 1), "arcface": nn.Linear(4, 3)})

    def unused(model, batch):
        model["arcface"](batch[0])
        return cross_entropy(model["head"], batch)

    (finding,) = audits.orphan_parameters(trained(model, a_stage(unused))[1], "fold 0")
    assert (finding.code, finding.where) == ("no_gradient", "fold 0, stage fit")
    assert finding.message.startswith("arcface.weight, arcface.bias got no gradient")


def test_frozen_parameters_in_an_optimizer_are_no_finding():
    """optimizer(model.parameters()) over a frozen backbone is usual and harmless."""
    model = headed()
    model[0].requires_grad_(False)
    assert audits.orphan_parameters(trained(model, a_stage(cross_entropy))[1], "fold 0") == []


# -- learning rates


def rates(schedule: Callable | None, epochs: int, per: str, *configured: float) -> dict:
    """The facts of training whose groups begin with the `configured` rates, two steps an epoch."""
    model = nn.ModuleList([nn.Linear(4, 1) for _ in configured])

    def losses(model, batch):
        return cross_entropy(lambda x: sum(layer(x) for layer in model), batch)

    def optimizer(model):
        groups = [{"params": part.parameters(), "lr": rate} for part, rate in zip(model, configured, strict=True)]
        return torch.optim.SGD(groups)

    _, facts = trained(model, a_stage(losses, optimizer, epochs, schedule=schedule, schedule_per=per))
    return facts


def test_an_anneal_cut_short_is_named():
    """Case F: T_max stayed 100 in a run of 20 epochs, the rate fell from .05 to .0452 only."""
    facts = rates(lambda o, *_: CosineAnnealingLR(o, T_max=100), 20, "epoch", 0.05)
    (finding,) = audits.learning_rates(facts, "fold 0")
    assert (finding.code, finding.level, finding.where) == ("schedule_not_finished", "warning", "fold 0, stage fit")
    assert "configured 0.05: peak 0.05, final 0.0452" in finding.message
    assert "90%" in finding.message


@pytest.mark.parametrize("epochs", [2, 4, 20])
@pytest.mark.parametrize("per", ["step", "epoch"])
def test_a_finished_anneal_is_clean_however_short(per, epochs):
    length = {"step": lambda epochs, steps: epochs * steps, "epoch": lambda epochs, steps: epochs}[per]
    facts = rates(lambda o, epochs, steps: CosineAnnealingLR(o, length(epochs, steps)), epochs, per, 0.05, 0.01)
    assert audits.learning_rates(facts, "fold 0") == []


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 20])
@pytest.mark.parametrize("schedule", [None, schedules.cosine, schedules.one_cycle, schedules.named("cosine", 0.2)])
def test_our_own_schedules_are_clean(schedule, epochs):
    assert audits.learning_rates(rates(schedule, epochs, "step", 0.05, 0.001), "fold 0") == []


def test_a_scalar_peak_that_lifts_every_group_is_named():
    """Case N: OneCycleLR with one number for groups of 1e-4, 1e-5 and 5e-6."""

    def scalar(optimizer, epochs, steps):
        return OneCycleLR(optimizer, max_lr=1e-4, total_steps=epochs * steps)

    def listed(optimizer, epochs, steps):
        return OneCycleLR(optimizer, max_lr=[1e-4, 1e-5, 5e-6], total_steps=epochs * steps)

    facts = rates(scalar, 10, "step", 1e-4, 1e-5, 5e-6)
    assert facts["fit"]["rates"]["peak"] == pytest.approx([1e-4] * 3)
    findings = audits.learning_rates(facts, "fold 0")
    assert [(f.code, f.message[:30]) for f in findings] == [
        ("lr_per_group", "group 1, configured 1e-05: pea"),
        ("lr_per_group", "group 2, configured 5e-06: pea"),
    ]
    facts = rates(listed, 10, "step", 1e-4, 1e-5, 5e-6)
    assert facts["fit"]["rates"]["peak"] == pytest.approx([1e-4, 1e-5, 5e-6])
    assert audits.learning_rates(facts, "fold 0") == []


def test_a_schedule_that_swings_is_named():
    """Case N: a cosine of 30 epochs stepped per batch, 840 times, makes 14 swings and ends at its peak."""
    facts = rates(lambda o, *_: CosineAnnealingLR(o, T_max=30), 420, "step", 1e-5)
    noted = facts["fit"]["rates"]
    assert noted["minima"] == [14]
    assert noted["final"] == pytest.approx([1e-5], rel=0.01)
    (finding,) = audits.learning_rates(facts, "fold 0")
    assert (finding.code, "fell and rose 14 times" in finding.message) == ("lr_swings", True)


def test_a_stage_of_no_epochs_is_no_finding():
    """An ablation sets a stage's epochs to 0."""
    idle = a_stage(cross_entropy, epochs=0, name="idle")
    history, facts = trained(headed(), idle, a_stage(cross_entropy))
    assert audits.learning_rates(facts, "f") + audits.orphan_parameters(facts, "f") == []
    assert audits.dead_loss_terms(history, "f") == []


# -- scores


def summary(values: list[float], chance: float, higher: bool = True) -> dict:
    return {"chance": chance, "higher_is_better": higher, **spread(values, (-np.inf, np.inf))}


@pytest.mark.parametrize(
    ("values", "chance", "higher", "expected"),
    [
        ([0.9, 0.92, 0.91], 0.5, True, []),
        ([0.4, 0.45, 0.42], 0.5, True, ["worse_than_chance"]),
        ([0.5, 0.5, 0.5], 0.5, True, ["worse_than_chance"]),
        ([0.45, 0.6, 0.55], 0.5, True, ["at_chance"]),
        ([0.3, 0.31, 0.29], 0.69, False, []),
        ([0.7, 0.8, 0.9], 0.69, False, ["worse_than_chance"]),
        ([0.5, 0.8, 0.7], 0.69, False, ["at_chance"]),
        ([0.9], 0.5, True, []),
        ([0.4], 0.5, True, ["worse_than_chance"]),
    ],
)
def test_scores_against_chance(values, chance, higher, expected):
    assert codes(audits.worse_than_chance("x", summary(values, chance, higher))) == expected


def test_an_epoch_chosen_on_the_scored_fold_says_by_how_much():
    def history(*scores):
        return [{"stage": "fit", "epoch": epoch, "metric": score} for epoch, score in enumerate(scores, 1)]

    fits = [history(0.5, 0.9, 0.7), history(0.6, 0.6, None, 0.6)]
    (finding,) = audits.selected_on_scored_fold(fits, True)
    assert (finding.code, finding.level) == ("selected_on_scored_fold", "note")
    assert "read 0.1000 worse" in finding.message
    (finding,) = audits.selected_on_scored_fold([history(0.5, 0.3, 0.4)], False)
    assert "read 0.1000 worse" in finding.message
    assert audits.selected_on_scored_fold([[]], True) == audits.selected_on_scored_fold([history(None)], True) == []


# -- findings together


def finding(code: str = "x", level: audits.Level = "error", where: str = "fold 0") -> audits.Finding:
    return audits.Finding(code, level, "something leaks", where)


def test_equal_findings_of_several_folds_become_one():
    merged = audits.merged([finding(where=f"fold {number}") for number in range(5)] + [finding("y", where="fold 1")])
    assert [(found.code, found.where) for found in merged] == [
        ("x", "fold 0, fold 1, fold 2 and 2 more"),
        ("y", "fold 1"),
    ]


def test_errors_stop_unless_they_are_accepted():
    audits.refuse_errors([finding(level="warning"), finding(level="note")], ())
    audits.refuse_errors([finding("x")], ("x",))
    with pytest.raises(GoldfoldError, match=r"fold 0: something leaks \(.*accept=\[y\]"):
        audits.refuse_errors([finding("x"), finding("y")], ("x",))
