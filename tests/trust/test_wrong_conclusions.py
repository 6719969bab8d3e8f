"""Wrong conclusions that data and predictions invite: each planted once and found, and none found in clean tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from planted_tables import both, clean, jittered, patients, scene, timed
from scipy import stats

from goldfold.competition import Fold
from goldfold.data import folds as splits
from goldfold.optional_parts import Neighbors
from goldfold.trust import associations, audits
from goldfold.trust.audits import Finding
from goldfold.trust.audits.columns import ALARMS


@pytest.mark.parametrize("target", ["binary", "classes", "number"])
def test_a_clean_table_is_silent(target: str) -> None:
    assert clean(target=target).findings() == {}


def test_a_hundred_columns_of_fifty_rows_are_silent() -> None:
    for seed in range(3):
        case = clean(seed, rows=50, numbers=100)
        assert "target_in_column" not in case.findings()
        rare = case.train.assign(y=(np.arange(50) < 1).astype(int))  # the highest row of some column
        assert "target_in_column" not in replace(case, train=rare).findings()


def with_column(values: Callable[[pd.DataFrame, np.random.Generator], Any], target: str) -> dict[str, Finding]:
    """Findings of a clean table with one more column, computed from both tables with their targets."""
    case, random = clean(target=target), np.random.default_rng(1)
    train = case.train.assign(late=values(case.train, random))
    drawn = train["late"].sample(len(case.test), random_state=0).to_numpy()
    return replace(case, train=train, test=case.test.assign(late=drawn)).findings()


TOLD = {
    "order": ("binary", lambda rows, random: rows["y"] + random.normal(size=len(rows)) * 0.2),
    "missing unless 1": (
        "binary",
        lambda rows, random: random.normal(size=len(rows)) / (rows["y"] == 1).replace(False, np.nan),
    ),
    "folded": (
        "binary",
        lambda rows, random: (random.random(len(rows)) + 1 - rows["y"]) * random.choice([-1, 1], len(rows)),
    ),
    "categories": ("classes", lambda rows, random: rows["y"].map({0: "b", 1: "d", 2: "a", 3: "c"})),
    "shuffled codes": ("classes", lambda rows, random: rows["y"].map({0: 2.0, 1: np.nan, 2: 3.0, 3: 1.0})),
    "scaled": ("number", lambda rows, random: np.exp(rows["y"]) + random.normal(size=len(rows)) * 1e-3),
}


@pytest.mark.parametrize("kind", TOLD)
def test_a_column_that_tells_the_target(kind: str) -> None:
    target, values = TOLD[kind]
    found = with_column(values, target)
    assert set(found) == {"target_in_column"}
    assert "'late'" in found["target_in_column"].message


@pytest.mark.parametrize("target", ["binary", "classes", "number"])
def test_a_strong_column_alone_is_no_leak(target: str) -> None:
    """An AUROC of 0.96 or a correlation of 0.96 is a good feature."""
    noise = {"binary": 0.4, "classes": 0.45, "number": 0.6}[target]
    assert with_column(lambda rows, random: rows["y"] + random.normal(size=len(rows)) * noise, target) == {}


def test_undeclared_groups_that_folds_share_and_the_test_rows_do_not() -> None:
    found = patients(clean(), shared=False).findings()
    assert set(found) == {"undeclared_group"}
    assert "group='patient_id'" in found["undeclared_group"].message
    assert patients(clean(), shared=True).findings() == {}


def test_declared_or_divided_groups_are_silent() -> None:
    case = patients(clean(), shared=False)
    assert "undeclared_group" not in replace(case, group="patient_id").findings()
    cured = replace(case, folds=splits.grouped(case.train["patient_id"], 5, 0))
    assert "undeclared_group" not in cured.findings()


@pytest.mark.parametrize(("name", "text"), [("sold_at", False), ("first", True)])
def test_folds_that_mix_times_before_later_test_rows(name: str, text: bool) -> None:
    case = timed(clean(), True, name, text)
    found = case.findings()
    assert "time_behind_folds" in found
    assert f"'{name}'" in found["time_behind_folds"].message
    times = pd.to_datetime(case.train[name]) if text else case.train[name]
    cured = replace(case, folds=splits.time_ordered(times, 3))
    assert "time_behind_folds" not in cured.findings()
    assert "time_behind_folds" not in timed(clean(), False, name, text).findings()
    if not text:
        assert "time_behind_folds" not in timed(clean(), True, "height", text).findings(), "no time by its name"


def test_columns_that_drift() -> None:
    case = clean()
    shifted = replace(case, test=case.test.assign(x3=case.test["x3"] + 1, site="f"))
    found = shifted.findings()
    assert set(found) == {"drifting_column"}
    assert all(f"'{name}' (distance 0." in found["drifting_column"].message for name in ("x3", "site"))
    repeated = clean(rows=40)  # a drift of one group is none of the rows
    repeated = both(repeated, lambda rows: pd.concat([rows] * 10, ignore_index=True))
    grouped = both(repeated, lambda rows: rows.assign(person=np.arange(len(rows)) % (len(rows) // 10)))
    assert "drifting_column" not in replace(grouped, group="person").findings()


def test_row_order_and_ids_that_predict_the_target() -> None:
    case = clean()
    by_target = replace(case, train=case.train.sort_values("y", kind="stable").reset_index(drop=True))
    found = by_target.findings()["order_tells_target"]
    assert (found.level, "place in the train table" in found.message) == ("note", True)
    number = 2 * np.argsort(np.argsort(case.train["y"] + np.random.default_rng(4).normal(size=300), kind="stable"))
    named = case.train.assign(id=[f"r{at:04d}" for at in number])
    among = case.test.assign(id=[f"r{at:04d}" for at in 1 + 2 * np.random.default_rng(5).permutation(290)[:100]])
    found = replace(case, train=named, test=among).findings()["order_tells_target"]
    assert (found.level, "number in the id" in found.message) == ("warning", True)
    after = case.test.assign(id=[f"r{at:04d}" for at in range(5000, 5100)])
    assert replace(case, train=named, test=after).findings()["order_tells_target"].level == "note"


def test_rows_like_those_beside_them() -> None:
    """Blocks of one class have no trend."""
    case = clean()
    blocks = case.train.assign(y=np.arange(len(case.train)) // 10 % 2)
    assert "order_tells_target" in replace(case, train=blocks).findings()
    one_each = blocks.assign(sequence=np.arange(len(blocks)) // 10)
    declared = replace(
        case, train=one_each, test=case.test.assign(sequence=-1, time=0), neighbors=Neighbors("sequence", "time", 1)
    )
    assert "order_tells_target" not in declared.findings()


def test_jittered_copies_across_folds() -> None:
    case = clean()
    copied = jittered(case)
    assert set(copied.findings()) == {"near_duplicate_rows"}
    rows = copied.train
    name = rows["id"].str.removeprefix("copy").where(rows["id"].str.startswith("copy"), "-")
    origin = rows["id"].map({row: str(at) for at, row in enumerate(case.train["id"][:30])}).fillna("-")
    together = pd.factorize(np.where(name != "-", name, np.where(origin != "-", origin, rows["id"])))[0]
    assert replace(copied, folds=splits.grouped(together, 5, 0)).findings() == {}


def test_equal_contents_with_different_labels() -> None:
    contents, ids = pd.Series(list("abcab")), pd.Series(list("vwxyz"))
    agreeing = audits.contradicting_labels(contents, pd.DataFrame({"y": [0, 1, 1, 0, 1]}), ids, files=True)
    assert agreeing == []
    (found,) = audits.contradicting_labels(contents, pd.DataFrame({"y": [0, 1, 1, 1, 1]}), ids, files=True)
    assert (found.code, found.level) == ("contradicting_labels", "warning")
    assert "2 of 5" in found.message
    assert "'v' and 'y'" in found.message
    (found,) = audits.contradicting_labels(contents, pd.DataFrame({"y": [0, 1, 1, 1, 1]}), ids, files=False)
    assert found.level == "note"


def test_labels_in_paths() -> None:
    case, random = clean(target="classes"), np.random.default_rng(7)
    flat = case.train.assign(path=[f"train/{random.integers(1000)}/img_{at}.png" for at in range(300)])
    other = case.test.assign(path=[f"test/img_{at}.png" for at in range(100)])
    assert replace(case, train=flat, test=other).findings() == {}
    names = np.array(["cat", "dog", "eel", "fox"])
    folders = flat.assign(path=[f"train/{names[y]}/{at}.png" for at, y in enumerate(case.train["y"])])
    found = replace(case, train=folders, test=other).findings()["label_in_path"]
    assert (found.level, "folder 1 above" in found.message) == ("note", True)
    told = other.assign(path=[f"test/{random.choice(names)}/{at}.png" for at in range(100)])
    found = replace(case, train=folders, test=told).findings()["label_in_path"]
    assert (found.level, "100% of the test rows" in found.message) == ("warning", True)
    ids = flat.assign(id=[f"{names[y]}{at}" for at, y in enumerate(case.train["y"])])
    found = replace(case, train=ids, test=other).findings()["label_in_path"]
    assert "letters of word 1 of the id's name" in found.message


def test_constant_columns_and_features() -> None:
    found = both(clean(), lambda rows: rows.assign(unit="mm", empty=np.nan)).findings()
    assert set(found) == {"constant_feature"}
    assert "'unit', 'empty'" in found["constant_feature"].message
    vectors = np.random.default_rng(8).normal(size=(200, 64)).astype(np.float32) + 1
    assert audits.constant_features(vectors, "text") == []
    flat = vectors.copy()
    flat[:, 5] = 3 + 1e-4 * flat[:, 5]
    (found_flat,) = audits.constant_features(flat, "text")
    assert "1 of 64 have an sd below" in found_flat.message
    for dtype in (np.float16, np.float32):
        (unit,) = audits.constant_features(
            (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(dtype), "text"
        )
        assert "all vectors have the length 1" in unit.message


def small(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)


HALVES = [Fold(np.arange(0, 40, 2), np.arange(1, 40, 2)), Fold(np.arange(1, 40, 2), np.arange(0, 40, 2))]


def near_duplicates(images: Sequence[np.ndarray]) -> list[Finding]:
    ids, contents = pd.Series(range(len(images))), pd.Series([image.tobytes() for image in images])
    return audits.near_duplicate_images(
        np.stack([small(i) for i in images]), np.arange(len(images)), HALVES, ids, contents
    )


def test_near_duplicate_images_across_folds() -> None:
    images = [scene(at) for at in range(40)]
    assert near_duplicates(images) == []
    background = scene(99).astype(int)
    alike = [np.clip(background + (image.astype(int) - 128) // 16, 0, 255).astype(np.uint8) for image in images]
    assert near_duplicates(alike) == [], "what all images have in common makes none a copy"
    bright = np.clip(images[4] * 0.8 + 20, 0, 255).astype(np.uint8)
    (found,) = near_duplicates([*images[:7], bright, *images[8:]])
    assert (found.code, "2 scored images" in found.message) == ("near_duplicate_images", True)
    assert "the first id 7 as 4:" in found.message
    assert "mirrored" not in found.message
    (found,) = near_duplicates([*images[:7], bright[:, ::-1], *images[8:]])
    assert "mirrored" in found.message
    same_side = [*images[:6], bright, *images[7:]]
    assert near_duplicates(same_side) == []
    assert near_duplicates([*images[:7], images[4], *images[8:]]) == [], "equal files are reported as shared contents"
    assert near_duplicates([np.full((64, 64), 20 + at, np.uint8) for at in range(40)]) == [], "plain ones show nothing"


def test_predictions_that_depend_on_their_companions() -> None:
    random = np.random.default_rng(9)
    values = random.normal(size=(40, 3))
    whole, halves = np.empty(40), np.empty(40)

    def ranked(rows: np.ndarray) -> np.ndarray:
        return stats.rankdata(rows) / len(rows)

    whole[:] = ranked(values[:, 0])
    for start in (0, 1):
        halves[start::2] = ranked(values[start::2, 0])
    (found,) = audits.batch_dependent_predictions(whole, halves, "fold 0")
    assert (found.code, found.level) == ("batch_dependent_predictions", "error")
    assert audits.batch_dependent_predictions(values, values * (1 + 1e-6), "fold 0") == []
    records = np.array([(a, b) for a, b in zip(values[:, 0], whole, strict=True)], [("score", float), ("rank", float)])
    other = records.copy()
    other["rank"] = halves
    assert audits.batch_dependent_predictions(records, other, "fold 0") == [found]


def labeled(seed: int, swapped: int) -> list[Finding]:
    """Calibrated probabilities of 600 rows and labels drawn from them, some swapped."""
    random = np.random.default_rng(seed)
    likely = random.beta(0.3, 0.3, 600)
    labels = (random.random(600) < likely).astype(int)
    sure = np.flatnonzero(np.abs(likely - 0.5) > 0.49)[:swapped]
    labels[sure] = (likely[sure] < 0.5).astype(int)
    return audits.doubtful_labels(np.column_stack([1 - likely, likely]), labels, pd.Series(range(600)))


def test_labels_that_predictions_contradict() -> None:
    assert labeled(0, swapped=0) == []
    (found,) = labeled(0, swapped=20)
    assert (found.code, found.level) == ("doubtful_labels", "note")
    assert "ids (loss)" in found.message


def test_strange_columns_are_no_obstacle() -> None:
    """Names that are numbers, dates with gaps, infinite and huge numbers, mixed cells, lists, one row and one group."""
    case = clean()

    def strange(rows: pd.DataFrame) -> pd.DataFrame:
        at = np.arange(len(rows))
        dates = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(at % 50, unit="D")).where(at % 7 > 0)
        return rows.assign(
            **{"infinite": np.where(at % 3, at % 11, np.inf), "huge": (at % 13) * 1e307, "date": dates.to_numpy()},
            text=dates.dt.strftime("%Y-%m-%d").to_numpy(),
            mixed=np.where(at % 2, at % 5, "a").astype(object),
            nested=[[1, 2]] * len(rows),
            kind=pd.Categorical(np.where(at % 3, "u", "v")),
            count=pd.array(at % 4, dtype="Int64"),
        ).rename(columns={"x3": 3})

    assert both(case, strange).findings() == {}
    one = both(case, lambda rows: rows.assign(person="p"))
    assert "undeclared_group" not in replace(one, group="person").findings()
    single = replace(case, train=case.train[:1], test=case.test[:1], folds=[Fold(np.arange(1), np.arange(0))])
    assert set(single.findings()) <= {"constant_feature"}


def test_associations_are_those_of_scipy() -> None:
    random = np.random.default_rng(10)
    values, positive = random.integers(0, 30, 400).astype(float), random.random(400) < 0.3
    reference = stats.mannwhitneyu(values[positive], values[~positive], use_continuity=False, method="asymptotic")
    area = reference.statistic / (positive.sum() * (~positive).sum())
    found = associations.auroc(associations.ranks(values), positive)
    assert found == pytest.approx((max(area, 1 - area), reference.pvalue))
    other = values + random.normal(size=400) * 60
    rho = stats.spearmanr(values, other)
    found = associations.spearman(associations.ranks(values), associations.ranks(other))
    assert found.strength == pytest.approx(abs(rho.statistic))
    assert found.p_value == pytest.approx(rho.pvalue, rel=0.5)  # a little conservative


@pytest.mark.slow
@pytest.mark.parametrize("target", ["binary", "classes", "number"])
def test_false_alarms_in_200_clean_tables(target: str) -> None:
    """Each audit may raise an alarm in 1 of 1,000 clean tables: more than 3 in 200 has a probability below 0.0001."""
    alarms: Counter[str] = Counter()
    for seed in range(200):
        alarms.update(clean(seed, rows=120, numbers=20, target=target).findings().keys())
    assert stats.binom.sf(3, 200, ALARMS) < 1e-4
    assert {code: count for code, count in alarms.items() if count > 3} == {}
