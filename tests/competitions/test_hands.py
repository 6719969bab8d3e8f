"""The competition hands: what is hidden stays hidden, splits are stored, no hand is mirrored, bad raw data is told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import made_hands
import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code

from competitions import hands
from goldfold.board import catalogue, judge
from goldfold.board.database import open_board
from goldfold.competition import Tables
from goldfold.data import tables
from goldfold.experiment import config
from goldfold.images import augmentation
from goldfold.submission import writing as submissions

COMPETITION, DRAW = hands.COMPETITION, np.random.default_rng(5)


def prepared(raw: Path, folder: Path) -> Path:
    for part in ("public", "private"):
        (folder / part).mkdir(parents=True)
    COMPETITION.prepare(raw, folder / "public", folder / "private")
    return folder


@pytest.fixture(scope="module", params=["made", "11k Hands"])
def hosted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hands")
    if request.param == "made":
        return prepared(made_hands.hands(folder / "raw"), folder)
    if "GOLDFOLD_SAMPLE_DATA" not in os.environ:
        pytest.skip("GOLDFOLD_SAMPLE_DATA is unset: the photographs of 11k Hands are not here")
    return prepared(Path(os.environ["GOLDFOLD_SAMPLE_DATA"]) / COMPETITION.sample_data, folder)


@pytest.fixture
def loaded(hosted: Path) -> Tables:
    return COMPETITION.load(hosted / "public")


def solution_of(hosted: Path, loaded: Tables) -> pd.DataFrame:
    return submissions.read(hosted / "private" / "solution.csv", loaded.sample_submission)


def test_no_person_is_on_two_sides_and_limits_are_those_of_the_study(hosted: Path, loaded: Tables) -> None:
    tables.check(COMPETITION, loaded)
    assert list(loaded.test.columns) == ["id", "path"]
    train, hidden = loaded.train, solution_of(hosted, loaded)
    assert not set(train["person"].astype(int)) & set(hidden["person"].astype(int))
    assert (train["person"].astype(int) <= train["aspect"].map(hands.data.LAST_TRAINED)).all()
    assert (hidden["person"].astype(int) > hidden["aspect"].map(hands.data.LAST_TRAINED)).all()
    assert not train["person"].str.contains(r"\s").any()
    for fold in COMPETITION.split(train, 0):
        assert not set(train["person"].iloc[fold.train]) & set(train["person"].iloc[fold.validation])
        assert set(train["aspect"].iloc[fold.validation]) == set(hands.data.LAST_TRAINED)


def test_counts_are_told_with_identities_of_one_photograph_and_persons_left_out(hosted: Path, loaded: Tables) -> None:
    counts = pd.read_csv(hosted / "public" / "counts.csv")
    by_part = counts.groupby("part")["photographs"].sum()
    assert by_part["train"] == len(loaded.train)
    assert by_part["hidden"] == len(loaded.test)
    single = (loaded.train["identity"].value_counts() == 1).sum()
    assert counts.loc[counts["part"] == "train", "single"].sum() == single
    assert by_part["left out"] > 0


def test_the_stored_splits_are_those_that_are_scored(hosted: Path, loaded: Tables) -> None:
    for folder, rows in (("public", loaded.train), ("private", solution_of(hosted, loaded))):
        stored = pd.read_csv(hosted / folder / "query_gallery_splits.csv", dtype={"id": str})
        assert sorted(stored["split"].unique()) == list(range(10))
        ids = rows["id"].to_numpy(object)
        for split, own in stored.groupby("split"):
            pairs = hands.data.with_distractors(rows, split)
            assert sorted(ids[pairs.gallery]) == sorted(own.loc[own["role"] == "gallery", "id"])
            assert sorted(ids[pairs.queries]) == sorted(own.loc[own["role"] == "query", "id"])
            assert len(pairs.gallery) == rows["identity"].nunique()
            plain = hands.data.plain(rows, split)
            own_aspect = rows["aspect"].to_numpy()
            same = own_aspect[plain.queries][:, None] == own_aspect[plain.gallery]
            assert ((~plain.left_out(slice(None))) == same).all()


def test_names_of_hidden_photographs_tell_nothing(hosted: Path, loaded: Tables) -> None:
    solution = solution_of(hosted, loaded)
    order, persons = np.arange(len(solution)), pd.factorize(solution["person"].astype(int), sort=True)[0]
    assert abs(np.corrcoef(order, persons)[0, 1]) < 0.4
    assert all(path.stem == id_ for path, id_ in zip(loaded.test["path"], loaded.test["id"], strict=True))


def test_lists_are_graded_as_embeddings_are_scored(hosted: Path, loaded: Tables) -> None:
    solution = solution_of(hosted, loaded)
    codes = pd.factorize(solution["identity"])[0]
    embeddings = np.eye(codes.max() + 1)[codes] + DRAW.normal(0, 0.25, (len(codes), codes.max() + 1))
    frame = COMPETITION.submission.write(loaded.test, embeddings)
    submissions.check(frame, loaded.sample_submission, loaded.test, COMPETITION.submission)
    score = COMPETITION.metric.score(solution, embeddings)
    assert COMPETITION.grade(frame, solution) == pytest.approx(score, abs=1e-9)
    assert COMPETITION.metric.chance(solution) + 0.1 < score < 0.999


def test_each_half_of_the_local_board_searches_the_whole_gallery(hosted: Path, loaded: Tables, tmp_path: Path) -> None:
    solution, sample = solution_of(hosted, loaded), loaded.sample_submission
    usage = catalogue.split(open_board(tmp_path), "hands", sample, solution, COMPETITION.grade, whole_gallery=True)
    folder = shutil.copytree(hosted, tmp_path / "hands", ignore=shutil.ignore_patterns("raw"))
    usage.to_csv(folder / "private" / catalogue.USAGE, index=False)
    embeddings = DRAW.normal(size=(len(solution), 6)) + 2 * np.eye(4, 6)[pd.factorize(solution["aspect"])[0]]
    path = tmp_path / "submission.csv"
    COMPETITION.submission.write(loaded.test, embeddings).to_csv(path, index=False)
    found = judge.scorer("hands", COMPETITION, folder)(str(path), "submission.csv")
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    identity, side = solution["identity"].to_numpy(), usage.set_index("id")["usage"][solution["id"]].to_numpy()
    for half in ("public", "private"):
        means = []
        for split in range(10):  # one photograph of each identity, whichever half it is in
            answers = solution["roles"].str[split].to_numpy() == "g"
            asked = np.flatnonzero(~answers & (side == half))
            right = np.array([(answers & (identity == identity[row])).argmax() for row in asked])
            cosines = units[asked] @ units.T
            better = (cosines[:, answers] > cosines[np.arange(len(asked)), right][:, None]).sum(1)
            means.append((1 / (1 + better)).mean())
        assert found[half] == pytest.approx(np.mean(means), abs=1e-9)
    assert sorted(usage["usage"].value_counts()) == [len(usage) // 2, len(usage) - len(usage) // 2]


def test_every_metric_names_its_gallery_and_definition(loaded: Tables) -> None:
    names = [metric.name for metric in (COMPETITION.metric, *COMPETITION.also)]
    assert len(set(names)) == len(names) == 15
    assert all(name.startswith(("mAP (ap_standard), ", "mAP (ap_trapezoid), ", "Rank-")) for name in names)
    embeddings = DRAW.normal(size=(len(loaded.train), 5))
    scores = {metric.name: metric.score(loaded.train, embeddings) for metric in (COMPETITION.metric, *COMPETITION.also)}
    for gallery in ("plain", "with_distractors", "plain, dorsal right"):
        own = {name.removesuffix(f", {gallery}"): score for name, score in scores.items() if name.endswith(gallery)}
        assert own["mAP (ap_standard)"] >= own["mAP (ap_trapezoid)"]
        assert own["mAP (ap_standard)"] >= own["Rank-1"] <= own["Rank-5"] <= own["Rank-10"]


@pytest.mark.parametrize("name", augmentation.NAMES)
def test_a_run_that_mirrors_hands_breaks_the_rule(name: str) -> None:
    (rule,) = COMPETITION.rules
    params, prompted = (COMPETITION.recipes[each].params for each in ("embedder", "prompted_embedder"))
    mirrors = any("HorizontalFlip" in type(step).__name__ for step in augmentation.pipeline(name, 32).transforms)
    changed = [prompted(augmentation=name)] + ([params(metric_augmentation=name)] if name != "crop_erase" else [])
    assert [rule.broken(each) is not None for each in changed] == [mirrors] * len(changed)
    assert rule.broken(prompted(flip=True)).startswith("flip=true ")
    assert rule.broken(params(metric_augmentation="simsiam", flip=True)).startswith("flip=true ")
    assert rule.broken(params(metric_augmentation="none", flip=True)) is None  # it has no effect there
    assert rule.broken(params()) is None
    assert rule.broken(prompted(flip=True, label_column="person")).startswith("flip=true ")
    merged = {"label_column": "identity_sides_merged"}
    assert [rule.broken(each) for each in (prompted(flip=True, **merged), prompted(augmentation=name, **merged))] == [
        None,
        None,
    ]


def test_identities_with_sides_merged_are_persons_seen_from_the_back_or_the_palm(hosted: Path, loaded: Tables) -> None:
    for rows in (loaded.train, solution_of(hosted, loaded)):
        assert (rows["identity_sides_merged"] == rows["identity"].str.replace(" (left|right)$", "", regex=True)).all()
        assert rows["identity_sides_merged"].nunique() < rows["identity"].nunique()


def change(raw: Path, how: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    table = pd.read_csv(raw / "HandInfo.csv", dtype=str)
    how(table).to_csv(raw / "HandInfo.csv", index=False)


BAD = {
    "columns": (lambda table: table.drop(columns=["aspectOfHand", "id"]), "no column id, aspectOfHand"),
    "id": (lambda table: table.assign(id="Anna"), "numbers as ids .* found id 'Anna'"),
    "aspect": (lambda table: table.assign(aspectOfHand="dorsal"), "aspect 'dorsal'"),
    "accessories": (lambda table: table.assign(accessories="1"), "no photograph with accessories = 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    how, told = BAD[case]
    change(made_hands.hands(tmp_path / "raw"), how)
    with raises_code("raw_data_invalid", told, "11k Hands"):
        prepared(tmp_path / "raw", tmp_path)


def test_a_missing_photograph_or_table_is_named(tmp_path: Path) -> None:
    with raises_code("raw_data_invalid", r"HandInfo\.csv cannot be read"):
        prepared(tmp_path / "nothing", tmp_path / "a")
    raw = made_hands.hands(tmp_path / "raw")
    (raw / "Hands" / "Hand_0000003.png").unlink()
    with raises_code("unreadable_image", r"Hand_0000003\.png"):
        prepared(raw, tmp_path / "b")


PEAKS, SLOPE, STAGES = {"one_cycle_peaks", "visual_learning_rate"}, {"image_schedule", "image_warmup"}, {"towers"}
RECORDED = {  # what a version changes, as far as the record says it
    ("v1", "v2"): {"templates", "normalize_projection", "optimizer", "visual_learning_rate", "text_learning_rate"},
    ("v2", "v3"): SLOPE | {"one_cycle_peaks"},
    ("v3", "v4"): {"triplet_weight", "triplet_features", "center_weight"},
    ("v3", "v5"): {"arcface_scale", "arcface_margin"},
    ("v5", "v6"): {"unfreeze_blocks"},
    ("v6", "v7"): STAGES | PEAKS | {"arcface_scale", "arcface_margin"},
    ("v7", "v8"): SLOPE | PEAKS | {"arcface_scale", "unfreeze_blocks", "clip"},
    ("v2", "v9"): {"arcface_scale", "arcface_margin", "center_weight", "triplet_weight", "triplet_features"},
    ("v8", "v10"): {"arcface_margin", "center_weight", "visual_learning_rate", "clip"},
}


@pytest.mark.parametrize("pair", RECORDED, ids="-".join)
def test_versions_differ_by_what_the_record_names_and_by_nothing_else(pair: tuple[str, str]) -> None:
    folder = Path(__file__).parents[2] / "configs" / "hands"
    first, other = (config.read_config(folder / f"{name}.yaml", [], COMPETITION.recipes).resolved() for name in pair)
    assert {key for key in first if first[key] != other[key]} - {"config"} == RECORDED[pair]


RN50 = "towers=data/towers/resnet50_clip.openai"
OF_RN50 = {
    "v1": [],
    "v2": ["visual_learning_rate=1.0e-4"],
    **{name: ["visual_learning_rate=5.0e-4", "one_cycle_peaks=[5.0e-4,5.0e-6]"] for name in ("v3", "v4", "v5", "v6")},
    "v9": ["visual_learning_rate=7.0e-5"],
}


@pytest.mark.parametrize("name", OF_RN50)
def test_the_readme_says_how_a_version_is_run_with_rn50(name: str) -> None:
    root = Path(__file__).parents[2]
    told = (root / "competitions" / "hands" / "README.md").read_text(encoding="utf-8")
    assert all(word in told for word in OF_RN50[name])
    read = config.read_config(root / "configs" / "hands" / f"{name}.yaml", [RN50, *OF_RN50[name]], COMPETITION.recipes)
    assert read.params.rates()["visual"] == read.params.visual_learning_rate
