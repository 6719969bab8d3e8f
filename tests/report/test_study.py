"""What people see of a study, against SciPy, Optuna and numbers worked out by hand; pictures looked at in pixels."""

from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import optuna
import pytest
import yaml
from matplotlib import pyplot
from matplotlib.colors import to_rgb
from pydantic import Field
from scipy import stats

from goldfold.competition import Plan, Recipe
from goldfold.experiment import config as configs
from goldfold.params import Params
from goldfold.report.plotting.style import DPI, FOLDS, WIDTH
from goldfold.report.study import importances as study_importances
from goldfold.report.study.best_config import best_config
from goldfold.report.study.figures import as_study
from goldfold.report.study.importances import importances
from goldfold.report.study.numbers import Facts, Reestimate, top
from goldfold.report.study.page import page, pictures
from goldfold.tuning.trials import TrialRecord

SPACE = {
    "rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "schedule": ["cosine", "constant"],
    "warmup": {"low": 0.0, "high": 0.4, "when": {"schedule": "cosine"}},
    "epochs": {"low": 4, "high": 16, "step": 4},
    "skips": {"choices": [[], [4], [1, 2]]},
    "encoder": ["a_very_long_name_of_a_network_of_many_layers", "网络", "vit_small_patch16_224.dino"],
}
NOON = datetime(2026, 3, 1, 12)


@pytest.fixture(autouse=True)
def _every_warning_fails() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "<psycopg.Connection", ResourceWarning)  # collected from an earlier test
        yield


def trial(number: int, scores: list[float], params: dict | None = None, **known: Any) -> TrialRecord:
    """A complete one by default; its folds were fitted in the order 2, 0, 1."""
    folds = dict(zip((2, 0, 1), scores, strict=False))
    own = {"state": "complete", "fits": float(len(scores)), "value": float(np.mean(scores)) if scores else None}
    times = {"started": NOON + timedelta(minutes=number), "ended": NOON + timedelta(minutes=number + 1)}
    params = {"rate": 1e-3} if params is None else params
    known = {**own, "worker": "here", **times, **known}
    if known["state"] != "complete":
        known["value"] = None
    return TrialRecord(number=number, params=params, folds=folds, **known)


def facts(trials: list[TrialRecord], **known: Any) -> Facts:
    own = {"name": "baseline", "competition": "blobs", "config": "baseline", "metric": "accuracy", "order": (2, 0, 1)}
    own |= {"higher_is_better": True, "bounds": (0, 1), "chance": 0.5, "space": {"rate": SPACE["rate"]}}
    return Facts(**{**own, "seconds": 90.0, "workers": 2, "storage": "journal.log", "trials": trials, **known})


def drawn(count: int, seed: int = 0, pruned: bool = True) -> Facts:
    """A study of random trials in which the rate alone matters."""
    choose, trials = random.Random(seed), []
    for number in range(count):
        params = {"rate": 10 ** choose.uniform(-4, -1), "schedule": choose.choice(SPACE["schedule"])}
        params |= {"warmup": choose.uniform(0, 0.4)} if params["schedule"] == "cosine" else {}
        params |= {"epochs": choose.randrange(4, 17, 4), "skips": choose.choice(SPACE["skips"]["choices"])}
        params["encoder"] = choose.choice(SPACE["encoder"])
        level = 0.9 - 0.05 * (math.log10(params["rate"]) + 2.2) ** 2
        scores = [level + choose.gauss(0, 0.003) for _ in range(3)]
        ends = {"state": "pruned", "reason": "it is hopeless"} if pruned and number % 3 == 2 else {}
        trials.append(trial(number, scores[: 1 if ends else 3], params, worker=f"host-{number % 2}", **ends))
    return facts(trials, space=SPACE)


def pixels(png: bytes | None) -> np.ndarray:
    found = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB) / 255
    assert found.shape[1] == WIDTH * DPI
    assert found.std() > 0.02
    return found


def share(png: bytes | None, color: str) -> float:
    return float((np.abs(pixels(png) - to_rgb(color)).max(axis=2) < 0.02).mean())


def test_the_gain_on_new_folds_is_the_paired_one_widened_for_shared_rows():
    winner = {1: {0: 0.91, 1: 0.93, 2: 0.90}, 2: {0: 0.95, 1: 0.92, 2: 0.94}}
    baseline = {1: {2: 0.91, 0: 0.90, 1: 0.93}, 2: {0: 0.92, 1: 0.90, 2: 0.91}}
    found = Reestimate(0.96, winner, baseline)
    own, other = [0.91, 0.93, 0.90, 0.95, 0.92, 0.94], [0.90, 0.93, 0.91, 0.92, 0.90, 0.91]
    assert (found.score, found.baseline_score) == pytest.approx((np.mean(own), np.mean(other)))
    paired = stats.ttest_rel(own, other).confidence_interval()
    half = (paired.high - paired.low) / 2 * math.sqrt((1 / 6 + 1 / 2) / (1 / 6))
    assert found.gain.mean == pytest.approx(np.mean(own) - np.mean(other))
    assert found.gain.interval == pytest.approx((found.gain.mean - half, found.gain.mean + half))
    assert Reestimate(0.9, {1: {0: 0.9}}, {1: {0: 0.8}}).gain == (pytest.approx(0.1), None)


@pytest.mark.parametrize(("higher", "order"), [(True, [1, 3, 0]), (False, [0, 1, 3])])
def test_the_best_comes_first_and_of_equals_the_earliest(higher, order):
    trials = [trial(0, [0.7] * 3), trial(1, [0.8] * 3), trial(2, [0.9], state="pruned"), trial(3, [0.8] * 3)]
    found = facts(trials, higher_is_better=higher)
    assert [each.number for each in found.ranked] == order


def test_left_out_folds_are_scored_by_the_best_on_the_others():
    trials = [trial(0, [0.7] * 3), trial(1, [0.95, 0.65, 0.6]), trial(2, [0.62, 0.8, 0.9])]
    assert facts(trials).left_out == pytest.approx((0.62 + 0.65 + 0.6) / 3)  # trials 2, 1, 1 are best without it
    assert facts(trials, higher_is_better=False).left_out == pytest.approx((0.95 + 0.7 + 0.7) / 3)
    assert facts([trial(0, [0.7] * 3)]).left_out is None


def test_what_was_spent_and_saved_is_counted_in_fits_of_a_fold():
    cut = trial(1, [0.6], state="pruned", fits=1.4, reason="it is hopeless")
    failed = trial(2, [0.6], state="failed", reason="the loss is nan", worker="there")
    found = facts([trial(0, [0.7] * 3), cut, failed])
    assert (found.spent, found.saved) == pytest.approx((5.4, 1.6))
    told = page(found, train="", go_on="", drawn=())
    assert "- fits of one fold: 5.4, pruning saved 1.6 (23 %); a complete trial takes 3" in told
    assert "- 1 within fold 2 of 3; trial 1: it is hopeless" in told
    assert "- trial 2: the loss is nan" in told
    assert "- trials by worker: here 2, there 1" in told


def test_the_table_of_the_best_has_intervals_and_paired_differences():
    found = facts([trial(0, [0.70, 0.72, 0.74]), trial(1, [0.73, 0.74, 0.78], {"rate": 0.0123456})])
    low, high = stats.t.interval(0.95, 2, np.mean([0.73, 0.74, 0.78]), stats.sem([0.73, 0.74, 0.78]))
    told, header, best, own = top(found)
    assert told.startswith("accuracy, higher is better, chance level 0.5000")
    assert best.split()[:2] == ["1", "0.7500"]
    assert f"[{low:.4f}, {high:.4f}]" in best
    assert "+0.0300" in best
    assert "3 of 3" in best
    assert best.endswith("rate=0.01235")
    assert own.split()[0] == "0"
    assert header.index("parameters") == best.index("rate=")
    assert "+0.0300" in page(found, train="", go_on="", drawn=())


def test_the_page_says_how_optimistic_the_best_score_is():
    new = {seed: dict.fromkeys(range(3), 0.75) for seed in (1, 2)}
    old = {seed: {0: 0.70, 1: 0.71, 2: 0.72} for seed in (1, 2)}
    trials = [trial(0, [0.7] * 3), trial(1, [0.8] * 3)]
    found = facts(trials, reestimate=Reestimate(0.8, new, old))
    told = page(found, train="make train COMP=blobs", go_on="make tune COMP=blobs TRIALS=9", drawn=["history.png"])
    assert "trial 1, accuracy 0.8000 in the study" in told
    assert "On newly drawn folds: **0.7500**, +0.0400 (absolute" in told
    assert "best score of 2 complete trials" in told
    assert "is 0.0500 better than on the new folds" in told
    assert "The best trial is better than the config." in told
    assert "make train COMP=blobs\n" in told
    assert "TRIALS=9" in told
    assert "(history.png)" in told
    assert "(slices.png)" not in told
    worse = replace(found, reestimate=Reestimate(0.8, old, new))
    assert "The best trial is worse than the config." in page(worse, train="", go_on="", drawn=())
    lower = replace(worse, higher_is_better=False, trials=[trial(0, [0.7] * 3), trial(1, [0.6] * 3)])
    assert "The best trial is better than the config." in page(lower, train="", go_on="", drawn=())
    unclear = replace(found, reestimate=Reestimate(0.8, {1: {0: 0.7, 1: 0.8}}, {1: {0: 0.72, 1: 0.76}}))
    assert "not significant" in page(unclear, train="", go_on="", drawn=())
    assert "this score is optimistic" in page(facts(trials), train="", go_on="", drawn=())


def test_the_page_notes_ends_of_ranges_and_what_never_varied():
    space = {**SPACE, "dropout": {"low": 0.0, "high": 0.5}}
    base = {"rate": 1e-3, "schedule": "constant", "epochs": 8, "skips": [], "encoder": "网络", "dropout": 0.5}
    found = facts([trial(0, [0.7] * 3, base), trial(1, [0.8] * 3, {**base, "rate": 0.095})], space=space)
    rows = {
        line.split("`")[1]: line for line in page(found, train="", go_on="", drawn=()).splitlines() if "| `" in line
    }
    assert "0.0001 to 0.1, log scale" in rows["rate"]
    assert "upper end" in rows["rate"]
    assert "its condition was never met" in rows["warmup"]
    assert "when schedule is cosine" in rows["warmup"]
    assert "never varied" in rows["dropout"]
    assert "in steps of 4" in rows["epochs"]
    assert "[] / [4] / [1, 2]" in rows["skips"]


def test_a_study_without_a_better_trial_says_so():
    failed = [trial(number, [], state="failed", reason="the loss is nan") for number in range(1, 15)]
    found = facts([trial(0, [0.7] * 3), *failed])
    told = page(found, train="", go_on="", drawn=())
    assert "No trial is better than the config" in told
    assert "trials 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 4 more: the loss is nan" in told
    assert "make train" not in page(found, train="make train COMP=blobs", go_on="", drawn=())
    empty = facts([trial(0, [], state="running", ended=None)])
    assert "No trial is complete (1 running)" in page(empty, train="", go_on="", drawn=pictures(empty))


@pytest.mark.parametrize("count", [3, 12, 60])
def test_every_size_of_study_is_drawn(count):
    found = drawn(count)
    look = dict(pyplot.rcParams)
    shown = pictures(found)
    assert [name for name in shown if name != "importances.png"] == ["history.png", "slices.png", "timeline.png"]
    assert ("importances.png" in shown) == (len(found.ranked) >= 10)
    for png in shown.values():
        pixels(png)
    assert share(shown["timeline.png"], "tab:orange") > 0.001  # pruned
    assert (dict(pyplot.rcParams), pyplot.get_fignums()) == (look, [])  # Optuna sets both for the whole process


def test_optuna_is_given_every_trial_with_its_state_and_times():
    values = {"rate": 1e-3, "schedule": "cosine", "warmup": 0.1, "epochs": 8, "skips": [1, 2], "encoder": "网络"}
    trials = [trial(0, [0.7] * 3, values), trial(1, [0.6], state="pruned"), trial(2, [], state="failed")]
    found = facts([*trials, trial(3, [], state="running", ended=None)], space=SPACE)
    held = as_study(found, found.trials).trials
    assert [each.state.name for each in held] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    assert [each.datetime_start for each in held] == [each.started for each in found.trials]
    assert (held[0].value, held[0].params) == (pytest.approx(0.7), {**values, "skips": "[1, 2]"})
    assert as_study(replace(found, higher_is_better=False), trials).direction.name == "MINIMIZE"


def test_a_study_is_drawn_as_far_as_its_trials_allow():
    failed = [trial(each, [], state="failed", reason="nan") for each in range(1, 20)]
    assert list(pictures(facts([trial(0, [0.7] * 3), *failed]))) == ["history.png", "timeline.png"]
    assert list(pictures(facts(failed))) == ["timeline.png"]
    assert pictures(facts([])) == {}


def test_infinite_scores_do_not_stop_a_picture():
    trials = [trial(number, [0.5 + number / 100] * 3, {"rate": 10 ** -(1 + number / 4)}) for number in range(12)]
    trials[3] = replace(trials[3], value=math.inf)
    found = facts(trials, higher_is_better=False, bounds=(0, math.inf))
    assert list(pictures(found)) == ["history.png", "slices.png", "timeline.png"]
    assert list(pictures(facts([trials[3], trials[2]], higher_is_better=False))) == ["history.png", "timeline.png"]


def test_importances_are_those_of_optuna():
    found = drawn(60, pruned=False)
    scores = [each.value for each in found.ranked]
    own = study_importances._importances(found, scores)
    study = optuna.create_study(direction="maximize")
    for each in found.ranked:
        params = {key: json.dumps(value) if key == "skips" else value for key, value in each.params.items()}
        kept = {
            "rate": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True),
            "schedule": optuna.distributions.CategoricalDistribution(SPACE["schedule"]),
            "warmup": optuna.distributions.FloatDistribution(0.0, 0.4),
            "epochs": optuna.distributions.IntDistribution(4, 16),
            "skips": optuna.distributions.CategoricalDistribution(["[]", "[4]", "[1, 2]"]),
            "encoder": optuna.distributions.CategoricalDistribution(SPACE["encoder"]),
        }
        kept = {key: kind for key, kind in kept.items() if key in params}
        study.add_trial(optuna.create_trial(value=each.value, params=params, distributions=kept))
    reference = optuna.importance.get_param_importances(study)
    whole = sum(own.values())
    assert {key: value / whole for key, value in own.items()} == pytest.approx(reference)
    assert next(iter(own)) == "rate"


def test_only_what_matters_stands_out_from_chance():
    assert share(importances(drawn(60, pruned=False)), FOLDS[0]) > 0.01
    noise = drawn(60, seed=3, pruned=False)
    level = random.Random(0)
    trials = [replace(each, value=level.random()) for each in noise.trials]
    assert share(importances(replace(noise, trials=trials)), FOLDS[0]) == 0


def test_the_level_of_chance_is_one_that_no_parameter_passes_in_95_percent_of_shuffles():
    generator = np.random.default_rng(0)
    shuffled = [dict(zip("abc", generator.gamma((1, 2, 3)), strict=True)) for _ in range(400)]
    level = study_importances._chance(shuffled)
    passed = np.mean([any(each[key] > level[key] for key in level) for each in shuffled])
    assert passed == pytest.approx(0.05, abs=0.005)
    means = {key: np.mean([each[key] for each in shuffled]) for key in level}
    assert len({round(level[key] / means[key], 9) for key in level}) == 1


def test_importances_need_ten_trials_and_two_parameters():
    assert importances(drawn(9, pruned=False)) is None
    assert importances(drawn(10, pruned=False)) is not None
    alone = drawn(30, pruned=False)
    alike = [replace(each, params={"rate": each.params["rate"], "epochs": 8}) for each in alone.trials]
    assert importances(replace(alone, trials=alike)) is None


class Own(Params):
    rate: float = Field(1e-3, gt=0)
    ratio: float | None = 0.5
    sizes: tuple[int, ...] = (32,)
    name: str = "plain"
    other: str = "plain"
    augment: bool = True


def _recipe() -> Recipe:
    return Recipe(params=Own, build=lambda params, rows, runtime: Plan(predict=lambda *_: None))


@pytest.mark.parametrize(
    "changed",
    [
        {"rate": 1e-05},
        {"rate": 0.006721738088620343, "clip": 1.5},
        {"sizes": (64, 128), "name": "网络 – größer", "ratio": None},
        {"name": "1e-5", "other": "none", "augment": False},
        {"name": "a: b # c", "other": "null"},
        {"name": "two\nlines 'quoted' " * 20, "other": "2024-01-01"},
        {"name": "😀", "seeds": (0, 1), "sizes": (1,)},
        {},
    ],
)
def test_the_best_config_reads_back_as_what_was_best(tmp_path: Path, changed):
    recipes = {"own": _recipe()}
    values = {"recipe": "own", **json.loads(json.dumps(changed))}
    best = configs.resolve_config("study-best", values, recipes)
    found = facts([trial(0, [0.7] * 3), trial(1, [0.8] * 3)])
    defaults = configs.resolve_config("defaults", {"recipe": "own"}, recipes).resolved()
    text = best_config(found, "study-best", best.resolved(), defaults, "3 s\nof one core")
    path = tmp_path / "study-best.yaml"
    path.write_text(text, encoding="utf-8")
    assert configs.read_config(path, [], recipes) == best
    assert all(word in text for word in changed.get("name", "").split() if not word.isascii())
    assert yaml.safe_load(text).keys() == {"recipe", *changed}
    assert text.splitlines()[:3] == [
        "# command: make train COMP=blobs CONFIG=study-best",
        "# cost: 3 s of one core",
        "# score: accuracy 0.8000, mean of 3 folds; optimistic: selected on them as the best of 2 trials",
    ]


def test_the_best_config_tells_the_score_on_new_folds():
    new = {seed: dict.fromkeys(range(3), 0.75) for seed in (1, 2)}
    found = facts([trial(0, [0.7] * 3), trial(1, [0.8] * 3)], reestimate=Reestimate(0.8, new, new))
    told = best_config(found, "b", {"recipe": "own"}, {}, "3 s").splitlines()[2]
    assert told.startswith("# score: accuracy 0.7500, mean over 2 draws of 3 new folds (0.8000 on the 3 folds")
    alone = best_config(facts([trial(0, [0.7] * 3)]), "b", {"recipe": "own"}, {}, "3 s").splitlines()[2]
    assert alone == "# score: accuracy 0.7000, mean of 3 folds"


@pytest.mark.parametrize(("low", "high"), [(1e-300, 1e300), (5e-324, 1.7e308), (1e-12, 1e12)])
def test_a_log_range_over_all_floats_is_drawn(low, high):
    choose, space = random.Random(0), {"rate": {"low": low, "high": high, "log": True}}
    rates = [low, high, *(10 ** choose.uniform(math.log10(low), math.log10(high)) for _ in range(10))]
    found = facts([trial(n, [choose.random()] * 3, {"rate": rate}) for n, rate in enumerate(rates)], space=space)
    assert {name for name, drawn in pictures(found).items() if drawn} >= {"slices.png", "history.png"}
