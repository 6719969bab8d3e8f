"""What a remark claims, against planted tables: lies are refused with the table's values, true wordings pass."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from error_codes import raises_code
from planted_runs import edit, plant

from goldfold.project import Project
from goldfold.trust.experiment_log.checks import check
from goldfold.trust.experiment_log.claims import find_claims
from goldfold.trust.experiment_log.log import read_log

TOY = Path(__file__).parents[1] / "toy"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Runs of blobs with planted scores, the oldest first.

    v1 .8384 auroc; ab3 .7731 with another dropout; v3 .8991 with two changes; v5 .9220 with one; lucky: v5 and noise.
    """
    root = tmp_path_factory.mktemp("log") / "project"
    shutil.copytree(TOY, root, ignore=shutil.ignore_patterns("__pycache__"))
    base = Project(root, quiet=True).train("blobs", "perceptron", folds=[0, 1, 2]).folder
    source = base.rename(base.with_name("source"))
    also = {"f1": 0.70}
    plant(source, "v1-r1", day=1, mean=0.8384, also=also)
    plant(source, "ab3-r1", day=2, folds=[0.7630, 0.7731, 0.7832], also={"f1": 0.65}, dropout=0.0)
    plant(source, "v3-r1", day=3, mean=0.8991, also={"f1": 0.80}, dropout=0.5, learning_rate=0.05)
    plant(source, "v5-r1", day=4, mean=0.9220, also={"f1": 0.75}, dropout=0.5, learning_rate=0.02)
    plant(source, "lucky-r1", day=5, folds=[0.90, 0.97, 0.89], also={"f1": 0.75}, dropout=0.4, learning_rate=0.02)
    shutil.rmtree(source)
    return Project(root, quiet=True)


def verdicts(project: Project, run: str, text: str) -> list[str]:
    log = read_log(project.workspace, "blobs")
    entry = next(each for each in log.entries if each.row.run.name == run)
    return [each.verdict for each in check(text, entry.row, log.runs)]


@pytest.mark.parametrize(
    ("run", "text", "expected"),
    [
        # superlatives: v3 was the best when it was made, v5 is better now
        ("v3-r1", "v3 best ViT", "untrue"),
        ("v3-r1", "best auroc", "untrue"),
        ("v3-r1", "best so far", "true"),
        ("v3-r1", "the best AUC yet", "true"),
        ("v3-r1", "NEW BEST", "untrue"),
        ("v3-r1", "state of the art", "untrue"),
        ("v3-r1", "a record!", "untrue"),
        ("v3-r1", "highest F1", "true"),
        ("v3-r1", "best f1 score", "true"),
        ("v5-r1", "best f1", "untrue"),
        ("v5-r1", "best f1 so far", "untrue"),
        ("v5-r1", "best so far", "true"),
        ("lucky-r1", "best so far", "untrue"),
        ("ab3-r1", "worst", "true"),
        ("v1-r1", "worst", "untrue"),
        ("ab3-r1", "lowest AUC", "true"),
        ("ab3-r1", "better than all others", "untrue"),
        ("v3-r1", "not the best", "true"),
        ("v5-r1", "not the best", "untrue"),
        ("v3-r1", "v5-r1 is the best", "true"),
        ("v3-r1", "bisher bestes Ergebnis", "true"),
        ("v3-r1", "bestes Ergebnis", "untrue"),
        ("v3-r1", "el mejor resultado", "untrue"),
        ("v3-r1", "le meilleur score jusqu'ici", "true"),
        ("v3-r1", "目前最好", "true"),
        ("v3-r1", "最好的结果", "untrue"),
        ("v3-r1", "これまでで最良", "true"),
        ("v3-r1", "最好の結果ではない", "true"),
        ("v3-r1", "nicht das beste", "true"),
        ("v3-r1", "So far, the best", "true"),
        ("v3-r1", "It should be noted that this is the best", "untrue"),
        ("v3-r1", "without dropout the best", "untrue"),
        ("v3-r1", "best accuracy", "unchecked"),
        ("lucky-r1", "second best", "true"),
        ("v5-r1", "second best", "untrue"),
        # directions; v3 is compared with ab3, from which it differs least and which is newer than v1
        ("v3-r1", "better than v1-r1", "true"),
        ("v3-r1", "worse than v1-r1", "untrue"),
        ("v3-r1", "hurts", "untrue"),
        ("v3-r1", "helps", "true"),
        ("v3-r1", "higher AUC than v1-r1", "true"),
        ("v3-r1", "lower AUC than v1-r1", "untrue"),
        ("v3-r1", "better than v5-r1", "untrue"),
        ("v3-r1", "better than v9", "unchecked"),
        ("v3-r1", "better than chance", "true"),
        ("v3-r1", "worse than chance", "untrue"),
        ("lucky-r1", "worse than v5-r1", "not_shown"),
        ("lucky-r1", "better than v5-r1", "untrue"),
        ("lucky-r1", "no better than v5-r1", "true"),
        ("v3-r1", "not better than v1-r1", "untrue"),
        ("ab3-r1", "no dropout is better", "untrue"),
        ("ab3-r1", "not using dropout is better", "untrue"),
        ("ab3-r1", "without dropout better", "untrue"),
        ("ab3-r1", "not only better but also simpler", "untrue"),
        ("v3-r1", "besser als v1-r1", "true"),
        ("v3-r1", "mejor que v1-r1", "true"),
        # differences: .7731 against .8384 is -6.53 pp and -7.8 %
        ("ab3-r1", "-6.53 pp", "true"),
        ("ab3-r1", "−6.5 pp", "true"),
        ("ab3-r1", "-7.8 %", "true"),
        ("ab3-r1", "-7.8%", "true"),
        ("ab3-r1", "-6.5 %", "untrue"),
        ("ab3-r1", "-7.8 pp", "untrue"),
        ("ab3-r1", "-6.5", "true"),
        ("ab3-r1", "-0.0653", "true"),
        ("ab3-r1", "+6.53 pp", "untrue"),
        ("ab3-r1", "-6.54 pp", "untrue"),
        ("ab3-r1", "-5.0 pp", "true"),  # of f1
        ("ab3-r1", "AUC -5.0 pp", "untrue"),
        ("ab3-r1", "F1 -5.0 pp", "true"),
        ("ab3-r1", "worse by 6.53 pp", ["true", "true"]),
        ("ab3-r1", "loses 6.5 pp", "true"),
        ("ab3-r1", "loses 9.4 pp", "untrue"),
        ("ab3-r1", "-6.53e-2", "true"),
        ("ab3-r1", "-6.53e-1", "untrue"),
        ("ab3-r1", "-1e999", []),
        ("v3-r1", "+6.07 pp compared to v1-r1", "true"),
        ("v1-r1", "+1 pp", "unchecked"),
        # what was changed: ab3 one key, v3 two
        ("ab3-r1", "only dropout changed", "true"),
        ("ab3-r1", "Unchanged from v1-r1 except the dropout", "true"),
        ("v3-r1", "unchanged except the dropout", "untrue"),
        ("v3-r1", "same as v1-r1 except dropout and learning rate", "true"),
        ("v3-r1", "same as v1-r1 except dropout and lr", "true"),
        ("v3-r1", "changed only the learning_rate", "untrue"),
        ("ab3-r1", "only the learning rate changed", "untrue"),
        ("ab3-r1", "only the frobnication changed", "unchecked"),
        ("ab3-r1", "unchanged", "untrue"),
        ("ab3-r1", "the same as everybody does", "unchecked"),
        ("ab3-r1", "same as v2 except the dropout", "unchecked"),
        ("ab3-r1", "same as before except the dropout", "true"),
        ("ab3-r1", "learning rate unchanged", "true"),
        ("ab3-r1", "dropout unchanged", "untrue"),
        ("ab3-r1", "AUC unchanged", "untrue"),
        ("lucky-r1", "AUC unchanged compared with v5-r1", "not_shown"),
    ],
)
def test_claims_are_checked_against_the_table(project: Project, run: str, text: str, expected: str | list) -> None:
    assert verdicts(project, run, text) == ([expected] if isinstance(expected, str) else expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ran overnight on the new machine",
        "Is it the best?",
        "might be better",
        "should help; try a higher learning rate",
        "lower dropout, higher learning rate",
        "best epoch 3, top-5 and top 5",
        "bestand, topology, recording",
        "2026-02-03, folds 0-2, seed 1",
        "dropout +0.3 and learning_rate -0.1",
        "the 95 % interval [+0.01, +0.2] is wide",
        "divided by 3",
        "scores 0.86 ± 0.5 pp over seeds",
        "0.3 pp below the best",
        "one of the best, among the best, close to the best",
        "lower loss and higher variance",
        "if it helps we keep it",
        "could well be the best",
        "perhaps the best of all",
    ],
)
def test_other_text_holds_no_claim(text: str) -> None:
    assert find_claims(text, ("dropout", "learning_rate", "folds", "seed")) == []


@pytest.mark.parametrize(
    ("run", "text", "facts"),
    [
        ("v3-r1", "best", ["v5-r1 has 0.9220", "v3-r1 0.8991", "'best so far' or 'number"]),
        ("ab3-r1", "-6.5 %", ["-6.53 pp, -7.8 %", "wrong unit", "v1-r1"]),
        ("ab3-r1", "better", ["-0.0653", "true would be 'worse'"]),
        ("v3-r1", "only dropout changed", ["dropout 0.0 -> 0.5", "learning_rate 0.01 -> 0.05", "except"]),
    ],
)
def test_an_untrue_remark_is_refused_with_values_and_true_wording(
    project: Project, run: str, text: str, facts: list[str]
) -> None:
    with raises_code("remark_untrue", "ACCEPT=remark_untrue", *facts):
        project.run(f"blobs/{run}").remark(text)
    for field in ("conclusion", "next"):
        with raises_code("remark_untrue", *facts):
            project.run(f"blobs/{run}").remark("seen by eye", **{field: text})
    assert not (project.workspace.runs / "blobs" / run / "remarks.json").exists()


def test_lower_is_better_turns_best_and_not_lowest(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(project.workspace.root, root)
    place = root / "runs" / "blobs"
    for name, day, mean in (("a-r1", 10, 3.0), ("b-r1", 11, 2.0)):
        plant(place / "v1-r1", name, day=day, mean=mean, metric="rmse")
    own = Project(root, quiet=True)
    for run, text, expected in (
        ("b-r1", "best", "true"),
        ("a-r1", "best", "untrue"),
        ("b-r1", "lowest RMSE", "true"),
        ("b-r1", "highest RMSE", "untrue"),
        ("a-r1", "worst", "true"),
        ("b-r1", "improved by 1.00 pp", "untrue"),
        ("b-r1", "better", "true"),
        ("b-r1", "higher", "untrue"),
        ("b-r1", "-33.3 %", "true"),
        ("b-r1", "-1 pp", "untrue"),  # an error has no percentage points
    ):
        assert verdicts(own, run, text)[-1] == expected, text


def test_other_folds_and_optimistic_epochs_are_no_rivals(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(project.workspace.root, root)
    place = root / "runs" / "blobs"
    better = plant(place / "v1-r1", "other-r1", day=20, mean=0.99)
    own = Project(root, quiet=True)
    assert verdicts(own, "v5-r1", "best") == ["untrue"]
    folds = (better / "folds.csv").read_text(encoding="utf-8").splitlines()
    (better / "folds.csv").write_text("\n".join([folds[0], *(f"x{line}" for line in folds[1:])]), encoding="utf-8")
    assert verdicts(own, "v5-r1", "best") == ["true"]
    assert verdicts(own, "other-r1", "best, +1 pp, only dropout changed") == ["unchecked"] * 3
    shutil.copy(place / "v1-r1" / "folds.csv", better)
    metrics = better / "metrics.json"
    text = metrics.read_text(encoding="utf-8")
    assert ", last epoch" in text
    metrics.write_text(text.replace(", last epoch", ", best epoch on the scored fold"), encoding="utf-8")
    assert verdicts(own, "v5-r1", "best") == ["true"]


def test_data_that_changed_is_a_change(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(project.workspace.root, root)
    edit(root / "runs" / "blobs" / "ab3-r1" / "reproduce.json", data_hash="other")
    own = Project(root, quiet=True)
    assert verdicts(own, "ab3-r1", "only dropout changed") == ["untrue"]
    assert verdicts(own, "ab3-r1", "only dropout and the data changed") == ["true"]
