"""A competition of 25 labels on images, from `new` to a scored submission, in at most 70 lines of the user's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import goldfold as gf
from goldfold.io.files import read_json

POSTERS = Path(__file__).parent / "posters"
MOST_LINES = 70


def write_raw(raw: Path) -> pd.DataFrame:
    """75 images of 25 cells, and a film has the genres whose cells are bright."""
    draw = np.random.default_rng(0)
    labels = (draw.random((75, 25)) < 0.3).astype(int)
    (raw / "images").mkdir(parents=True)
    for number, row in enumerate(labels):
        cells = np.kron(row.reshape(5, 5), np.ones((6, 6))) * 180 + draw.normal(40, 10, (30, 30))
        Image.fromarray(cells.clip(0, 255).astype(np.uint8)).save(raw / "images" / f"{number:03d}.png")
    films = pd.DataFrame(labels, columns=[f"genre_{number:02d}" for number in range(25)])
    films.insert(0, "id", [f"{number:03d}" for number in range(75)])
    films.to_csv(raw / "films.csv", index=False)
    return films


def own_lines(scaffold: Path) -> int:
    """Lines of the user's files, without blank ones, that the scaffold does not have."""
    return sum(
        bool(line.strip()) and line not in (scaffold / path.name).read_text(encoding="utf-8").splitlines()
        for path in POSTERS.glob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
    )


@pytest.fixture
def project(toy: Path) -> gf.Project:
    """The project with the posters, not trained."""
    made = gf.Project(".", quiet=True)
    made.new("posters")
    assert 20 < own_lines(toy / "competitions/posters") <= MOST_LINES
    write_raw(toy / "data/posters/raw")
    shutil.copytree(POSTERS, toy / "competitions/posters", dirs_exist_ok=True)
    Path("configs/posters/baseline.yaml").write_text("recipe: frozen_backbone\n", encoding="utf-8")
    return made


def edit(file: str, before: str, after: str) -> None:
    path = Path("competitions/posters", file)
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def test_25_labels_of_images_become_a_scored_submission(project: gf.Project) -> None:
    run = project.train("posters")
    summary = next(iter(run.metrics.values()))
    assert summary["mean"] > summary["chance"] + 0.1
    assert len(run.metrics) == 5
    assert run.submission.shape == (15, 26)
    assert run.grade() > summary["chance"]


@pytest.mark.slow
def test_a_submission_of_label_sets_is_at_thresholds_also_in_a_notebook(project: gf.Project) -> None:
    edit("submission.py", "submission(GENRES)", 'label_sets("genres", GENRES, separator="|")')
    asked = 'assign(genres="genre_00")'
    sets = f"Tables(train=read.train, test=read.test, sample_submission=read.sample_submission[['id']].{asked})"
    edit("data.py", "return self_hosting.read(public)", f"read = self_hosting.read(public)\n    return {sets}")
    run = project.train("posters", debug=True)
    thresholds = np.array(list(read_json(run.folder / "thresholds.json")["thresholds"].values()))
    names = np.array([f"genre_{number:02d}" for number in range(25)])
    expected = ["|".join(names[row > thresholds]) for row in run.test.drop(columns="id").to_numpy()]
    assert run.submission["genres"].fillna("").tolist() == expected
    assert expected != ["|".join(names[row > 0.5]) for row in run.test.drop(columns="id").to_numpy()]
    assert run.notebook().folder.exists()  # it refuses a notebook whose submission differs
