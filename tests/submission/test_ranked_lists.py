"""Submitted rankings are checked row by row and graded as the metric scores the embeddings that made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from sklearn.metrics import average_precision_score

from goldfold.competition import Submission
from goldfold.data import self_hosting
from goldfold.metrics.retrieval import map_at, map_at_r
from goldfold.retrieval.pairs import by_label, by_time
from goldfold.submission import writing as submissions
from goldfold.submission.ranked_lists import RankedLists

ROWS = 60
DRAW = np.random.default_rng(11)


def of_time(rows: pd.DataFrame):
    return by_time(rows["recording"], rows["second"], 6.0, 2.0)


def of_label(rows: pd.DataFrame):
    return by_label(rows["label"])


def made(rows: int = ROWS) -> pd.DataFrame:
    """Rows of two recordings, one frame a second; one row is far from all others and has a label of its own."""
    recording = np.where(np.arange(rows) % 2, "录像", "b")
    second = np.append(np.arange(rows - 1) // 2, 999)
    label = np.append(np.arange(rows - 1) % 4, 9)
    ids = DRAW.permutation([f"q{number:02d}" for number in range(rows)])
    return pd.DataFrame(
        {"id": ids, "path": "a.png", "recording": recording, "second": second, "label": label, "place": second // 5}
    )


TARGETS = ("recording", "second", "label", "place")
KINDS = {"mAP@5": (RankedLists("frames", length=9, depth=5), of_time), "mAP@R": (RankedLists("images", 40), of_label)}


def hosted(ranking: RankedLists, pairs, test: pd.DataFrame, folder: Path):
    for part in ("public", "private"):
        (folder / part).mkdir(exist_ok=True)
    ranking.write_tables(made(), test, TARGETS, pairs, folder / "public", folder / "private")
    loaded = self_hosting.read(folder / "public", text=["id", ranking.column])
    return loaded, submissions.read(folder / "private" / "solution.csv", loaded.sample_submission)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_the_grade_is_the_metric_of_the_embeddings(kind: str, seed: int, tmp_path: Path) -> None:
    ranking, pairs = KINDS[kind]
    test = made()
    loaded, solution = hosted(ranking, pairs, test, tmp_path)
    metric = map_at(pairs, ranking.depth, protocol="") if ranking.depth else map_at_r(pairs, protocol="")
    embeddings = np.random.default_rng(seed).normal(size=(ROWS, 6)) + np.eye(ROWS, 6, -20) * 9
    written = ranking.write(loaded.test, embeddings)
    submission = Submission(write=ranking.write, checks={ranking.column: ranking.check})
    submissions.check(written, loaded.sample_submission, loaded.test, submission)
    graded = ranking.grade(written, solution, pairs(solution))
    assert graded == pytest.approx(metric.score(test, embeddings), abs=1e-9)
    assert 0.01 < graded < 0.9


def test_a_list_of_all_is_graded_as_scikit_learn_does() -> None:
    """With every answer listed and right ones fewer than listed, mAP@k over min(k, right) is average precision."""
    rows = made(40)
    ranking = RankedLists("frames", length=39, depth=39)
    embeddings = DRAW.normal(size=(40, 5))
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    pairs, whole = of_time(rows), slice(0, 40)
    right, out = pairs.relevant(whole), pairs.left_out(whole)
    asked = [row for row in range(40) if right[row].any()]
    assert len(asked) == 39
    expected = [average_precision_score(right[row][~out[row]], (units @ units[row])[~out[row]]) for row in asked]
    graded = ranking.grade(ranking.write(rows, embeddings), rows, pairs)
    assert graded == pytest.approx(np.mean(expected), abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_solution_is_perfect_and_the_sample_knows_nothing(kind: str, tmp_path: Path) -> None:
    ranking, pairs = KINDS[kind]
    loaded, solution = hosted(ranking, pairs, made(), tmp_path)
    assert list(loaded.test.columns) == ["id", "path"]
    submission = Submission(write=ranking.write, checks={ranking.column: ranking.check})
    for frame in (solution[["id", ranking.column]], loaded.sample_submission):
        submissions.check(frame, loaded.sample_submission, loaded.test, submission)
    assert ranking.grade(solution, solution, pairs(solution)) == 1
    chance = map_at(pairs, ranking.depth, protocol="") if ranking.depth else map_at_r(pairs, protocol="")
    assert ranking.grade(loaded.sample_submission, solution, pairs(solution)) == pytest.approx(
        chance.chance(solution), abs=0.06
    )


def test_hand_made_lists_have_hand_made_grades() -> None:
    rows = pd.DataFrame({"id": list("abcde"), "recording": "r", "second": [0, 1, 3, 5, 100]})
    ranking = RankedLists("frames", length=4, depth=2)
    lists = {"a": "b e c d", "b": "a c d e", "c": "b a d e", "d": "e c b a", "e": "a b c d"}
    frame = pd.DataFrame({"id": lists.keys(), "frames": lists.values()})
    # a: b is left out, e is wrong, c is right: (1/2) / 2. b: a and c are left out, d is right, the only one: 1.
    # c: b and d are left out, a is right: 1. d: e wrong, c left out, b right: (1/2) / 2. e: no right answer.
    assert ranking.grade(frame, rows, of_time(rows)) == pytest.approx((0.25 + 1 + 1 + 0.25) / 4)
    again = frame.assign(frames=frame["frames"].where(frame["id"] != "d", "b b b b"))
    assert ranking.grade(again, rows, of_time(rows)) == pytest.approx((0.25 + 1 + 1 + 0.5) / 4)  # b counts once
    some = frame[frame["id"].isin(["a", "d"])]  # a half of the queries, which search the same gallery
    assert ranking.grade(some, rows, of_time(rows)) == pytest.approx((0.25 + 0.25) / 2)
    with raises_code("list_missing", "none of 5 queries"):
        ranking.grade(frame[:0], rows, of_time(rows))
    with raises_code("no_relevant_rows"):
        ranking.grade(frame[frame["id"] == "e"], rows, of_time(rows))
    with raises_code("no_relevant_rows"):
        ranking.grade(frame, rows.assign(recording=list("vwxyz")), of_time(rows.assign(recording=list("vwxyz"))))


@pytest.mark.parametrize(
    ("broken", "fact"),
    [
        ("a c x", r"wrong in 1 of 5 rows, first in line 3 \(id b2\): 'x' is not a test id"),
        ("b2 a c", "it lists the query itself"),
        ("a c a", "it lists 'a' twice"),
        ("a c", "must list 3 other test ids.*: it lists 2 ids"),
        ("a c d e", "it lists 4"),
        ("a,c,d", "'a,c,d' is not a test id"),
    ],
)
def test_faulty_lists_raise(broken: str, fact: str) -> None:
    test = pd.DataFrame({"id": ["a", "b2", "c", "d", "e"]})
    ranking = RankedLists("frames", length=3)
    sound = ranking.write(test, DRAW.normal(size=(5, 3)))
    assert ranking.check(sound["frames"], sound["id"], test) is None
    wrong = sound.assign(frames=sound["frames"].where(sound["id"] != "b2", broken))
    sample, submission = sound, Submission(write=ranking.write, checks={"frames": ranking.check})
    with raises_code("submission_value_invalid", fact):
        submissions.check(wrong, sample, test, submission)
    with raises_code("submission_ids_absent"):
        submissions.check(sound[:-1], sample, test, submission)


@pytest.mark.parametrize(
    ("test", "code", "fact"),
    [
        (made()[:2], "hidden_rows_unsuitable", "here 2"),
        (made().assign(second=range(0, 6000, 100)), "hidden_rows_unsuitable", "here 0"),
        (made().assign(id=[f"a {n}" for n in range(ROWS)]), "hidden_rows_unsuitable", "'a 0'"),
        (made().assign(second=lambda rows: rows["second"] / 4), "lists_too_short", r"a list of \d+ ids"),
    ],
)
def test_hidden_rows_that_cannot_be_graded_raise(test: pd.DataFrame, code: str, fact: str, tmp_path: Path) -> None:
    with raises_code(code, fact):
        hosted(*KINDS["mAP@5"], test, tmp_path)
