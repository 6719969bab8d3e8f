"""The record of a run: what it must tell, and what it must keep to itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from goldfold.errors import GoldfoldError
from goldfold.experiment.identity import provenance as records
from goldfold.experiment.intervals.limits import fold_statistics
from goldfold.io.formatting import difference, number
from goldfold.report.plotting.markdown import table
from goldfold.report.run.record import record

SCORES = {"roc_auc": [0.9012, 0.9247, 0.9133], "log_loss": [0.3511, 0.3298, 0.3404]}
CHANCE = {"roc_auc": 0.5, "log_loss": 0.6094}
SAID = [{"code": "lr_swings", "level": "warning", "message": "it swung", "where": f"fold {fold}"} for fold in range(3)]


def _summary(name: str, bounds: tuple[float, float], higher: bool) -> dict:
    return {
        "protocol": f"{name}, out of fold, 3 of 3 folds drawn with seed 0, 1 seed a fold, last epoch",
        "higher_is_better": higher,
        "bounds": list(bounds),
        "chance": CHANCE[name],
        "folds": {str(fold): score for fold, score in enumerate(SCORES[name])},
        **fold_statistics(SCORES[name], bounds),
        "pooled": SCORES[name][2] - 0.0021,
        "pooled_interval_95": [SCORES[name][0] - 0.0007, SCORES[name][1] + 0.0009],
    }


def _history(last: float, best: float) -> list[dict]:
    """Four epochs: the third reads `best`, the fourth `last`."""
    return [
        {
            "stage": "train",
            "epoch": epoch,
            "loss": {"cross_entropy": 0.7 / epoch},
            "metric": metric,
            "learning_rate": [1e-3 / epoch],
            "gradient_norm": {"cross_entropy": 1.0},
            "samples": 1000,
            "steps": 32,
            "seconds": 2.5,
        }
        for epoch, metric in enumerate([0.71, None, best, last], 1)
    ]


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder of three folds with the files a record is made from."""
    run = tmp_path / "runs" / "地毯" / "baseline-r2"
    defaults = {"seed": 0, "seeds": [0], "select": "last", "note": "a|b"}
    _write(run / "config.json", {"config": "baseline", "recipe": "classifier", **defaults, "rate": 0.003})
    _write(run / "metrics.json", {
        "roc_auc": _summary("roc_auc", (0.0, 1.0), True),
        "log_loss": _summary("log_loss", (0.0, float("inf")), False),
    })  # fmt: skip
    _write(run / "findings.json", [])
    hashes = {"identity": "1d" * 32, "data_hash": "da7a" * 16, "code_hash": "c0de" * 16}
    _write(run / "reproduce.json", {**hashes, **records.reproduce(tmp_path, ["python", "-m", "goldfold", "train"])})
    pd.DataFrame({"id": range(1400), "fold": [0] * 500 + [1] * 500 + [2] * 400}).to_csv(run / "folds.csv", index=False)
    for fold in range(3):
        scores = {name: values[fold] for name, values in SCORES.items()}
        place = run / f"fold{fold}-seed0"
        _write(place / "fit.json", {"fold": fold, "seed": 0, "epoch": 4, "scores": scores, "chance": CHANCE})
        _write(place / "history.json", _history(scores["roc_auc"], scores["roc_auc"] + 0.003 * (fold + 1)))
    return run


def _text(run: Path, **more: object) -> str:
    defaults = {"seed": 0, "seeds": [0], "select": "last", "note": "a|b", "rate": 0.001}
    return record(run, defaults=defaults, checked=("rows in both halves", "learning rates"), **more)


def _edit(path: Path, **values: object) -> None:
    _write(path, {**json.loads(path.read_text(encoding="utf-8")), **values})


def test_the_result_names_its_spread_interval_chance_and_direction(run: Path) -> None:
    text = _text(run)
    mean, sd = np.mean(SCORES["roc_auc"]), np.std(SCORES["roc_auc"], ddof=1)
    half = 4.302653 * sd / np.sqrt(3)  # Student's t for 2 degrees of freedom, from a table
    assert text.startswith("# 地毯 / baseline-r2\n")
    assert f"**roc_auc {mean:.4f} ± {sd:.4f}** (mean ± sd over folds, ddof=1, n=3)" in text
    assert f"95 % interval [{mean - half:.4f}, {mean + half:.4f}] over 3 folds" in text
    assert "chance level 0.5000, higher is better" in text
    assert "all 1,400 out-of-fold rows: 0.9112, 95 % interval [0.9005, 0.9256]" in text
    assert "Protocol: roc_auc, out of fold, 3 of 3 folds drawn with seed 0" in text


def test_every_number_of_the_folds_is_there(run: Path) -> None:
    lines = [line for line in _text(run).splitlines() if re.match(r"\| [012] ", line)]
    for fold, line in enumerate(lines):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        best = SCORES["roc_auc"][fold] + 0.003 * (fold + 1)
        own = [number(SCORES[name][fold]) for name in SCORES]
        assert cells == [str(fold), ["500", "500", "400"][fold], "4 of 4", *own, "0.5000", f"{number(best)} at 3"]
    assert len(lines) == 3


def test_a_flattering_epoch_is_told_with_its_amount(run: Path) -> None:
    best = np.mean(SCORES["roc_auc"]) + 0.006
    text = _text(run)
    assert f"The best scored epoch of each fit gives {best:.4f} on average, a difference of 0.0060 (absolute)" in text
    assert "would be optimistic by that much" in text
    _edit(run / "config.json", select="best")
    for fold, score in enumerate(SCORES["roc_auc"]):
        _edit(run / f"fold{fold}-seed0" / "fit.json", epoch=3)
        _write(run / f"fold{fold}-seed0" / "history.json", _history(score - 0.01, score))
    assert f"The last epoch of each fit gives {np.mean(SCORES['roc_auc']) - 0.01:.4f} on average" in _text(run)


def test_where_the_last_epoch_is_the_best_nothing_is_said_of_others(run: Path) -> None:
    for fold, score in enumerate(SCORES["roc_auc"]):
        _write(run / f"fold{fold}-seed0" / "history.json", _history(score, 0.8))
    assert "best epoch" not in _text(run)


def test_the_best_of_a_metric_to_be_lowered_is_its_lowest(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    _write(run / "metrics.json", {name: metrics[name] for name in ("log_loss", "roc_auc")})
    for fold, score in enumerate(SCORES["log_loss"]):
        _write(run / f"fold{fold}-seed0" / "history.json", _history(score, score - 0.02))
    assert "a difference of 0.0200 (absolute)" in _text(run)


def test_the_budget_adds_up(run: Path) -> None:
    text = _text(run)
    assert re.search(r"\| fold 1, seed 0 \| +4 \| +128 \| +4,000 \| +10\.0 \|", text)
    assert re.search(r"\| total +\| +12 \| +384 \| +12,000 \| +30\.0 \|", text)
    assert "30.0 s of training" in text


def test_findings_come_first_and_shared_ones_once(run: Path) -> None:
    error = {"code": "dead_loss_term", "level": "error", "message": "it moves nothing", "where": "fold 2"}
    _write(run / "findings.json", [*SAID, error])
    text = _text(run)
    assert "- **warning** `lr_swings` (fold 0; fold 1; fold 2): it swung" in text
    assert text.index("dead_loss_term") < text.index("lr_swings") < text.index("## Folds")
    assert "No findings" not in text


def test_no_findings_says_what_was_looked_at(run: Path) -> None:
    assert "No findings.\n\nChecked: rows in both halves, learning rates." in _text(run)


def test_the_hidden_score_is_compared_in_the_metrics_own_unit(run: Path) -> None:
    _write(run / "grade.json", {"score": 0.9001})
    text = _text(run, submission="submissions/x.csv")
    apart = np.mean(SCORES["roc_auc"]) - 0.9001
    assert f"**0.9001**, {apart:.4f} lower than the mean over folds (absolute)" in text
    assert "submissions/x.csv" in text


def test_percent_marks_intervals_only_never_a_difference(run: Path) -> None:
    _write(run / "findings.json", SAID)
    text = _text(run)
    assert {text[max(0, mark.start() - 3) : mark.end()] for mark in re.finditer("%", text)} == {"95 %"}


def test_only_what_was_set_is_shown_open_and_everything_is_there(run: Path) -> None:
    shown, _, folded = _text(run).partition("## Config")[2].partition("## How to reproduce")[0].partition("<details>")
    assert re.search(r"\| `rate` \| 0\.003 \| 0\.001 +\|", shown)
    assert "note" not in shown
    assert "note: a|b" in folded
    assert "seeds: [0]" in folded


def test_how_to_reproduce_holds_command_hashes_versions_and_machine(run: Path) -> None:
    text = _text(run).partition("## How to reproduce")[2]
    for fact in ("python -m goldfold train", "da7a" * 16, "c0de" * 16, "numpy " + np.__version__, "torch threads"):
        assert fact in text
    assert "- code: not a git checkout\n" in text
    assert "git checkout " not in text
    git = {"commit": "5" * 40, "branch": "main", "worktree": "2 uncommitted files"}
    _edit(run / "reproduce.json", git=git)
    text = _text(run)
    assert f"git checkout {'5' * 40}\npython -m goldfold train\n" in text
    assert f"- code: {'5' * 40}, branch main, 2 uncommitted files\n" in text


def test_pictures_and_files_are_those_of_the_folder(run: Path) -> None:
    assert "## Pictures" not in _text(run)
    (run / "fold_scores.png").write_bytes(b"png")
    (run / "extra.txt").write_bytes(b"")
    text = _text(run)
    assert "](fold_scores.png)" in text
    assert "learning_curves" not in text
    assert "- `extra.txt`\n" in text
    assert "- `oof.npy`" not in text


def test_a_recipe_without_training_one_fold_and_no_pooled_score(run: Path) -> None:
    summary = {**_summary("roc_auc", (0.0, 1.0), True), "folds": {"0": 0.9}, **fold_statistics([0.9], (0.0, 1.0))}
    del summary["pooled"], summary["pooled_interval_95"]
    _write(run / "metrics.json", {"roc_auc": summary})
    for fold in range(3):
        _write(run / f"fold{fold}-seed0" / "history.json", [])
        _edit(run / f"fold{fold}-seed0" / "fit.json", epoch=None)
    text = _text(run)
    assert "**roc_auc 0.9000** (one fold: no spread), too few rows for an interval" in text
    assert "Nothing was trained by epochs." in text
    assert "±" not in text
    assert "None" not in text


def test_seeds_get_a_column_where_there_are_several(run: Path) -> None:
    place = run / "fold0-seed7"
    _write(place / "fit.json", {**json.loads((run / "fold0-seed0" / "fit.json").read_text()), "seed": 7})
    _write(place / "history.json", _history(0.9, 0.9))
    assert re.search(r"\| 0 +\| +7 \| +500 \| +4 of 4 \|", _text(run))


def test_a_missing_file_is_named(run: Path) -> None:
    (run / "metrics.json").unlink()
    with pytest.raises(GoldfoldError, match=r"metrics\.json is missing"):
        _text(run)


def test_tables_line_up_whatever_the_script_and_keep_their_cells() -> None:
    lines = [
        "| 类     | score |",
        "| ------ | ----: |",
        "| 地毯   |   0.5 |",
        "| a\\|b c |    12 |",
    ]
    assert table(("类", "score"), [["地毯", "0.5"], ["a|b\nc", "12"]]) == "\n".join(lines)


def test_differences_say_their_direction() -> None:
    assert difference(0.6787, 0.8384, "the other") == "0.1597 lower than the other (absolute)"
    assert difference(2.0, 2.0, "the other") == "equal to the other"


def test_reproduce_keeps_home_project_and_passwords_to_itself(tmp_path: Path) -> None:
    home, project = os.path.expanduser("~"), tmp_path / "project"
    project.mkdir()
    command = [
        f"{project}/.venv/bin/python", "-m", "goldfold", f"data={home}/a b", f"{project}-2/x",
        "--storage", "postgresql://user:secret@host/db",
    ]  # fmt: skip
    found = records.reproduce(project, command)
    expected = f"./.venv/bin/python -m goldfold 'data=~/a b' {project}-2/x --storage postgresql://***@host/db"
    assert found["command"] == expected
    text = json.dumps(found)
    assert "secret" not in text
    assert f"{home}/" not in text
    assert os.uname().nodename not in text or os.uname().nodename in found["os"] + found["hardware"]["cpu"]


def test_reproduce_is_plain_json_without_none(tmp_path: Path) -> None:
    found = records.reproduce(tmp_path)
    assert json.loads(json.dumps(found)) == found
    assert "null" not in json.dumps(found)
    assert found["packages"]["numpy"] == np.__version__
    assert found["hardware"]["cores"] >= 1
    assert found["python"] == sys.version.split()[0]
    assert pd.Timestamp(found["started"]).tz is not None


def test_a_checkout_that_git_refuses_is_not_called_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", str(tmp_path)], check=True, capture_output=True)
    with monkeypatch.context() as other:
        other.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own switch, as if somebody else owned .git
        found = records.reproduce(tmp_path)["git"]["commit"]
    assert "dubious ownership in repository at '.'" in found
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git cannot be asked" in records.reproduce(tmp_path)["git"]["commit"]


def test_git_states(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        person = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", "-C", str(tmp_path), *person, *words], check=True, capture_output=True)

    assert records.reproduce(tmp_path)["git"]["commit"] == records.NO_GIT
    git("init")
    assert records.reproduce(tmp_path)["git"] == {"commit": "no commit yet", "branch": "main", "worktree": "clean"}
    (tmp_path / "牙刷.py").write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    assert re.fullmatch("[0-9a-f]{40}", records.reproduce(tmp_path)["git"]["commit"])
    (tmp_path / "牙刷.py").write_text("2")
    assert records.reproduce(tmp_path)["git"]["worktree"] == "1 uncommitted file"
    git("checkout", "--detach")
    assert records.reproduce(tmp_path)["git"]["branch"] == "detached"
