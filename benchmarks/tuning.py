"""Fits that tuning spends over folds with each way of pruning, and the good trials that each throws away.

    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/tuning.py
        [--seeds 0 10] [--trials 40] [--sets digits cancer made] [--cache FOLDER] [--processes 2] [--replay]

For every data set and study seed the same TPESampler(seed) tunes five times: without pruning, with optuna's
MedianPruner on the running mean of folds, with its WilcoxonPruner on folds (both as they come), and with goldfold's
rules on folds alone and on folds and epochs. All begin with one baseline and fit five folds in one order, shuffled by
the seed; a pruned trial is told as pruned, with no mean. Nothing is downloaded:

    digits  scikit-learn's digits, a torch MLP of 10 epochs with a look after each; accuracy of the last epoch
    cancer  scikit-learn's breast cancer, gradient-boosted trees without epochs; log loss, lower is better
    made    2,000 made rows of 20 columns, gradient-boosted trees without epochs; area under the ROC curve

Columns; medians over seeds, with the lowest and highest where there is room:

    fits     of all trials, and as a share of the unpruned study's; one that was cut off counts by its share of epochs
    to best  fits spent when a complete trial first comes within 0.1 sd of the unpruned study's best mean (sd, ddof=1,
             of the means of all trials of the unpruned study), as a share of what the unpruned study spends until
             then; of the seeds that get there, whose number follows
    best     mean over all folds of the best complete trial; gap: by how much it is worse than unpruned, in that sd
    wrong    of all pruned trials of all seeds, those whose mean over all folds (finished afterwards, not counted)
             beats the best complete mean at the time; ever: those that beat the best the study ended with

`--replay` asks for no new proposals: all rules judge the trials of the unpruned study, so that with a cache a change
of a rule shows within seconds. goldfold's constants were set on recorded studies with seeds 100 to 111 of the three
sets; figures to publish are those of seeds 0 to 9.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import joblib
import numpy as np
import optuna
import torch
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from torch import nn

from goldfold.tuning.pruning import prune_after_fold, prune_within_fold
from goldfold.tuning.trials import TrialRecord

FOLDS, EPOCHS = 5, 10
Curve = list[tuple[float, float]]  # (share of epochs done, metric) of a fit; the last is the fold's score
Params = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """fit: (name, parameters, fold) -> curve. baseline: the parameters of trial 0."""

    fit: Callable[[str, Params, int], Curve]
    propose: Callable[[optuna.Trial], Params]
    baseline: Params
    higher_is_better: bool


@cache
def folds_of(name: str) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Rows, labels and the (train, validation) positions of five stratified folds."""
    made = partial(make_classification, 2000, 20, n_informative=8, class_sep=0.8, flip_y=0.1, random_state=0)
    loads = {"digits": partial(load_digits, return_X_y=True), "cancer": partial(load_breast_cancer, return_X_y=True)}
    rows, labels = loads.get(name, made)()
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(rows, labels)
    return rows.astype(np.float32), labels, list(splits)


def fit_perceptron(name: str, params: Params, fold: int) -> Curve:
    rows, labels, folds = folds_of(name)
    features, targets = torch.from_numpy(rows / 16), torch.from_numpy(labels)
    train, held_out = (torch.from_numpy(part) for part in folds[fold])
    torch.manual_seed(fold)
    width, size = params["width"], params["batch"]
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(params["dropout"]), nn.Linear(width, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=params["rate"], weight_decay=params["decay"], fused=True)
    steps = EPOCHS * -(-len(train) // size)
    shrink = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps) if params["cosine"] else None
    curve = []
    for epoch in range(EPOCHS):
        model.train()
        for batch in train[torch.randperm(len(train))].split(size):
            nn.functional.cross_entropy(model(features[batch]), targets[batch]).backward()
            optimizer.step()
            optimizer.zero_grad()
            if shrink:
                shrink.step()
        model.eval()
        with torch.no_grad():
            right = model(features[held_out]).argmax(1) == targets[held_out]
        curve.append(((epoch + 1) / EPOCHS, right.double().mean().item()))
    return curve


def fit_trees(name: str, params: Params, fold: int) -> Curve:
    rows, labels, folds = folds_of(name)
    train, held_out = folds[fold]
    model = HistGradientBoostingClassifier(early_stopping=False, random_state=fold, **params)
    probability = model.fit(rows[train], labels[train]).predict_proba(rows[held_out])[:, 1]
    score = log_loss if name == "cancer" else roc_auc_score
    return [(1.0, float(score(labels[held_out], probability)))]


def propose_perceptron(trial: optuna.Trial) -> Params:
    return {
        "rate": trial.suggest_float("rate", 1e-4, 1e-1, log=True),
        "width": trial.suggest_int("width", 8, 128, log=True),
        "dropout": trial.suggest_float("dropout", 0, 0.6),
        "decay": trial.suggest_float("decay", 1e-4, 1, log=True),
        "batch": trial.suggest_categorical("batch", (64, 128, 256)),
        "cosine": trial.suggest_categorical("cosine", (False, True)),
    }


def propose_trees(trial: optuna.Trial) -> Params:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 1, log=True),
        "max_iter": trial.suggest_int("max_iter", 10, 80, log=True),
        "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 2, 32, log=True),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 2, 80, log=True),
        "l2_regularization": trial.suggest_float("l2_regularization", 1e-3, 1e2, log=True),
        "max_features": trial.suggest_float("max_features", 0.2, 1),
    }


PERCEPTRON = {"rate": 1e-3, "width": 64, "dropout": 0.0, "decay": 1e-2, "batch": 64, "cosine": False}
TREES = {"learning_rate": 0.1, "max_iter": 50, "max_leaf_nodes": 31, "min_samples_leaf": 20}
TREES |= {"l2_regularization": 1e-3, "max_features": 1.0}
PROBLEMS = {
    "digits": Problem(fit_perceptron, propose_perceptron, PERCEPTRON, True),
    "cancer": Problem(fit_trees, propose_trees, TREES, False),
    "made": Problem(fit_trees, propose_trees, TREES, True),
}


@dataclass(frozen=True)
class Mode:
    """report: {fold: score} so far -> (value, step) for optuna. folds, epochs: whether goldfold judges them."""

    pruner: Callable[[], optuna.pruners.BasePruner]
    report: Callable[[Mapping[int, float]], tuple[float, int]]
    folds: bool = False
    epochs: bool = False


def running_mean(folds: Mapping[int, float]) -> tuple[float, int]:
    return statistics.mean(folds.values()), len(folds)


def last_fold(folds: Mapping[int, float]) -> tuple[float, int]:
    fold, score = list(folds.items())[-1]
    return score, fold


MODES = {
    "none": Mode(optuna.pruners.NopPruner, running_mean),
    "median": Mode(optuna.pruners.MedianPruner, running_mean),
    "wilcoxon": Mode(optuna.pruners.WilcoxonPruner, last_fold),
    "goldfold, folds": Mode(optuna.pruners.NopPruner, running_mean, folds=True),
    "goldfold": Mode(optuna.pruners.NopPruner, running_mean, folds=True, epochs=True),
}


class Study(NamedTuple):
    """Trials, and the mean over all folds of every trial, pruned ones finished afterwards."""

    trials: Sequence[TrialRecord]
    means: Sequence[float]


def carry_out(
    trial: optuna.Trial, mode: Mode, curves: Mapping[int, Curve], earlier: Sequence[TrialRecord], higher_is_better: bool
) -> TrialRecord:
    """A trial whose fits would give `curves`, in the order of the folds."""
    order, folds, seen, cut = list(curves), {}, {}, 0.0
    for fold, curve in curves.items():
        for looks in range(1, len(curve) if mode.epochs else 1):
            if prune_within_fold(fold, curve[:looks], folds, order, earlier, higher_is_better):
                seen[fold], cut = curve[:looks], curve[looks - 1][0]
                break
        if cut:
            break
        seen[fold], folds[fold] = curve, curve[-1][1]
        trial.report(*mode.report(folds))
        stop = prune_after_fold(folds, order, earlier, higher_is_better) if mode.folds else trial.should_prune()
        if stop and len(folds) < len(order):
            break
    state = "complete" if len(folds) == len(order) else "pruned"
    known = {"params": trial.params, "folds": folds, "curves": seen, "fits": len(folds) + cut}
    return TrialRecord(number=trial.number, state=state, **known)


def tune(name: str, mode: Mode, seed: int, count: int, fit: Callable, proposals: Sequence[Params]) -> Study:
    problem, study = PROBLEMS[name], Study([], [])
    order = np.random.default_rng(seed).permutation(FOLDS).tolist()
    direction = "maximize" if problem.higher_is_better else "minimize"
    sampler = optuna.samplers.TPESampler(seed=seed)
    search = optuna.create_study(direction=direction, sampler=sampler, pruner=mode.pruner())
    for params in proposals:
        search.enqueue_trial(params)
    for _ in range(count):
        trial = search.ask()
        params = problem.propose(trial)
        curves = {fold: fit(name, params, fold) for fold in order}
        record = carry_out(trial, mode, curves, study.trials, problem.higher_is_better)
        study.means.append(statistics.mean(curve[-1][1] for curve in curves.values()))
        if record.state == "complete":
            search.tell(trial, study.means[-1])
        else:
            search.tell(trial, state=optuna.trial.TrialState.PRUNED)
        study.trials.append(record)
    return study


def studies(name: str, seed: int, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Every mode's figures for one seed."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    problem = PROBLEMS[name]
    fit = joblib.Memory(arguments.cache, verbose=0).cache(problem.fit)
    found = {"none": tune(name, MODES["none"], seed, arguments.trials, fit, [problem.baseline])}
    proposals = [trial.params for trial in found["none"].trials] if arguments.replay else [problem.baseline]
    for mode in list(MODES)[1:]:
        found[mode] = tune(name, MODES[mode], seed, arguments.trials, fit, proposals)
    sign = 1 if problem.higher_is_better else -1
    return {mode: figures(study, found["none"], sign) for mode, study in found.items()}


def figures(study: Study, unpruned: Study, sign: int) -> dict[str, Any]:
    """One study's numbers; means are turned so that higher is better."""
    sd = statistics.stdev(unpruned.means)
    target = max(sign * mean for mean in unpruned.means) - 0.1 * sd
    best, spent, reached, beaten = -math.inf, 0.0, None, []
    for trial, mean in zip(study.trials, study.means, strict=True):
        spent += trial.fits
        if trial.state == "pruned":
            beaten.append((sign * mean, best))
            continue
        best = max(best, sign * mean)
        reached = spent if reached is None and best >= target else reached
    gap = (max(sign * mean for mean in unpruned.means) - best) / sd
    wrong, ever = (sum(mean > bar for mean, bar in bars) for bars in (beaten, [(mean, best) for mean, _ in beaten]))
    counts = {"pruned": len(beaten), "wrong": wrong, "ever": ever}
    return {"fits": spent, "reached": reached, "best": sign * best, "gap": gap, **counts}


def row(mode: str, found: Sequence[dict[str, dict[str, Any]]]) -> str:
    """One line of the table, over seeds."""
    own, none = [seed[mode] for seed in found], [seed["none"] for seed in found]
    shares = [a["fits"] / b["fits"] for a, b in zip(own, none, strict=True)]
    pairs = [(a["reached"], b["reached"]) for a, b in zip(own, none, strict=True) if a["reached"]]
    to_best = f"{statistics.median(a / b for a, b in pairs):4.0%}" if pairs else "   -"
    fits, best, gap = (statistics.median(seed[key] for seed in own) for key in ("fits", "best", "gap"))
    pruned, wrong, ever = (sum(seed[key] for seed in own) for key in ("pruned", "wrong", "ever"))
    rates = f"{wrong / pruned:5.1%} ({wrong} of {pruned})  {ever / pruned:5.1%}" if pruned else ""
    spread = f"{statistics.median(shares):4.0%} [{min(shares):.0%}, {max(shares):.0%}]"
    gaps = f"{gap:+.3f} [{min(s['gap'] for s in own):+.2f}, {max(s['gap'] for s in own):+.2f}]"
    return f"  {mode:16} {fits:6.1f}  {spread:16}  {to_best} ({len(pairs)})  {best:.4f}  {gaps:23}  {rates}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10), metavar=("FIRST", "END"))
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--sets", nargs="+", choices=PROBLEMS, default=("digits", "cancer"))
    parser.add_argument("--cache", default=tempfile.gettempdir() + "/tuning-fits")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--replay", action="store_true")
    arguments = parser.parse_args()
    print(f"optuna {optuna.__version__}, torch {torch.__version__}, {vars(arguments)}")
    print(
        "  mode               fits  share of unpruned  to best    best    gap in sd                wrong           ever"
    )
    with ProcessPoolExecutor(arguments.processes) as pool:
        for name in arguments.sets:
            began = time.perf_counter()
            found = list(pool.map(partial(studies, name, arguments=arguments), range(*arguments.seeds)))
            print(f"{name}, {len(found)} seeds, {time.perf_counter() - began:.0f} s")
            print(*(row(mode, found) for mode in MODES), sep="\n", flush=True)


if __name__ == "__main__":
    main()
