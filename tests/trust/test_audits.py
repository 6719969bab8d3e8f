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

from goldfold import metrics
from goldfold.competition import Fold, Plan, Stage
from goldfold.data.fields import records
from goldfold.errors import GoldfoldError
from goldfold.experiment.intervals import jackknife, limits
from goldfold.experiment.intervals.jackknife import ScoredRows
from goldfold.experiment.intervals.limits import fold_statistics
from goldfold.nn import schedules
from goldfold.optional_parts import Monitored, PermutationTest, Rule
from goldfold.params import Params
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions
from goldfold.trust import audits
from goldfold.trust.permutations import permutation_test


def codes(findings: list[audits.Finding]) -> list[str]:
    return [finding.code for finding in findings]


# -- folds and data


CLEAN = [Fold(np.array([2, 3, 4, 5]), np.array([0, 1])), Fold(np.array([0, 1, 4, 5]), np.array([2, 3]))]
LEAKING = [CLEAN[0], Fold(np.array([0, 1, 3, 4, 2]), np.array([2, 3]))]


def test_shared_rows():
    assert audits.shared_rows(CLEAN) == []
    (finding,) = audits.shared_rows(LEAKING)
    assert (finding.code, finding.level, finding.where) == ("shared_rows", "error", "fold 1")
    assert finding.message.startswith("2 of 2 scored rows are also trained on, the first at position 2")


def test_shared_groups():
    """Index labels do not matter, positions do."""
    people = pd.Series(["甲", "甲", "乙", "乙", "丙", "丙"], name="person", index=range(10, 16))
    assert audits.shared_groups(CLEAN, people) == []
    (finding,) = audits.shared_groups(CLEAN, people.mask(people == "丙", "乙"))
    assert (finding.code, finding.level, finding.where) == ("shared_groups", "error", "fold 1")
    assert finding.message.startswith("1 values of 'person' have rows on both sides, such as '乙'")


def test_shared_contents():
    ids = pd.Series(["a", "b", "c", "d", "e", "f"], index=range(6, 12))
    assert audits.shared_contents(CLEAN, pd.Series([1, 1, 2, 2, 3, 4], index=ids.index), ids) == []
    (finding,) = audits.shared_contents(CLEAN, pd.Series([1, 2, 3, 3, 2, 5], index=ids.index), ids)
    assert (finding.code, finding.level, finding.where) == ("shared_contents", "warning", "fold 0")
    assert finding.message.startswith("1 of 2 scored samples are copies of training samples, the first id 'b' of 'e'")


def test_copies_in_test():
    train, test = pd.Series([1, 2, 3]), pd.Series([4, 3, 2])
    ids, test_ids = pd.Series(["a", "b", "c"]), pd.Series(["x", "y", "z"])
    assert audits.copies_in_test(train, ids, pd.Series([4, 5, 5]), test_ids) == []
    (finding,) = audits.copies_in_test(train, ids, test, test_ids)
    assert (finding.code, finding.level) == ("copies_in_test", "error")
    (rows,) = audits.copies_in_test(train, ids, test, test_ids, files=False)
    assert (rows.level, "2 of 3 test samples are equal to training" in rows.message) == ("warning", True)
    assert finding.message.startswith("2 of 3 test samples are copies of training")
    assert "first id 'y' of 'c'" in finding.message


def test_unseen_classes():
    train = pd.Series(["地毯", "grid", "牙刷"])
    assert audits.unseen_classes(train, pd.Series(["grid", "地毯", None, "?"])) == []
    assert audits.unseen_classes(pd.Series(["?", "?"]), pd.Series(["grid", "?"])) == []
    (finding,) = audits.unseen_classes(train, pd.Series(["grid", "тень", "пол", "тень"]))
    assert (finding.code, finding.level, finding.where) == ("unseen_class", "warning", "test")
    assert finding.message.startswith("3 of 4 test rows have 2 classes without any training row, 'пол', 'тень': ")


class Libraries(Params):
    per_class: bool = False
    image_size: int = 224


RULES = (
    Rule(text="one model for all classes", broken=lambda p: "per_class fits one per class" if p.per_class else None),
    Rule(text="images of 256 pixels at most", broken=lambda p: f"{p.image_size} > 256" if p.image_size > 256 else None),
)


def test_rules_of_the_host():
    assert audits.rule_broken(RULES, Libraries()) == audits.rule_broken((), Libraries(per_class=True)) == []
    findings = audits.rule_broken(RULES, Libraries(per_class=True, image_size=300))
    assert [(f.code, f.level, f.where) for f in findings] == [("rule_broken", "error", "config")] * 2
    assert findings[0].message.startswith(
        "the rule 'one model for all classes' is broken, since per_class fits one per class: "
    )
    assert "writes no submission" in findings[0].message
    assert "256 pixels at most' is broken, since 300 > 256" in findings[1].message
    audits.refuse_errors(findings, ("rule_broken",))
    with pytest.raises(GoldfoldError) as error:
        audits.refuse_errors(findings, ())
    assert error.value.code == "rule_broken"
    assert "one model for all classes" in str(error.value)


# -- parameters and losses


POINTS, LABELS = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0.0, 1.0] * 6)


def trained(model: nn.Module, *stages: Stage) -> tuple[list, dict]:
    plan = Plan(model=model, stages=stages, predict=lambda *_: None)
    return train(plan, loop=LoopOptions(), device=torch.device("cpu"))


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
        return {**cross_entropy(model, batch), "late": model(batch[0]).sum() * float(len(seen) > 2)}

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

    history, facts = trained(model, a_stage(unused))
    (finding,) = audits.without_gradient(facts, history, "fold 0")
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


def test_an_anneal_that_early_stopping_cut_short_is_clean():
    facts = rates(lambda o, *_: CosineAnnealingLR(o, T_max=100), 20, "epoch", 0.05)
    assert audits.learning_rates(facts, "fold 0", {"fit"}) == []
    assert codes(audits.learning_rates(facts, "fold 0", {"another"})) == ["schedule_not_finished"]


@pytest.mark.parametrize("epochs", [2, 4, 20])
@pytest.mark.parametrize("per", ["step", "epoch"])
def test_a_finished_anneal_is_clean_however_short(per, epochs):
    length = {"step": lambda epochs, steps: epochs * steps, "epoch": lambda epochs, steps: epochs}[per]
    facts = rates(lambda o, epochs, steps: CosineAnnealingLR(o, length(epochs, steps)), epochs, per, 0.05, 0.01)
    assert audits.learning_rates(facts, "fold 0") == []


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 20])
@pytest.mark.parametrize("schedule", [None, schedules.cosine, schedules.one_cycle, schedules.create("cosine", 0.2)])
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
    assert [(f.code, f.message.partition(": peak")[0]) for f in findings] == [
        ("lr_per_group", "parameter group 1, configured 1e-05"),
        ("lr_per_group", "parameter group 2, configured 5e-06"),
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


# -- what a plan monitors


def monitored(alarms: dict[int, str], epochs: range = range(1, 31), stage: str = "fit") -> list[dict]:
    """A history whose looks at the outputs rang these alarms (epoch -> alarm)."""
    looks = [{"output_mean": Monitored(0.1, None, alarms.get(e, "")), "ssim": Monitored(0.9, True)} for e in epochs]
    return [
        {"stage": stage, "epoch": epoch, "monitored": {name: one._asdict() for name, one in look.items()}}
        for epoch, look in zip(epochs, looks, strict=True)
    ]


def test_collapse_names_the_alarm_and_its_epochs():
    """One model for all classes with every skip: epoch 1 reconstructs, epochs 2 to 30 are black."""
    (finding,) = audits.collapse(monitored(dict.fromkeys(range(2, 31), "black")), "fold 0", 1)
    assert (finding.code, finding.level, finding.where) == ("collapse", "warning", "fold 0, stage fit")
    assert finding.message.startswith("black in epochs 2-30 of 30")
    (finding,) = audits.collapse(monitored({1: "gray", 2: "gray", 4: "black", 16: "gray"}), "fold 0")
    assert finding.message.startswith("gray in epochs 1-2, 16, black in epoch 4 of 30: ")


def test_a_collapsed_epoch_that_predicts_stands_out():
    (finding,) = audits.collapse(monitored(dict.fromkeys(range(16, 31), "black")), "fold 0", 30)
    assert finding.message.startswith("epoch 30, which predicts, is collapsed (black in epochs 16-30 of 30)")
    assert "Select another epoch" in finding.message
    two = [*monitored({2: "one point"}, range(1, 3), "contrast"), *monitored({}, range(1, 3))]
    (finding,) = audits.collapse(two, "fold 0", 2)  # of the last stage
    assert finding.where == "fold 0, stage contrast"
    assert finding.message.startswith("one point in epoch 2 of 2: ")


def test_without_alarms_or_looks_nothing_has_collapsed():
    unseen = [{"stage": "fit", "epoch": 1}, {"stage": "fit", "epoch": 2, "monitored": None}]
    for history in ([], unseen, monitored({})):
        assert audits.collapse(history, "fold 0", 2) == []
    rare = [{**row, "monitored": row["monitored"] if row["epoch"] % 5 == 0 else {}} for row in monitored({})]
    rare[19]["monitored"]["output_mean"]["alarm"] = rare[24]["monitored"]["output_mean"]["alarm"] = "gray"
    (finding,) = audits.collapse(rare, "fold 0")
    assert finding.message.startswith("gray in epochs 20-25 of 30")


def test_predictions_of_a_fit_without_monitors_are_watched():
    """Embeddings in one point and outputs that are the same for every row; a monitor looks more closely by itself."""
    draw = np.random.default_rng(0)
    apart, beside = draw.normal(size=(300, 8)), np.ones((300, 8)) + 1e-4 * draw.normal(size=(300, 8))
    unseen = [{"stage": "fit", "epoch": 1, "monitored": {}}]
    (finding,) = audits.collapse(unseen, "fold 0", 1, beside, embeddings=True)
    assert (finding.code, finding.where) == ("collapse", "fold 0, stage fit")
    assert "are collapsed (one point: spread" in finding.message
    assert audits.collapse(unseen, "fold 0", 1, apart, embeddings=True) == []
    assert audits.collapse(unseen, "fold 0", 1, beside) == []  # outputs may be close together
    maps = records(score=np.full(300, 0.5), map=np.zeros((300, 4, 4)))
    (finding,) = audits.collapse(unseen, "fold 0", 1, maps)
    assert finding.message.startswith("the fit predicts the same for all of 200 rows: ")
    maps["score"][::2] = 0.6
    assert audits.collapse(unseen, "fold 0", 1, maps) == []
    assert audits.collapse([], "fold 0", None, np.zeros(300)) == []  # nothing was trained
    assert audits.collapse(monitored({}), "fold 0", 1, beside, embeddings=True) == []


# -- scores


def summary(values: list[float], chance: float, higher: bool = True) -> dict:
    bounds = (-np.inf, np.inf)
    return {"chance": chance, "higher_is_better": higher, "bounds": bounds, **fold_statistics(values, bounds)}


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


def test_a_score_that_chance_reaches_is_told_and_not_called_worse():
    """Rank-10 in a gallery of ten: 1 whatever the model is; a gallery of eleven leaves room."""
    full = summary([1.0, 1.0, 1.0], 1.0) | {"bounds": (0.0, 1.0)}
    assert codes(audits.worse_than_chance("Rank-10", full)) == ["chance_is_best"]
    assert codes(audits.worse_than_chance("recall@10", full | {"chance": 0.4, "best_possible": 0.4})) == [
        "chance_is_best"
    ]
    assert codes(audits.worse_than_chance("loss", summary([0.0], 0.0, False) | {"bounds": (0.0, 1.0)})) == [
        "chance_is_best"
    ]
    assert audits.worse_than_chance("Rank-10", full | {"chance": 10 / 11}) == []


def test_two_folds_are_judged_by_the_interval_over_rows():
    """Mean IoU .199, far above chance .030 on every resample of rows, though t over two folds spans [0, .41]."""
    scored = summary([0.183, 0.215], 0.030) | {"interval_95_within_folds": [0.191, 0.205]}
    assert scored["interval_95"][0] < 0.030
    assert audits.worse_than_chance("iou", scored) == []
    noisy = scored | {"interval_95_within_folds": [0.02, 0.4]}
    (finding,) = audits.worse_than_chance("iou", noisy)
    assert (finding.code, "over rows" in finding.message) == ("at_chance", True)
    three = summary([0.4, 0.9, 0.55], 0.5) | {"interval_95_within_folds": [0.55, 0.65]}
    assert codes(audits.worse_than_chance("auroc", three)) == ["at_chance"]


def test_folds_on_different_scales_are_told_by_their_pooled_score():
    """Each fold ranks its rows well, and an offset per fold spoils the ranking of all rows together."""
    draw, rows = np.random.default_rng(0), []
    for fold in range(5):
        truth = draw.random(200) < 0.2 + 0.15 * fold
        rows.append((truth, draw.normal(size=200) + truth, fold))

    def scored(offset: float) -> dict:
        metric = metrics.auroc("y")
        parts = [(pd.DataFrame({"y": truth.astype(int)}), noise - offset * fold) for truth, noise, fold in rows]
        whole, pooled = pd.concat([part for part, _ in parts], ignore_index=True), np.concatenate([p for _, p in parts])
        found = summary([metric.score(*part) for part in parts], 0.5)
        score = metric.score(whole, pooled)
        edges = limits.of_mean([score], (0, 1), jackknife.sampling(metric, [ScoredRows(whole, [pooled])]))
        return found | {"pooled": metric.score(whole, pooled), "pooled_interval_95": edges}

    (finding,) = audits.pooled_apart("auroc", scored(3))
    assert (finding.code, finding.level) == ("pooled_apart", "warning")
    assert audits.pooled_apart("auroc", scored(0)) == []


def test_any_metric_has_a_permutation_test_in_small_sets():
    rows, classes = pd.DataFrame({"y": [0, 0, 0, 1, 1, 1]}), (0, 1)
    tested = permutation_test(metrics.accuracy("y", classes=classes), rows, np.array([0, 0, 0, 1, 1, 1]), 3)
    assert tested is not None
    assert tested.p_value == pytest.approx(1 / 20, abs=0.02)  # C(6, 3) orders of the same labels
    (finding,) = audits.tiny_sample("accuracy", 1.0, tested, 1)
    assert finding.code == "tiny_sample"
    numbers = pd.DataFrame({"y": np.arange(8.0)})
    sure = permutation_test(metrics.rmse("y"), numbers, np.arange(8.0), 8)
    assert sure is not None
    assert sure.p_value == 1 / 1000
    assert permutation_test(metrics.rmse("y"), numbers, np.arange(8.0), 30) is None


def history(*scores):
    return [{"stage": "fit", "epoch": epoch, "metric": score} for epoch, score in enumerate(scores, 1)]


def test_an_epoch_chosen_on_the_scored_fold_says_by_how_much():
    fits = [(history(0.5, 0.9, 0.7), 2), (history(0.6, 0.6, None, 0.6), 1)]
    (finding,) = audits.selected_on_scored_fold(fits, True)
    assert (finding.code, finding.level) == ("selected_on_scored_fold", "note")
    assert "score 0.1000 worse" in finding.message
    (finding,) = audits.selected_on_scored_fold([(history(0.5, 0.3, 0.4), 2)], False)
    assert "score 0.1000 worse" in finding.message
    assert audits.selected_on_scored_fold([], True) == audits.selected_on_scored_fold([(history(None), 1)], True) == []


def test_an_epoch_named_by_hand_is_told_with_what_it_gains_or_loses():
    (finding,) = audits.selected_on_scored_fold([(history(0.5, 0.8, 0.7), 1)], True, by_hand=True)
    assert "named by hand" in finding.message
    assert "score 0.2000 better" in finding.message


def test_a_metric_that_is_best_after_the_first_epoch_is_named():
    falling, rising = history(0.7, 0.6, 0.65, 0.55), history(0.5, 0.6, 0.7)
    (finding,) = audits.first_epoch_best("auroc", [falling, history(0.8, 0.7, 0.75), rising], True)
    assert (finding.code, finding.level, finding.where) == ("first_epoch_best", "warning", "all folds")
    assert finding.message.startswith("in 2 of 3 fits auroc is best after epoch 1, and 0.1000 worse after the last: ")
    (finding,) = audits.first_epoch_best("log_loss", [rising], False)
    assert "in 1 of 1 fits log_loss" in finding.message


@pytest.mark.parametrize(
    "scores",
    [
        [(0.5, 0.6, 0.7)],
        [(0.7, 0.7, 0.6)],  # a later epoch is as good
        [(0.7, 0.6)],  # too few to tell
        [(None, 0.7, 0.6, 0.5)],  # the first epoch was not scored
        [(0.7, 0.6, 0.5), (0.5, 0.6, 0.7), (0.5, 0.6, 0.7)],  # one fit of three
        [(None, None)],
    ],
)
def test_a_best_epoch_that_is_not_the_first_is_clean(scores):
    assert audits.first_epoch_best("auroc", [history(*values) for values in scores], True) == []


def test_few_rows_are_too_few():
    """Case I: three normal and three anomalous images separate perfectly, in one of three scores at 30 epochs."""
    rows, metric = pd.DataFrame({"y": [0, 0, 0, 1, 1, 1]}), metrics.auroc("y")
    tested = metric.options.p_value(rows, np.arange(6.0))
    (finding,) = audits.tiny_sample(metric.name, 1.0, tested, 90)
    assert (finding.code, finding.level, finding.where) == ("tiny_sample", "warning", "all folds")
    assert finding.message.startswith("auroc 1.0000 rests on 3 rows of the rarest class: ")
    assert (
        "once in 20, and the best of 90 (runs x epochs x scores looked at) with probability up to 1." in finding.message
    )
    (finding,) = audits.tiny_sample(metric.name, 1.0, PermutationTest(1e-9, 8), 1, "fold 0")
    assert (finding.where, "once in a million" in finding.message) == ("fold 0", True)


@pytest.mark.parametrize(
    ("p", "smallest", "tries", "warned"),
    [
        (1e-9, 9, 1, True),
        (1e-9, 10, 1, False),
        (0.01, 10, 5, False),
        (0.01, 10, 6, True),
        (0.01, 29, 6, True),
        (0.9, 30, 90, False),
    ],
)
def test_more_rows_are_too_few_for_many_tries(p, smallest, tries, warned):
    assert codes(audits.tiny_sample("auroc", 0.9, PermutationTest(p, smallest), tries)) == ["tiny_sample"] * warned


def test_a_score_without_a_permutation_test_is_no_tiny_sample():
    assert audits.tiny_sample("rmse", 0.1, None, 90) == []


def test_a_score_of_damaged_copies_alone_is_a_proxy():
    """Case J: AUROC 1.0 on damage of one's own making, and chance on real defects."""
    assert audits.proxy_only(metrics.auroc("y")) == []
    (finding,) = audits.proxy_only(metrics.pseudo_auroc("y"))
    assert (finding.code, finding.level) == ("proxy_validation", "warning")
    assert finding.message.startswith(
        "runs are ranked by pseudo_auroc (says nothing about real defects), which is measured on synthetic"
    )


# -- findings together


def finding(code: str = "x", level: audits.Level = "error", where: str = "fold 0") -> audits.Finding:
    return audits.Finding(code, level, "something leaks", where)


def test_equal_findings_of_several_folds_become_one():
    merged = audits.merge_places(
        [finding(where=f"fold {number}") for number in range(5)] + [finding("y", where="fold 1")]
    )
    assert [(found.code, found.where) for found in merged] == [
        ("x", "fold 0, fold 1, fold 2 and 2 more"),
        ("y", "fold 1"),
    ]


def test_errors_stop_unless_they_are_accepted():
    audits.refuse_errors([finding(level="warning"), finding(level="note")], ())
    audits.refuse_errors([finding("x")], ("x",))
    with pytest.raises(GoldfoldError) as error:
        audits.refuse_errors([finding("x"), finding("y")], ("x",))
    assert error.value.code == "y"
    assert "fold 0: something leaks" in str(error.value)
    assert "ACCEPT=y" in str(error.value)
