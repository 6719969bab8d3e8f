"""Icons: pictures, texts and labels are those of the package, and nothing public tells the hidden labels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from competitions.icons import COMPETITION, data, submission
from goldfold.competition import Tables
from goldfold.images import reading
from goldfold.submission import writing as submissions

fontawesomefree = pytest.importorskip("fontawesomefree", reason="needs fontawesomefree: pip install fontawesomefree")

METADATA = Path(fontawesomefree.__file__).parent / "static" / "fontawesomefree" / "metadata"
LABELS = list(data.LABELS)


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("icons")
    for part in ("public", "private"):
        (folder / part).mkdir()
    data.prepare(folder / "raw", folder / "public", folder / "private")
    return folder


@pytest.fixture(scope="module")
def loaded(hosted: Path) -> Tables:
    return data.load(hosted / "public")


@pytest.fixture(scope="module")
def solution(hosted: Path, loaded: Tables) -> pd.DataFrame:
    return submissions.read(hosted / "private" / "solution.csv", loaded.sample_submission)


@pytest.fixture(scope="module")
def icons() -> pd.DataFrame:
    return data.tables(METADATA)


def test_labels_are_the_categories_with_enough_icons(icons):
    categories = yaml.safe_load((METADATA / "categories.yml").read_text(encoding="utf-8"))
    assert len(categories) == 68
    assert len(LABELS) == len(set(LABELS)) == 64
    left_out = {name.replace("-", "_") for name in categories} - set(LABELS)
    assert left_out == {"alert", "astronomy", "fruits_vegetables", "science_fiction"}
    for name in left_out:
        assert len(icons.index.intersection(categories[name.replace("_", "-")]["icons"])) < data.MIN_ICONS
    assert icons[LABELS].sum().min() == data.MIN_ICONS
    assert (icons[LABELS].sum(axis=1) == 0).sum() == 1


def test_tables_have_the_rows_of_the_package(loaded, solution, icons):
    assert loaded.train.columns.tolist() == ["id", "path", "text", *LABELS]
    assert loaded.test.columns.tolist() == ["id", "path", "text"]
    assert (len(loaded.train), len(loaded.test)) == (1121, 274)
    labeled = pd.concat([loaded.train, loaded.test.merge(solution, on="id")])
    assert len(labeled) == len(icons) == 1395

    def rows(table: pd.DataFrame) -> list[tuple]:
        return sorted(map(tuple, table[["text", *LABELS]].astype(dict.fromkeys(LABELS, int)).to_numpy().tolist()))

    assert rows(labeled) == rows(icons)
    house = labeled[labeled["text"].str.startswith("abode, building, chimney")].iloc[0]
    assert house["buildings"] == 1


def test_pictures_are_whole_icons_and_each_is_another(loaded):
    pictures = reading.load_resized([*loaded.train["path"], *loaded.test["path"]], data.SIDE, gray=True)[..., 0]
    assert len(np.unique(pictures.reshape(len(pictures), -1), axis=0)) == len(pictures)
    ink = (pictures < 128).mean(axis=(1, 2))
    assert ink.min() > 0.01
    assert ink.max() < 0.75
    border = np.concatenate([pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], axis=1)
    assert border.min() == 255  # no icon is cut


def test_names_and_order_tell_no_label(loaded, solution):
    for rows in (loaded.train, loaded.test):
        assert [path.stem for path in rows["path"]] == rows["id"].tolist()
        assert all(re.fullmatch(r"\d{4}", id_) for id_ in rows["id"])
    both = pd.concat([loaded.train, loaded.test.merge(solution, on="id")]).sort_values("id")
    for label in ("alphabet", "arrows", "users_people"):  # whose icons have names that are near in the alphabet
        positive = both[label].to_numpy(dtype=int)
        runs = (np.diff(np.flatnonzero(positive)) == 1).mean()
        assert runs < positive.mean() + 0.1
    test_ids = loaded.test["id"].astype(int)
    assert abs(test_ids.mean() - 697) < 60


@pytest.mark.parametrize("seed", range(3))
def test_each_fold_has_positives_of_every_label(loaded, seed):
    labels = loaded.train[LABELS].to_numpy()
    for fold in data.split(loaded.train, seed):
        assert labels[fold.validation].sum(axis=0).min() >= 1
        assert np.abs(labels[fold.validation].mean(axis=0) - labels.mean(axis=0)).max() < 0.02
        assert abs(len(fold.validation) - len(labels) / 5) < 20


def test_folds_by_text_keep_icons_with_the_same_search_terms_together(loaded):
    train = loaded.train
    drawn, by_labels = COMPETITION.other_splits["by_text"](train, 0), data.split(train, 0)
    shared = [len({*train["text"].iloc[fold.train]} & {*train["text"].iloc[fold.validation]}) for fold in drawn]
    assert shared == [0] * 5
    assert any({*train["text"].iloc[fold.train]} & {*train["text"].iloc[fold.validation]} for fold in by_labels)


def test_the_hidden_labels_have_positives_and_grade_a_submission(loaded, solution):
    truth = solution[LABELS].to_numpy()
    assert truth.sum(axis=0).min() >= 2
    written = submission.SUBMISSION.write(loaded.test, truth)
    assert submission.grade(written.sample(frac=1, random_state=0), solution) == 1
    sample = submission.grade(loaded.sample_submission, solution)
    assert sample == pytest.approx(truth.mean())  # a constant scores the share of positives, below a random ranking
    assert sample < submission.METRIC.chance(solution) < 0.06


def test_the_readme_says_how_often_the_text_names_the_category(icons):
    """The share is of pairs of an icon and one of its labels."""
    named, worded, pairs = 0, 0, 0
    for label in LABELS:
        texts = icons.loc[icons[label] == 1, "text"].str.lower()
        pairs += len(texts)
        named += texts.str.contains(label.replace("_", " "), regex=False).sum()
        worded += texts.str.findall("[a-z]+").map(lambda words, label=label: bool({*words} & {*label.split("_")})).sum()
    page = (Path(data.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert f"{named / pairs:.1%} of the {pairs:,} pairs" in page.replace("\n", " ")
    assert f"for {worded / pairs:.1%}" in page
    twins = icons["text"].duplicated(keep=False).sum()
    assert f"- {twins} icons share all search terms" in page
