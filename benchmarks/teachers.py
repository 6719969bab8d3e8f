"""What extra rows, pseudo-labels and distillation gain on scikit-learn's digits with few labels, paired over folds.

    PYTHONPATH=src python benchmarks/teachers.py [--labeled 100] [--extra 1000]

Of the 1,797 pictures of 8 x 8 pixels some are labeled train rows and some extra rows; the rest is the test table. It
trains a forest and a linear model in a project of its own and prints the tables of `make compare`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from goldfold.project import Project
from goldfold.run import Run

COMPETITION = """
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline

from goldfold import metrics
from goldfold.competition import Competition, Submission, Tables
from goldfold.data import self_hosting
from goldfold.data.folds import stratified
from goldfold.recipes import tabular

LABELED, EXTRA, WITH_LABELS = {labeled}, {extra}, {with_labels}
PIXELS = [f"p{{at}}" for at in range(64)]
DIGITS = tuple(range(10))


def table():
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    rows = pd.DataFrame(found.data[order], columns=PIXELS).assign(id=[f"r{{at}}" for at in order])
    return rows.assign(digit=found.target[order])


def prepare(raw, public, private):
    rows = table().drop(index=range(LABELED, LABELED + EXTRA)).reset_index(drop=True)
    zeros = {{f"d{{digit}}": 0.1 for digit in DIGITS}}
    hidden = np.arange(LABELED, len(rows))
    self_hosting.write(rows, hidden, ["digit"], {{"digit": 0}}, public, private)


def load(public):
    found = self_hosting.read(public)
    extra = table()[LABELED : LABELED + EXTRA].reset_index(drop=True)[found.train.columns]
    extra = extra if WITH_LABELS else extra.assign(digit=np.nan)
    return Tables(train=found.train, test=found.test, sample_submission=found.sample_submission, extra=extra)


def estimator(params, seed):
    return make_pipeline(tabular.preprocess(numeric=PIXELS, categorical=[]), tabular.classifier(params, seed))


COMPETITION = Competition(
    slug="few",
    metric=metrics.log_loss(target="digit", classes=DIGITS),
    also=[metrics.accuracy(target="digit", classes=DIGITS)],
    targets=("digit",),
    prepare=prepare,
    load=load,
    split=lambda train, seed: stratified(train["digit"], folds=5, seed=seed),
    recipes={{"tabular": tabular.recipe(tabular.TabularParams, estimator, target="digit", kind="multiclass")}},
    submission=Submission(write=lambda test, p: pd.DataFrame({{"id": test["id"], "digit": p.argmax(axis=1)}})),
)
"""


def write(name: str, asked: argparse.Namespace, with_labels: bool) -> None:
    """Write a competition and its config into the current folder."""
    home, configs = Path("competitions") / name, Path("configs") / name
    home.mkdir(parents=True)
    text = COMPETITION.format(labeled=asked.labeled, extra=asked.extra, with_labels=with_labels)
    (home / "__init__.py").write_text(f'"""Digits with few labels."""\n{text}', encoding="utf-8")
    configs.mkdir(parents=True)
    (configs / "baseline.yaml").write_text("recipe: tabular\n", encoding="utf-8")
    (configs / "forest.yaml").write_text("recipe: tabular\nestimator: forest\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labeled", type=int, default=100)
    parser.add_argument("--extra", type=int, default=1000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write("labeled", asked, True)
        write("unlabeled", asked, False)
        project = Project(quiet=True)
        _compared(project, _extra(project))
        for config in ("forest", "baseline"):
            _compared(project, _taught(project, config))


def _extra(project: Project) -> dict[str, Run]:
    """Forests without and with labeled extra rows."""
    return {
        "forest": project.train("labeled", "forest", extra=False),
        "with labeled extra rows": project.train("labeled", "forest"),
    }


def _taught(project: Project, config: str) -> dict[str, Run]:
    """A model alone, with pseudo-labels of the extra rows by itself, and with soft targets of the forest."""
    alone = project.train("unlabeled", config)
    forest = alone if config == "forest" else project.train("unlabeled", "forest")
    own = {"teacher": alone.name, "rows": "extra"}
    found = {
        config: alone,
        "pseudo-labels": project.train("unlabeled", config, pseudo_labels=own),
        "of probability 0.8": project.train("unlabeled", config, pseudo_labels={**own, "threshold": 0.8}),
        "soft pseudo-labels": project.train("unlabeled", config, pseudo_labels={**own, "labels": "soft"}),
    }
    if config == "forest":
        return found
    for predictions in ("in_sample", "nested"):
        asked = {"teacher": forest.name, "predictions": predictions}
        found[f"distilled forest, {predictions}"] = project.train("unlabeled", config, distill=asked)
    return found


def _compared(project: Project, runs: dict[str, Run]) -> None:
    print("\n".join(f"{run.name}: {what}" for what, run in runs.items()))
    print(project.compare(list(runs.values())), flush=True)


if __name__ == "__main__":
    main()
