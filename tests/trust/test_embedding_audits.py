"""Audits of embeddings: planted cases that each must catch, and clean ones on which it must stay silent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_metric_learning.losses import FastAPLoss
from torch import nn
from torch.nn import functional as F

from goldfold.competition import Fold, Plan, Stage
from goldfold.errors import GoldfoldError
from goldfold.experiment.intervals.limits import fold_statistics
from goldfold.metrics import retrieval as measured
from goldfold.optional_parts import Neighbors, Pairs, UntrainedLoss
from goldfold.retrieval.pairs import by_label
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions
from goldfold.trust import audits
from goldfold.trust.audits import below_untrained, did_not_learn, neighbor_leakage, neighbor_ranked

CLOSE = Neighbors(sequence="recording", time="frame", guard=2)


# -- losses against those without learning (case E)

PAIRS, SIGNAL, NOISE, OUT = 32, 8, 16, 16
LABELS = torch.arange(PAIRS).repeat(2)


def views(epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two views of each of 32 things: alike in a few dimensions, and beside them noise that is new every epoch."""
    generator = torch.Generator().manual_seed(epoch)
    thing = torch.randn(PAIRS, SIGNAL, generator=torch.Generator().manual_seed(999)).repeat(2, 1)
    return torch.cat([thing, 3 * torch.randn(2 * PAIRS, NOISE, generator=generator)], dim=1), LABELS


def average_precision_loss(model: nn.Module, batch: tuple) -> dict[str, torch.Tensor]:
    return {"fastap": FastAPLoss(num_bins=10)(F.normalize(model(batch[0])), batch[1])}


def of_random_embeddings(model: nn.Module) -> dict[str, UntrainedLoss]:
    """An epoch is one batch, so the spread of an epoch's mean is that of a batch."""
    random = nn.Identity()
    values = [
        average_precision_loss(
            random, (torch.randn(2 * PAIRS, OUT, generator=torch.Generator().manual_seed(k)), LABELS)
        )
        for k in range(50)
    ]
    values = torch.stack([value["fastap"] for value in values])
    return {"fastap": UntrainedLoss(values.mean().item(), values.std().item())}


def trained(rate: float, epochs: int = 10, blind: bool = True) -> tuple[list, dict]:
    """A layer that as it begins sees only the noise, or what is alike as well."""
    torch.manual_seed(0)
    model = nn.Linear(SIGNAL + NOISE, OUT)
    if blind:
        with torch.no_grad():
            model.weight[:, :SIGNAL] = 0
    stage = Stage(
        name="metric",
        epochs=epochs,
        batches=lambda epoch: [views(epoch)],
        losses=average_precision_loss,
        optimizer=lambda model: torch.optim.Adam(model.parameters(), rate),
        untrained_loss=of_random_embeddings,
    )
    plan = Plan(model=model, stages=[stage], predict=lambda model, _, rows: None)
    return train(plan, loop=LoopOptions(), device=torch.device("cpu"))


def test_a_learning_rate_of_zero_did_not_learn():
    history, facts = trained(rate=0)
    (finding,) = did_not_learn(facts, history, "fold 0")
    assert (finding.code, finding.level, finding.where) == ("did_not_learn", "warning", "fold 0, stage metric")
    best = min(history, key=lambda row: row["loss"]["fastap"])
    value, sd = facts["metric"]["untrained_loss"]["fastap"]
    assert f"best fastap is {best['loss']['fastap']:.4f}, in epoch {best['epoch']} of 10" in finding.message
    assert f"it is {value:.4f} ± {sd:.4f}" in finding.message


def test_a_network_that_beats_random_embeddings_as_it_is_built_has_not_learned_either():
    history, facts = trained(rate=0, blind=False)
    value, sd = facts["metric"]["untrained_loss"]["fastap"]
    assert min(row["loss"]["fastap"] for row in history) < value - 3 * sd
    (finding,) = did_not_learn(facts, history, "fold 0")
    assert f"fastap stood still: {history[0]['loss']['fastap']:.4f} in the first epoch" in finding.message
    history, facts = trained(rate=0.03, epochs=60, blind=False)
    assert did_not_learn(facts, history, "fold 0") == []


@pytest.mark.parametrize(
    ("losses", "found"),
    [
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], 0),  # steadily
        ([0.9, 0.45, 0.44, 0.45, 0.44, 0.45, 0.44, 0.45], 0),  # at once
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], 1),
        ([0.5, 0.5, 0.5, 0.5, 0.5], 0),  # too few to tell
        ([0.52, 0.48, 0.5, 0.47, 0.52, 0.49, 0.5, 0.51], 1),
        ([0.4, 0.45, 0.5, 0.55, 0.6, 0.65], 1),  # upwards
    ],
)
def test_a_loss_that_stood_still_is_told_from_one_that_fell(losses, found):
    history = [{"stage": "metric", "epoch": epoch, "loss": {"fastap": loss}} for epoch, loss in enumerate(losses, 1)]
    assert len(did_not_learn({"metric": {"untrained_loss": {"fastap": [0.97, 0.001]}}}, history, "fold 0")) == found


def test_half_the_way_to_perfect_is_learning():
    history, facts = trained(rate=0.1, epochs=60)
    value, _ = facts["metric"]["untrained_loss"]["fastap"]
    assert min(row["loss"]["fastap"] for row in history) < value / 2
    assert did_not_learn(facts, history, "fold 0") == []


@pytest.mark.parametrize(("best", "found"), [(0.9698, 1), (0.9686, 1), (0.9684, 0), (1.2, 1)])
def test_three_standard_deviations_decide(best, found):
    """The recorded case: AP .0302 at batch 128 where random embeddings of the same batches reach .0303."""
    history = [{"stage": "metric", "epoch": epoch, "loss": {"fastap": max(best, 0.98)}} for epoch in (1, 2, 3)]
    history[1]["loss"]["fastap"] = best
    facts = {"metric": {"untrained_loss": {"fastap": [0.9697, 0.0004]}}}
    assert len(did_not_learn(facts, history, "fold 0")) == found


def test_terms_and_stages_stand_alone_and_those_without_a_null_are_passed_over():
    def row(stage, **loss):
        return {"stage": stage, "epoch": 1, "loss": loss}

    facts = {
        "invariance": {},
        "metric": {"untrained_loss": {"fastap": [0.97, 0.01]}},
        "later": {"untrained_loss": {"x": [1, 0]}},
    }
    history = [row("invariance", cosine=0.0), row("metric", fastap=0.97, other=0.1)]
    assert [finding.where for finding in did_not_learn(facts, history, "fold 1")] == ["fold 1, stage metric"]
    assert did_not_learn(facts, [row("invariance", cosine=0.0), row("metric", fastap=0.5)], "fold 1") == []
    assert did_not_learn({}, [], "fold 1") == []  # an estimator, and a run of nothing trained


# -- near-duplicates on both sides of a fold, or among the answers


def frames(*lengths: int) -> pd.DataFrame:
    """Recordings of so many frames, shuffled: rows come in no order."""
    rows = [(f"录{number}", frame) for number, length in enumerate(lengths) for frame in range(length)]
    table = pd.DataFrame(rows, columns=["recording", "frame"]).sample(frac=1, random_state=0, ignore_index=True)
    table.insert(0, "id", table["recording"] + "/" + table["frame"].astype(str))
    return table


def fold_of(held_out: np.ndarray) -> Fold:
    return Fold(np.flatnonzero(~held_out), np.flatnonzero(held_out))


def by_hand(rows: pd.DataFrame, fold: Fold) -> dict[int, set[int]]:
    """Each leaking validation row -> the trained rows it leaks from, one pair after the other."""
    found: dict[int, set[int]] = {}
    for own in fold.validation:
        for other in fold.train:
            a, b = rows.iloc[own], rows.iloc[other]
            if a["recording"] == b["recording"] and abs(a["frame"] - b["frame"]) <= CLOSE.guard:
                found.setdefault(int(own), set()).add(int(other))
    return found


def test_a_random_split_of_frames_leaks_and_one_by_recording_does_not():
    rows = frames(20, 15, 9)
    random = fold_of(np.random.default_rng(0).random(len(rows)) < 0.2)
    (finding,) = neighbor_leakage([fold_of((rows["recording"] == "录1").to_numpy()), random], rows, CLOSE)
    assert (finding.code, finding.level, finding.where) == ("neighbor_leakage", "error", "fold 1")
    leaking = by_hand(rows, random)
    first = min(leaking)
    assert finding.message.startswith(f"{len(leaking)} of {len(random.validation)} scored rows have a training row")
    named, twin = finding.message.split("first id ")[1].split(": near-duplicates")[0].split(" beside ")
    assert named == repr(rows["id"][first])
    assert twin in {repr(rows["id"][other]) for other in leaking[first]}


@pytest.mark.parametrize("seed", range(5))
def test_what_leaks_agrees_with_looking_at_every_pair(seed):
    generator = np.random.default_rng(seed)
    rows = frames(12, 8, 5)
    rows["frame"] = generator.integers(0, 40, len(rows))  # ties, gaps
    part = generator.integers(0, 5, len(rows))  # some rows are in neither half
    fold = Fold(np.flatnonzero(part < 2), np.flatnonzero(part == 2))
    leaking, findings = by_hand(rows, fold), neighbor_leakage([fold], rows, CLOSE)
    assert len(findings) == bool(leaking)
    if leaking:
        assert findings[0].message.startswith(f"{len(leaking)} of {len(fold.validation)} ")
        assert f"first id {rows['id'][min(leaking)]!r} beside" in findings[0].message


def test_a_gap_wider_than_the_guard_is_clean_and_one_as_wide_is_not():
    rows = frames(30)
    held_out = (rows["frame"] >= 20).to_numpy()
    gapped = Fold(np.flatnonzero(rows["frame"] < 18), np.flatnonzero(held_out))
    assert neighbor_leakage([gapped], rows, CLOSE) == []
    (finding,) = neighbor_leakage([Fold(np.flatnonzero(rows["frame"] < 19), gapped.validation)], rows, CLOSE)
    assert finding.message.startswith("1 of 10 scored rows")
    assert "'录0/20' beside '录0/18'" in finding.message


def test_rows_of_unknown_recordings_have_no_neighbors():
    rows = frames(20)
    rows["recording"] = None
    assert neighbor_leakage([fold_of((rows["frame"] % 2 == 0).to_numpy())], rows, CLOSE) == []
    with pytest.raises(GoldfoldError, match=r"no column of sequences or times 'frame'; did you mean 'frames'"):
        neighbor_leakage([], rows.rename(columns={"frame": "frames"}), CLOSE)
    with pytest.raises(GoldfoldError, match=r"'frame' must be numbers .* but are string: convert them to"):
        neighbor_leakage([], rows.assign(frame=rows["frame"].astype(str)), CLOSE)


def asking_all(rows: pd.DataFrame, guard: float) -> Pairs:
    """Every row asks all of them; rows of its recording within `guard` are left out."""
    recording, frame, label = (rows[column].to_numpy() for column in ("recording", "frame", "label"))
    every = np.arange(len(rows))
    return Pairs(
        queries=every,
        gallery=every,
        relevant=lambda part: label[part][:, None] == label,
        left_out=lambda part: (recording[part][:, None] == recording) & (np.abs(frame[part][:, None] - frame) <= guard),
    )


def test_neighbors_among_the_answers_are_named(monkeypatch):
    rows = frames(20, 15).assign(label=lambda rows: rows["frame"] % 2)
    assert neighbor_ranked(asking_all(rows, 2), rows, CLOSE) == []
    (finding,) = neighbor_ranked(asking_all(rows, 1), rows, CLOSE)
    assert (finding.code, finding.level, finding.where) == ("neighbor_ranked", "error", "all folds")
    assert finding.message.startswith("35 of 35 queries are ranked against a row within 2 of their 'frame'")
    monkeypatch.setattr("goldfold.trust.audits.leakage.PAIRS_AT_ONCE", 100)  # several parts, the last one smaller
    assert neighbor_ranked(asking_all(rows, 1), rows, CLOSE) == [finding]


def test_the_query_itself_among_its_answers_is_named():
    rows = pd.DataFrame({"id": [7, 8, 9], "recording": list("aab"), "frame": [0, 10, 0], "label": [0, 0, 1]})
    (finding,) = neighbor_ranked(asking_all(rows, -1), rows, CLOSE)
    assert finding.message.startswith("3 of 3 queries are ranked against")
    assert "first id 7 against 7" in finding.message
    apart = by_label(rows["label"], queries=np.array([True, False, False]))
    assert neighbor_ranked(apart, rows, CLOSE) == []
    (finding,) = neighbor_ranked(apart, rows.assign(frame=[0, 2, 0]), CLOSE)
    assert "1 of 1 queries" in finding.message
    assert "first id 7 against 8" in finding.message


# -- against nothing trained (case O)


def summary(*values: float, higher: bool = True, chance: float = 0.5) -> dict:
    known = {"higher_is_better": higher, "chance": chance, "bounds": (0, 1), "folds": dict(enumerate(values))}
    return {**known, **fold_statistics(values, (0, 1))}


def test_a_run_below_one_of_nothing_trained_is_marked():
    """Rank-1 of CLIP ViT as it was pretrained 71.42; fine-tuned 89.91 and 66.80."""

    def around(mean: float, **other) -> dict:
        return summary(mean - 0.01, mean, mean + 0.012, **other)

    references = {"zero-shot": around(0.7142), "random": around(0.0912)}
    assert below_untrained("v3", around(0.8991), references) == []
    (finding,) = below_untrained("v1", around(0.6680), references)
    assert (finding.code, finding.level, finding.where) == ("below_untrained", "warning", "v1")
    assert finding.message.startswith("its mean score 0.6687 is worse than 0.7149 of zero-shot, which was not trained")
    assert "95 % interval over 3 folds" in finding.message
    assert [each.level for each in below_untrained("alike", around(0.7142), references)] == ["note"]
    assert below_untrained("error", around(0.2, higher=False), {"x": around(0.3, higher=False)}) == []
    (finding,) = below_untrained("error", around(0.4, higher=False), {"x": around(0.3, higher=False)})
    assert finding.level == "warning"


def test_folds_that_disagree_do_not_show_a_difference():
    """Paired over the same folds, +2, +1.5 and +1.8 points are better, and +6, -3 and +3 are not shown to be."""
    start = summary(0.70, 0.60, 0.65)
    assert below_untrained("v1", summary(0.72, 0.615, 0.668), {"start": start}) == []
    (finding,) = below_untrained("v1", summary(0.76, 0.57, 0.68), {"start": start})
    assert (finding.level, "is not shown to differ from 0.6500" in finding.message) == ("note", True)


@pytest.mark.parametrize(
    ("interval", "level"), [((0.01, 0.1), None), ((-0.02, 0.1), "note"), ((-0.2, -0.1), "warning")]
)
def test_one_fold_is_judged_by_its_rows(interval, level):
    start = summary(0.7) | {"row_gain_interval_95": list(interval)}
    assert [each.level for each in below_untrained("v1", summary(0.75), {"start": start})] == ([level] if level else [])


def test_one_fold_without_rows_is_judged_by_its_mean():
    start = {"start": summary(0.7)}
    assert below_untrained("v1", summary(0.71), start) == []
    (finding,) = below_untrained("v1", summary(0.69), start)
    assert (finding.level, "1 fold says nothing" in finding.message) == ("note", True)


def test_noise_on_the_weights_is_below_zero_shot():
    """Features that tell the classes apart, and the same after their weights were drowned in noise."""
    generator = np.random.default_rng(0)
    label = np.repeat(np.arange(10), 8)
    pixels = np.eye(10)[label] @ generator.normal(size=(10, 40)) + 0.5 * generator.normal(size=(80, 40))
    weights = np.vstack([np.eye(20), np.zeros((20, 20))])
    noisy = weights * 0 + generator.normal(size=weights.shape) * (generator.random(weights.shape) < 0.05)
    rows = pd.DataFrame({"id": np.arange(80), "label": label})
    metric = measured.mean_average_precision(lambda rows: by_label(rows["label"]), protocol="all others answer")
    zero_shot, tuned = (summary(metric.score(rows, (pixels @ w).astype(np.float32))) for w in (weights, noisy))
    assert [finding.where for finding in below_untrained("tuned", tuned, {"zero-shot": zero_shot})] == ["tuned"]
    assert below_untrained("zero-shot", zero_shot, {"tuned": tuned}) == []


# -- against chance (case D)


@pytest.mark.parametrize("seed", range(3))
def test_random_vectors_of_a_lopsided_label_are_at_chance(seed):
    """Case D: 445 frames, 87 of label 1; random embeddings reach mAP .69, which reads well and is nothing."""
    generator = np.random.default_rng(seed)
    rows = pd.DataFrame({"id": np.arange(445), "label": generator.permutation(np.arange(445) < 87).astype(int)})
    metric = measured.mean_average_precision(lambda rows: by_label(rows["label"]), protocol="all others answer")
    folds = np.array_split(generator.permutation(445), 5)
    parts = [rows.iloc[np.sort(fold)].reset_index(drop=True) for fold in folds]
    scores = [metric.score(part, generator.normal(size=(len(part), 256)).astype(np.float32)) for part in parts]
    chance = float(np.mean([metric.chance(part) for part in parts]))
    assert chance == pytest.approx(0.69, abs=0.01)
    (finding,) = audits.worse_than_chance(metric.name, summary(*scores, chance=chance))
    assert finding.code in ("at_chance", "worse_than_chance")
    learned = [0.5 + score / 2 for score in scores]
    assert audits.worse_than_chance(metric.name, summary(*learned, chance=chance)) == []
