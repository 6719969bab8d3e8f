"""What acting on drift gains: house prices with the houses sold last as hidden rows, by make drift's own advice.

    PYTHONPATH=src GOLDFOLD_SAMPLE_DATA=../shared/data .venv/bin/python benchmarks/drift.py

Kaggle divided house_prices at random, so nothing can be gained there. Here the 1,460 labeled houses are divided again,
twice: those sold in 2010 are the test rows; or newer houses are drawn more often into the test rows. Each variant is
fitted on five folds of the others, each fold's model predicts all hidden rows, and the RMSE of the logarithm is
compared over the folds, paired. Density ratios are for tables that overlap, so only the second has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold

import goldfold as gf
from goldfold.competition import Competition, Fold
from goldfold.report.plotting.markdown import table
from goldfold.trust.comparisons import difference, difference_text
from goldfold.trust.drift import features, measure, verdict

TARGET, LAST = "log_price", 2010
SURE = 0.001  # corrected p-value from which a column counts; the first two are dropped
FOLDS = 5


def main() -> None:
    project = gf.Project(".", quiet=True)
    every = project.tables("house_prices").train
    competition = replace(project.competition("house_prices"), split=folds)
    newer = np.random.default_rng(0).random(len(every)) < 0.6 * every["YearBuilt"].rank(pct=True) ** 2
    act(competition, every, (every["YrSold"] == LAST).to_numpy(), "sold in 2010", weighted=False)
    act(competition, every, newer.to_numpy(bool), "newer houses drawn more often", weighted=True)


def act(competition: Competition, every: pd.DataFrame, hidden: np.ndarray, what: str, *, weighted: bool) -> None:
    """Compare the tables, act on what is found, and print what it gains."""
    train, test = every[~hidden].reset_index(drop=True), every[hidden].reset_index(drop=True)
    rows = measure.sides(competition, train, test)
    read, _ = features.of_tables(competition, train, test)
    found, scores = measure.measure(read, rows, folds(train, 0), f"{len(read.names)} columns")
    print(f"\n{what}: {len(train)} train rows, {len(test)} test rows, AUROC {verdict.auroc_text(found.separation)}")
    print(f"validation against training rows {found.folds_auroc:.3f}; {verdict.next_step([found])}")
    sure = [each for each in found.columns if each.p_value is not None and each.p_value < SURE]
    print("columns: " + ", ".join(f"{each.name} (AUROC {each.auroc:.3f})" for each in sure))
    dropped = [each.name for each in sure[:2]]
    likeness = measure.likeness(scores, rows, range(len(train)), range(len(test)))
    known = likeness[likeness["table"] == "train"].set_index("id").sort_index()
    variants = {
        "as it is": fitted(train, test, [], None),
        f"without {', '.join(dropped) or 'any column'}": fitted(train, test, dropped, None),
    }
    if weighted:
        variants["weighted by density ratio"] = fitted(train, test, [], known["weight"].to_numpy())
    show(variants, known["likeness"].to_numpy())


def folds(train: pd.DataFrame, seed: int) -> list[Fold]:
    return [Fold(*part) for part in KFold(FOLDS, shuffle=True, random_state=seed).split(train)]


def fitted(train: pd.DataFrame, test: pd.DataFrame, dropped: list[str], weights: np.ndarray | None) -> dict:
    """RMSE of the logarithm on the hidden rows for each fold's model, and squared errors out of fold."""
    columns = [name for name in train.columns if name not in ("id", TARGET, *dropped)]
    both = pd.concat([train[columns], test[columns]])
    texts = both.select_dtypes(exclude="number").columns
    both[texts] = both[texts].astype("category")
    known, later = both[: len(train)], both[len(train) :]
    target, truth = train[TARGET].to_numpy(), test[TARGET].to_numpy()
    hidden, errors = {}, np.empty(len(train))
    for number, fold in enumerate(folds(train, 0)):
        model = HistGradientBoostingRegressor(categorical_features="from_dtype", random_state=0)
        own = None if weights is None else weights[fold.train]
        model.fit(known.iloc[fold.train], target[fold.train], sample_weight=own)
        errors[fold.validation] = (model.predict(known.iloc[fold.validation]) - target[fold.validation]) ** 2
        hidden[str(number)] = float(np.sqrt(np.mean((model.predict(later) - truth) ** 2)))
    return {"folds": hidden, "errors": errors}


def show(variants: Mapping[str, dict], likeness: np.ndarray) -> None:
    """Print the hidden score of each variant, the difference to the first, and two local scores."""
    like = likeness >= np.quantile(likeness, 0.8)
    summaries = {
        name: {"folds": each["folds"], "mean": float(np.mean(list(each["folds"].values()))), "higher_is_better": False}
        for name, each in variants.items()
    }
    reference = next(iter(summaries.values()))
    lines = []
    for name, summary in summaries.items():
        errors = variants[name]["errors"]
        told = "" if summary is reference else difference(summary, reference, len(variants) - 1)
        text = told if isinstance(told, str) else f"{difference_text(told, (0, np.inf))}: {told.verdict}"
        local = [f"{np.sqrt(errors.mean()):.4f}", f"{np.sqrt(errors[like].mean()):.4f}"]
        lines.append([name, f"{summary['mean']:.4f}", text, *local])
    heading = ["variant", "RMSE hidden", "difference, paired over folds", "CV", "CV, most test-like fifth"]
    print(table(heading, lines))


if __name__ == "__main__":
    main()
