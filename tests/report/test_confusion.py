"""Which classes are taken for which: counts against scikit-learn, pictures of few and of many classes, the record."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
from made_tables import on_columns, train
from PIL import Image
from sklearn.calibration import calibration_curve

import goldfold as gf
from goldfold import metrics
from goldfold.data import csv_tables
from goldfold.experiment.run_folders import CALIBRATION
from goldfold.report.run import confusion

NAMES = ("猫", "собака", "NA", "007")


def made(classes: int, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes; a fifth is taken for the next class, the last class is never predicted."""
    draw = np.random.default_rng(0)
    truth = draw.integers(0, classes, rows)
    return truth, np.where(draw.random(rows) < 0.2, truth + 1, truth) % (classes - 1)


def written(folder: Path, counts: np.ndarray, names: tuple[str, ...]) -> Path:
    table = csv_tables.to_text(confusion.as_table(counts, names))
    (folder / confusion.CONFUSION).write_text(table, encoding="utf-8")
    return folder


def test_the_table_is_scikit_learns_matrix_with_its_shares() -> None:
    truth, predicted = made(4)
    counts = confusion.matrix(truth, predicted, 4)
    theirs = reference.confusion_matrix(truth, predicted)
    assert counts.tolist() == theirs.tolist()
    table = confusion.as_table(counts, NAMES).set_index(["true", "predicted"])
    assert table["rows"].sum() == 400
    of_true, of_predicted = (reference.confusion_matrix(truth, predicted, normalize=by) for by in ("true", "pred"))
    for (true, guess), row in table.iterrows():
        at = NAMES.index(true), NAMES.index(guess)
        assert row.tolist() == pytest.approx([theirs[at], of_true[at], of_predicted[at]])
    assert "007" not in table.index.get_level_values("predicted")


def test_the_section_lists_confusions_and_the_scores_of_each_class(tmp_path: Path) -> None:
    assert confusion.section(tmp_path) == ""
    truth, predicted = made(4)
    counts = confusion.matrix(truth, predicted, 4)
    text = confusion.section(written(tmp_path, counts, NAMES))
    assert text.startswith(f"{(truth != predicted).sum()} of 400 pooled out-of-fold rows have a wrong class")
    of_one = reference.precision_recall_fscore_support(truth, predicted, zero_division=0)
    for at, name in enumerate(NAMES):
        line = next(line for line in text.splitlines()[::-1] if line.startswith(f"| {name} "))
        shown = [cell.strip() for cell in line.strip("| ").split("|")]
        assert int(shown[1]) == of_one[3][at]
        assert float(shown[2]) == pytest.approx(of_one[1][at], abs=1e-4)
        assert shown[3] == "-" if name == "007" else float(shown[3]) == pytest.approx(of_one[0][at], abs=1e-4)
        assert float(shown[4]) == pytest.approx(of_one[2][at], abs=1e-4)
    worst = np.where(np.eye(4, dtype=bool), 0, counts).max()
    assert f" {worst} |" in text.splitlines()[4]


def test_a_run_without_errors_says_so(tmp_path: Path) -> None:
    text = confusion.section(written(tmp_path, np.diag([3, 4, 5]), ("a", "b", "c")))
    assert text == "0 of 12 pooled out-of-fold rows have a wrong class."


@pytest.mark.parametrize("classes", [3, 10, 40, 100, 345])
def test_a_picture_stays_on_a_page(classes: int) -> None:
    counts = confusion.matrix(*made(classes, rows=30 * classes), classes)
    drawn = Image.open(io.BytesIO(confusion.picture(counts, [f"сlass {at}" for at in range(classes)])))
    assert drawn.width == 1020
    assert 400 < drawn.height <= 1070


def test_of_many_classes_those_of_the_most_frequent_confusions_are_drawn() -> None:
    counts = np.diag(np.full(200, 50))
    for at in range(0, 40, 2):
        counts[199 - at, at] = 10
    counts[100, 101:190] = 1  # more wrong rows in sum, of no confusion that is frequent
    drawn = confusion._drawn_classes(counts)
    assert drawn.tolist() == sorted([*range(0, 40, 2), *(199 - at for at in range(0, 40, 2))])


def rows_of(classes: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({"id": range(90), "a": draw.normal(size=90)})
    rows["y"] = [NAMES[int(value)] for value in pd.qcut(rows["a"] + draw.normal(0, 0.3, 90), classes, labels=False)]
    return rows[:60], rows[60:].drop(columns="y").reset_index(drop=True)


def test_a_run_of_three_classes_or_more_has_it_and_one_of_two_has_not(toy: Path) -> None:
    metric = metrics.accuracy("y", classes=NAMES[:3])
    run = train(metric, on_columns(["a"]), rows_of(3), outputs=3)
    cells = pd.read_csv(run.folder / confusion.CONFUSION, dtype={"true": str, "predicted": str}, keep_default_na=False)
    right = cells.loc[cells["true"] == cells["predicted"], "rows"].sum()
    assert right / cells["rows"].sum() == pytest.approx(run.metrics["accuracy"]["pooled"])
    assert "## Classes" in run.record
    assert f"]({confusion.PICTURE})" in run.record

    two = train(metrics.accuracy("y", classes=NAMES[:2]), on_columns(["a"], kind="binary"), rows_of(2))
    assert not (two.folder / confusion.CONFUSION).exists()
    for each in (run, two):
        _check_calibration(each, rows_of(3 if each is run else 2)[0]["y"].map(NAMES.index).to_numpy())
    assert 'id="calibration"' in two.report().read_text(encoding="utf-8")


def _check_calibration(run: gf.Run, truth: np.ndarray) -> None:
    """calibration.csv against scikit-learn; truth: class indices of the training rows."""
    told = run.oof.drop(columns="id").to_numpy().squeeze()
    happened = truth if told.ndim == 1 else told.argmax(axis=1) == truth
    share, mean = calibration_curve(happened, told if told.ndim == 1 else told.max(axis=1), n_bins=10)
    found = pd.read_csv(run.folder / CALIBRATION)
    assert found["share"].to_numpy() == pytest.approx(share)
    assert found["probability"].to_numpy() == pytest.approx(mean)
