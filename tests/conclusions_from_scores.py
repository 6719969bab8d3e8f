"""Wrong conclusions that scores and comparisons of runs invite; for tests alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from conclusions import AUROC, RETRIEVAL, Case, said, trained
from made_tables import on_columns
from planted_network import TABLES, Nothing, by_class, embedder, recipe
from planted_runs import plant

from goldfold import metrics
from goldfold.competition import Metric, Plan, Recipe
from goldfold.data.fields import records

AT_CHANCE = r"(?ms)^  chance  0\.\d+.*^warning  (at|worse_than)_chance  "
PSEUDO = metrics.pseudo_auroc("y")
LINEAR = on_columns(["x0"], kind="binary")


# -- scores


def frames(learned: bool) -> str:
    """445 frames of which a fifth has label 1, in random embeddings or in such that tell the label."""
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({"id": range(500), "x0": draw.normal(size=500)})
    rows["y"] = (rows["x0"] > rows["x0"].quantile(0.8)).astype(int)

    def predict(model: None, state: None, part: pd.DataFrame) -> np.ndarray:
        noise = np.random.default_rng(len(part)).normal(size=(len(part), 64)).astype(np.float32)
        return noise + 3 * learned * np.sign(part[["x0"]].to_numpy(np.float32) - 0.8)

    made = Recipe(params=Nothing, build=lambda *_: Plan(predict=predict), pooled=False)
    return trained(made, (rows[:445], rows[445:].drop(columns="y")), RETRIEVAL, outputs=64)


def purity(names: dict[int, str]) -> Metric:
    """Share of the largest of two classes, at least one half, by names that a mapping gives."""

    def score(rows: pd.DataFrame, predictions: np.ndarray) -> float:
        return float(rows["y"].map(names).value_counts().max()) / len(rows)

    return Metric(name="purity", score=score, higher_is_better=True, bounds=(0.5, 1), chance=lambda rows: 0.5)


def without_labels() -> str:
    return trained(LINEAR, (TABLES[0].assign(y=None), TABLES[1]))


def few_rows() -> str:
    """Three rows of each class, perfectly apart."""
    y = np.array([0, 1, 1, 0, 0, 1])
    rows = pd.DataFrame({"id": range(6), "x0": 2.0 * y - 1, "y": y})
    return trained(LINEAR, (rows, TABLES[1]))


def of_synthetic_defects(metric: Metric, *also: Metric) -> str:
    """Scores of images and of their damaged copies, which are easy."""

    def predict(model: None, state: None, rows: pd.DataFrame) -> np.ndarray:
        return records(score=rows["x0"].to_numpy(), pseudo=rows["x0"].to_numpy() + 9)

    def first_score(test: pd.DataFrame, predictions: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame({"id": test["id"], "p0": predictions["score"]})

    made = Recipe(params=Nothing, build=lambda *_: Plan(predict=predict), combine=lambda fits: fits[0])
    return trained(made, metric=metric, also=also, write=first_score)


def hidden_score(inverted: bool) -> str:
    """The score of a submission on hidden labels, which are inverted or those of the training rows' kind."""
    said("train", "--comp", "blobs", "--config", "estimator", "--quiet")
    path = Path("data/blobs/private/solution.csv")
    solution = pd.read_csv(path)
    solution.assign(label=abs(solution["label"] - inverted)).to_csv(path, index=False)
    return said("grade", "--run", "latest")


# -- runs beside others


def blobs(*words: str) -> str:
    return said("train", "--comp", "blobs", "--config", "perceptron", "--quiet", *words)


def recorded(**runs: dict) -> None:
    """Finished runs with planted scores, a day apart. runs: name -> arguments of `planted_runs.plant`."""
    blobs("folds=[0, 1, 2]")
    base = Path("runs/blobs/perceptron-r1")
    source = base.rename(base.with_name("source"))
    for day, (name, planted) in enumerate(runs.items(), 1):
        plant(source, f"{name}-r1", day=day, dropout=day / 10, **planted)
    shutil.rmtree(source)


def compared(**runs: dict) -> str:
    """A comparison of planted runs."""
    recorded(**runs)
    return said("compare", *(f"{name}-r1" for name in runs))


def remarked(run: str, text: str, **runs: dict) -> str:
    """A comparison of planted runs and a remark on one of them."""
    return compared(**runs) + said("remark", "--run", f"{run}-r1", f"--text={text}")


def scores_of(*folds: float) -> str:
    """What is printed of a run with these scores, alone and in the experiment log."""
    recorded(full={"folds": folds})
    return said("score", "--run", "full-r1") + said("log", "--comp", "blobs")


def after_others(count: int) -> str:
    """A run after others that are worse."""
    blobs("dropout=0.1")
    for number in range(count):
        plant(Path("runs/blobs/perceptron-r1"), f"other{number}-r1", day=1 + number, mean=0.55 + number / 100)
    return blobs("dropout=0.2")


def budgets(epochs: int) -> str:
    blobs("epochs=2", "dropout=0.1")
    blobs(f"epochs={epochs}")
    return said("compare", "perceptron-r1", "perceptron-r2")


def by_protocols(*protocols: str) -> str:
    """Two runs, each scored by its protocol, and their comparison."""
    for seed, protocol in enumerate(protocols):
        metric = metrics.mean_average_precision(by_class, protocol=protocol)
        trained(embedder(1.0, 0.05), metric=metric, words=(f"seeds=[{seed}]",), outputs=9)
    return said("compare", "baseline-r1", "baseline-r2")


def without_baseline(removed: bool) -> str:
    """Two runs of embeddings and their comparison, with what was scored before training or without."""
    by_protocols("all", "all")
    for path in Path("runs/table").glob("*/metrics.json"):
        scores = json.loads(path.read_text(encoding="utf-8"))
        for summary in scores.values() if removed else ():
            summary.pop("untrained")
        path.write_text(json.dumps(scores), encoding="utf-8")
    return said("compare", "baseline-r1", "baseline-r2")


VIT = {"v3": {"mean": 0.8991}, "v5": {"mean": 0.9220}}
HASH = {"baseline": {"mean": 0.8384}, "ab3": {"mean": 0.7731}}
DAMAGE = {"easy": {"mean": 0.5, "also": {"pseudo": 0.98}}, "hard": {"mean": 0.8, "also": {"pseudo": 0.7}}}
FOLDS = (0.6644, 0.6982, 0.6805, 0.6701, 0.6805)
LONE_PERCENT = r"(?<!pp, )(?<!')[+-]\d[\d.]* ?%(?! has the wrong unit)"
UNNAMED_SPREAD = r"±(?! sd \(ddof=1\)| [\d.]+ (?:sd \(ddof=1, n=\d+\)|\(n=\d+\)))"


CASES = {
    "A: 2 epochs against 3": Case("unequal_budget", lambda: budgets(3), lambda: budgets(2)),
    "C: percentage points called %": Case(
        "remark_untrue",
        lambda: remarked("ab3", "-6.5 %", **HASH),
        lambda: remarked("ab3", "-6.53 pp", **HASH),
        never=LONE_PERCENT,
    ),
    "D: random embeddings of a label that a fifth of the frames has": Case(
        "at_chance, worse_than_chance", lambda: frames(learned=False), lambda: frames(learned=True), words=AT_CHANCE
    ),
    "H: names that no label has": Case(
        "refused, no number",
        lambda: trained(LINEAR, metric=purity({2: "cat", 3: "dog"})),
        lambda: trained(LINEAR, metric=purity({0: "cat", 1: "dog"})),
        words=r"goldfold: purity must lie in \[0.5, 1\]",
    ),
    "H: labels that are all missing": Case(
        "refused, no number", without_labels, lambda: trained(LINEAR), words=r"goldfold: target 'y' is missing in"
    ),
    "I: three rows against three": Case("tiny_sample", few_rows, lambda: trained(LINEAR)),
    "J: damaged copies alone": Case(
        "proxy_validation",
        lambda: of_synthetic_defects(PSEUDO),
        lambda: of_synthetic_defects(AUROC, PSEUDO),
    ),
    "J: the best of damaged copies called the best": Case(
        "remark_untrue", lambda: remarked("easy", "best", **DAMAGE), lambda: remarked("hard", "best", **DAMAGE)
    ),
    "K: a threshold from the scores it decides about": Case(
        "transductive in its name",
        lambda: trained(LINEAR, metric=metrics.f1_at_first_jump("y")),
        lambda: trained(LINEAR, metric=metrics.f1_at_quantile("y", 0.9)),
        words=r"f1_at_first_jump \(transductive\)",
    ),
    "O: embeddings compared without what they started from": Case(
        "no_zero_shot_row", lambda: without_baseline(removed=True), lambda: without_baseline(removed=False)
    ),
    "P: the epoch that is best on the scored fold": Case(
        "selected_on_scored_fold",
        lambda: trained(recipe(), words=("select=best",)),
        lambda: trained(recipe(), words=("select=last",)),
    ),
    "Q: galleries of 71 and of 290": Case(
        "refused: different_protocols",
        lambda: by_protocols("gallery of 71", "gallery of 290"),
        lambda: by_protocols("gallery of 71", "gallery of 71"),
        words="goldfold: .*have different protocols",
    ),
    "R: 'best' where a later run is better": Case(
        "remark_untrue", lambda: remarked("v3", "v3 best ViT", **VIT), lambda: remarked("v5", "v5 best ViT", **VIT)
    ),
    "S: five folds and their spread": Case(
        "sd (ddof=1, n=5)",
        lambda: scores_of(*FOLDS),
        lambda: scores_of(*FOLDS[:1]),
        words=r"0\.6787 ± 0\.0129 sd \(ddof=1, n=5\)",
        never=UNNAMED_SPREAD,
    ),
    "j: a hidden score far below the CV": Case(
        "cv_not_confirmed", lambda: hidden_score(inverted=True), lambda: hidden_score(inverted=False)
    ),
    "k: the best of many runs": Case("best_of_runs", lambda: after_others(4), lambda: after_others(2)),
}
"""Letter in the catalogue and what is planted -> the case."""
