"""`goldfold audit`: what it checks of data and of runs, what it says it did not check, and when it fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_tables import halves, on_columns, train
from planted_tables import mislabeled
from scipy import stats

import goldfold as gf
from goldfold import metrics
from goldfold.cli.main import main
from goldfold.competition import Fold, Plan, Recipe
from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json
from goldfold.nn import feature_cache
from goldfold.params import Params
from goldfold.workflows.audit.data import cached_features

RECIPE = on_columns(["x0", "x1"], kind="binary")


def rows(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """60 train and 20 test rows, four of each person."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame(random.normal(size=(80, 2)), columns=["x0", "x1"])
    table = table.assign(id=range(80), person=np.repeat(np.arange(20), 4))
    table["y"] = (table["x0"] + random.normal(size=80) > 0).astype(int)
    return table[:60], table[60:].drop(columns="y").reset_index(drop=True)


def audited(*words: str) -> tuple[int, gf.Project]:
    with pytest.raises(SystemExit) as end:
        main(["audit", *words])
    return end.value.code or 0, gf.Project(".")


@pytest.fixture
def grouped(toy: Path) -> gf.Run:
    """A run whose folds share persons, which it accepts."""
    return train(metrics.auroc("y"), RECIPE, rows(), group="person", accept=["shared_groups"])


def test_an_audit_before_training_fails_on_errors_that_are_not_accepted(
    grouped: gf.Run, capsys: pytest.CaptureFixture
) -> None:
    code, project = audited("--comp", "table")
    told = capsys.readouterr().out
    assert code == 1
    assert "error  shared_groups  fold 0" in told
    assert "ACCEPT=shared_groups with make" in told
    assert 'accept=["shared_groups"] in Python' in told
    assert audited("--comp", "table", "--accept", "shared_groups")[0] == 0
    assert "(accepted)" in capsys.readouterr().out
    found = project.audit("table")
    assert not found.ok
    assert {finding.code for finding in found.errors} == {"shared_groups"}
    with pytest.raises(GoldfoldError) as refused:
        found.refuse()
    assert refused.value.code == "shared_groups"
    assert project.audit("table", accept=["shared_groups"]).ok


def test_warnings_are_told_before_the_first_fit(toy: Path, capsys: pytest.CaptureFixture) -> None:
    table, test = rows()
    train(metrics.auroc("y"), RECIPE, (table.assign(late=table["y"]), test.assign(late=np.arange(20) % 2)))
    told = capsys.readouterr().out
    assert 0 < told.index("warning  target_in_column  train") < told.index("fold 0 seed 0")


def test_the_hint_of_a_refusal_is_accepted_as_it_is_printed(grouped: gf.Run) -> None:
    """By the shell, in Python, and by make, whose words tests/test_makefile.py reads."""
    project = gf.Project(".")
    with pytest.raises(GoldfoldError) as refused:
        project.train("table")
    assert 'ACCEPT=shared_groups with make, --accept shared_groups with goldfold, accept=["shared_groups"]' in str(
        refused.value
    )
    assert project.train("table", accept=["shared_groups"]).finished
    main(["train", "--comp", "table", "--accept", "shared_groups", "--quiet"])


def test_nothing_is_called_checked_that_was_not(grouped: gf.Run) -> None:
    found = gf.Project(".").audit("table")
    assert "groups on both sides of a fold" in found.checked
    assert found.not_checked["near-duplicates in time on both sides of a fold"] == (
        "the competition declares no `neighbors`"
    )
    assert not set(found.checked) & set(found.not_checked)
    other = gf.Project(".").audit("blobs", "perceptron")
    assert other.not_checked["groups on both sides of a fold"] == "the competition declares no `group`"
    assert "shared_groups" not in {finding.code for finding in other.findings}


def test_a_run_is_audited_again_and_its_record_says_what_was_checked(
    grouped: gf.Run, capsys: pytest.CaptureFixture
) -> None:
    assert audited("--run", "latest")[0] == 0
    assert "audit of table/baseline-r1: " in capsys.readouterr().out
    found = grouped.audit()
    assert found.ok, "the run's config accepts shared groups"
    again = {finding.code for finding in found.findings}
    assert {finding.code for finding in grouped.findings} == again
    assert any(what.startswith("predictions that depend on the rows beside them (30 rows") for what in found.checked)
    checks = {each["what"]: each for each in read_json(grouped.folder / "checks.json")}
    made = {what for what, each in checks.items() if not each["skipped"]}
    assert made == {what for what in found.checked if not what.startswith("predictions that depend")}
    assert "Checked: rows on both sides of a fold" in grouped.record
    assert "Not checked: " in grouped.record
    assert checks["loss terms that train nothing"]["skipped"] in grouped.record


def test_constant_features_in_the_cache_are_found(tmp_path: Path) -> None:
    names = [f"{at:032x}" for at in range(40)]
    values = np.random.default_rng(2).normal(size=(40, 8)).astype(np.float32)
    flat = values.copy()
    flat[:, 3] = 1

    def cache(features: np.ndarray, key: str) -> None:
        items = list(zip(names, features, strict=True))
        feature_cache.cached_by_hash(items, np.stack, key=key, cache=tmp_path, batch_size=16)

    assert cached_features(tmp_path, names, files=True).skipped == "no features of the train files are cached yet"
    cache(values, "varied")
    found = cached_features(tmp_path, names, files=True)
    assert (found.what, found.findings) == ("constant features in the cache, 1 block", ())
    cache(flat, "flat")
    (finding,) = cached_features(tmp_path, names, files=True).findings
    assert (finding.code, finding.level) == ("constant_feature", "warning")
    assert cached_features(tmp_path, ["of others"] * 40, files=True).skipped


class Nothing(Params):
    """No parameters."""


def ranked(params: Nothing, training: pd.DataFrame, runtime: object) -> Plan:
    return Plan(predict=lambda model, state, rows: stats.rankdata(rows["x0"]) / len(rows))


def test_predictions_by_rank_depend_on_their_batch(toy: Path) -> None:
    transductive = Recipe(params=Nothing, build=ranked)
    run = train(metrics.auroc("y"), transductive, rows())
    found = run.audit()
    assert [finding.code for finding in found.errors] == ["batch_dependent_predictions"]
    assert run.audit(accept=["batch_dependent_predictions"]).ok
    declared = gf.Project(".").train("table", accept=["batch_dependent_predictions"])
    assert declared.audit().ok


def test_contradicted_labels_are_noted_in_the_record(toy: Path) -> None:
    run = train(metrics.auroc("y"), RECIPE, mislabeled(12))
    (note,) = [finding for finding in run.findings if finding.code == "doubtful_labels"]
    assert note.level == "note"
    assert note.message in run.record


def test_folds_that_share_rows_stop_before_training(toy: Path) -> None:
    def leaking(table: pd.DataFrame, seed: int) -> list[Fold]:
        return [Fold(np.arange(len(table)), fold.validation) for fold in halves(table, seed)]

    with pytest.raises(GoldfoldError, match="scored rows are also trained on"):
        train(metrics.auroc("y"), RECIPE, rows(), split=leaking)
    assert not list(Path("runs").glob("table/*/record.md"))
