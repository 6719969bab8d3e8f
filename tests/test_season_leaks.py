"""Techniques that join runs: labels of a fold's validation rows do not reach the fold through other runs and files.

The labels of `planted_teachers` are random, so an honest AUROC is 0.5, and every row has a twin in another fold and in
the test table, so a model that saw a validation row tells its label to whoever learns from it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import planted_teachers
import pytest

from goldfold.ensemble.methods import METHODS
from goldfold.project import Project
from goldfold.run import Run

pytestmark = pytest.mark.slow
FRIENDS = 3
CHANCE = 0.15  # how far the AUROC of 240 rows with random labels is from 0.5 at most, more than four sd


@dataclass(frozen=True)
class Season:
    """Technique -> the predictions of fold 0 and the run's scores; findings: their codes."""

    folds: dict[str, np.ndarray]
    runs: dict[str, Run]

    def codes(self, name: str) -> set[str]:
        return {finding.code for finding in self.runs[name].findings}


def flip(public: Path) -> None:
    """Another label for the validation rows of fold 0, in the train table alone."""
    train = pd.read_csv(public / "train.csv")
    train.loc[train["part"] == 0, "y"] = 1 - train["y"]
    train.to_csv(public / "train.csv", index=False)


def put_extra_rows(public: Path) -> None:
    """Extra rows at places of their own: a file of labels that belongs to nobody's validation rows."""
    draw = np.random.default_rng(7)
    points = pd.DataFrame(draw.normal(size=(60, 2)), columns=["a", "b"]).assign(part=0, y=draw.integers(0, 2, 60))
    points.assign(id=[f"e{at}" for at in range(60)]).to_csv(public / "extra.csv", index=False)


def put_friends(run: Run) -> None:
    """Files of three friends with random predictions, the same whatever the labels are, on our folds."""
    run.folds.to_csv("folds.csv", index=False)
    for number in range(FRIENDS):
        draw = np.random.default_rng(number)
        for side, table in (("oof", run.oof), ("test", run.test)):
            table.assign(prediction=draw.uniform(size=len(table))).to_csv(f"{side}{number}.csv", index=False)


def trained(project: Project) -> Iterator[tuple[str, Run]]:
    """The techniques, one after the other; later ones use the runs of earlier ones."""
    tree = project.train("mirrors", "tree")
    yield "estimator", tree
    for labels in ("hard", "soft"):
        asked = {"teacher": tree.name, "labels": labels}
        yield f"pseudo-labels, {labels}", project.train("mirrors", "tree", pseudo_labels=asked)
    for predictions in ("in_sample", "nested", "out_of_fold"):
        asked = {"teacher": tree.name, "predictions": predictions, "alpha": 1}
        accept = ["pseudo_label_leak"] if predictions == "out_of_fold" else []
        yield f"distillation, {predictions}", project.train("mirrors", "tree", distill=asked, accept=accept)
    network = project.train("mirrors", "network", debug=True)
    yield "network", network
    yield "init_from", project.train("mirrors", "network", init_from=network.name, epochs=2)
    yield "pick, average", network.pick([2, 3, 4])
    yield "pick, soup by rows kept back", network.pick([2, 3, 4], by="stopping_loss")
    put_friends(tree)
    friends = [
        project.import_run("mirrors", f"oof{at}.csv", f"test{at}.csv", name=f"friend{at}", folds="folds.csv")
        for at in range(FRIENDS)
    ]
    for method in METHODS:
        yield f"blend of imported runs, {method}", project.blend(friends, method=method)
    yield "blend of imported runs", project.blend(friends)


def season(folder: Path, flipped: bool) -> Season:
    planted_teachers.write(folder)
    for name in [name for name in sys.modules if name.split(".")[0] == "competitions"]:
        sys.modules.pop(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        project = Project(quiet=True)
        public = project.prepare("mirrors")
        put_extra_rows(public)
        if flipped:
            flip(public)
        runs = {name: Run(run.folder.resolve(), run.workspace) for name, run in trained(project)}
        folds = {name: of_fold(run) for name, run in runs.items()}
    return Season(folds, runs)


def of_fold(run: Run) -> np.ndarray:
    """The out-of-fold predictions of fold 0, in the order of ids."""
    own = run.folds.loc[run.folds["fold"].astype(str) == "0", "id"].astype(str)
    oof = run.oof.assign(id=run.oof["id"].astype(str)).set_index("id")["prediction"]
    return oof[sorted(own)].to_numpy()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Season, Season]:
    """The season with the labels as they are, and with other labels of fold 0."""
    return tuple(season(tmp_path_factory.mktemp(name), name == "flipped") for name in ("labels", "flipped"))


def test_other_labels_of_a_fold_change_nothing_that_predicts_it(both):
    known, flipped = both
    equal = {name: np.array_equal(values, flipped.folds[name]) for name, values in known.folds.items()}
    for name, run in known.runs.items():
        print(f"{name}: fold 0 bit-identical {equal[name]}, AUROC {run.metrics['auroc']['mean']:.3f}")
    assert [name for name, each in equal.items() if not each] == ["distillation, out_of_fold"]
    assert "pseudo_label_leak" in known.codes("distillation, out_of_fold"), "and that is told"


def test_scores_on_random_labels_stay_at_chance(both):
    for found in both:
        for name, run in found.runs.items():
            if name != "distillation, out_of_fold":
                assert abs(run.metrics["auroc"]["mean"] - 0.5) < CHANCE, name
                assert "pseudo_label_leak" not in found.codes(name), name


def test_a_blend_chosen_among_models_of_random_labels_stays_at_chance(both, monkeypatch):
    """Members that learned from the other folds, whose nested score is what is told."""
    for found in both:
        monkeypatch.chdir(found.runs["estimator"].folder.parents[2])
        runs = [found.runs[name].name for name in ("estimator", "network", "distillation, nested", "init_from")]
        assert abs(Project(quiet=True).blend(runs).metrics["auroc"]["mean"] - 0.5) < CHANCE


def test_a_friend_who_saw_the_labels_is_marked(both, monkeypatch):
    """A copy of the target as somebody's predictions: without our folds the score is told to be no score of folds."""
    tree = both[0].runs["estimator"]
    monkeypatch.chdir(tree.folder.parents[2])
    train = pd.read_csv("data/mirrors/public/train.csv")
    train[["id"]].assign(prediction=train["y"]).to_csv("copied.csv", index=False)
    run = Project(quiet=True).import_run("mirrors", "copied.csv", "test0.csv", name="copied")
    assert run.metrics["auroc"]["mean"] == 1
    assert "foreign_folds" in {finding.code for finding in run.findings}


def test_a_refit_has_no_score_of_the_rows_it_saw(both, monkeypatch):
    tree = both[0].runs["estimator"]
    monkeypatch.chdir(tree.folder.parents[2])
    before = (tree.folder / "metrics.json").read_bytes(), (tree.folder / "oof.npy").read_bytes()
    made = tree.refit()
    assert ((tree.folder / "metrics.json").read_bytes(), (tree.folder / "oof.npy").read_bytes()) == before
    assert not [path for path in (tree.folder / "refit").rglob("*") if path.name in ("oof.npy", "metrics.json")]
    assert made.submission.exists()


def test_what_tuning_finds_in_random_labels_is_not_there_on_new_folds(tmp_path, monkeypatch):
    planted_teachers.write(tmp_path)
    config = tmp_path / "configs" / "mirrors" / "tree.yaml"
    config.write_text("recipe: tree\nsearch:\n  depth: {low: 1, high: 30}\n", encoding="utf-8")
    for name in [name for name in sys.modules if name.split(".")[0] == "competitions"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.chdir(tmp_path)
    again = Project(quiet=True).tune("mirrors", "tree", trials=8, redraws=2, prune=False).facts.reestimate
    assert again is not None, "trial 0 must not be the best one"
    new = np.mean([list(scores.values()) for scores in again.winner.values()])
    print(f"tuning: AUROC {again.study:.3f} on the study's folds, {new:.3f} on new ones")
    assert abs(new - 0.5) < CHANCE
