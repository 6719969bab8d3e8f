"""Neighbors in time: one rule at the edge of the guard, however times were recorded, and every caller follows it."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code

from goldfold.competition import Fold
from goldfold.data import neighbors, time_folds
from goldfold.errors import GoldfoldError
from goldfold.experiment.queries import asked
from goldfold.optional_parts import Neighbors, Pairs
from goldfold.retrieval import batch_samplers, two_views
from goldfold.retrieval.pairs import by_time
from goldfold.trust import audits

START = 1_700_000_000  # seconds since 1970


def written(times: np.ndarray) -> np.ndarray:
    """Times as a CSV file keeps them."""
    text = pd.DataFrame({"time": times}).to_csv(index=False)
    return pd.read_csv(StringIO(text))["time"].to_numpy()


# how frames, whole numbers, become times -> how many frames the unit of time has
RECORDED = {
    "frames": (lambda frames: frames, 1),
    "frames a tenth": (lambda frames: frames / 10, 10),
    "30 frames a second": (lambda frames: frames / 30, 30),
    "29.97 frames a second": (lambda frames: frames / 29.97, 29.97),
    "float32": (lambda frames: (frames / 30).astype(np.float32), 30),
    "float32 in a CSV file": (lambda frames: written((frames / 30).astype(np.float32)), 30),
    "float32, an hour later": (lambda frames: (3600 + frames / 10).astype(np.float32), 10),
    "before 0": (lambda frames: -5 + frames / 30, 30),
    "unix": (lambda frames: START + frames / 30, 30),
    "unix milliseconds": (lambda frames: START * 1000 + 100 * frames, 1 / 100),
}


def pairs_of(line: neighbors.Timeline, guard: float) -> np.ndarray:
    return line.windows(guard).pairs()


def said_by_callers(rows: pd.DataFrame, guard: float) -> dict[str, np.ndarray]:
    """Which pairs of rows are within the guard, bool (n, n), as each caller has it."""
    every, close = np.arange(len(rows)), Neighbors("recording", "time", guard)
    sequences, times = rows["recording"], rows["time"]
    near = [asked.near_duplicates(rows, row, close) | (every == row) for row in every]
    kept = [time_folds.outside_guard(sequences, times, np.array([row]), guard) for row in every]
    views = two_views.neighbors_in_time(sequences.to_numpy(), times.to_numpy(), guard)
    return {
        "neighbors": pairs_of(neighbors.timeline(sequences, times), guard),
        "near_duplicates": np.array(near),
        "left_out": by_time(sequences, times, np.inf, guard).left_out(slice(None)),
        "relevant": by_time(sequences, times, guard, 0).relevant(slice(None)) | at_once(rows),
        "beyond": np.array([~np.isin(every, rest) for rest in kept]),
        "two_views": np.array([np.isin(every, row) for row in views]),
        "verified": by_pair(len(rows), lambda fold: refused(fold, sequences, times, guard)),
        "neighbor_leakage": by_pair(len(rows), lambda fold: audits.neighbor_leakage([fold], rows, close)),
        "neighbor_ranked": by_pair(len(rows), lambda fold: audits.neighbor_ranked(ranked(fold), rows, close)),
        "apart": by_pair(len(rows), lambda fold: in_two_batches(fold, sequences, times, guard)),
    }


def at_once(rows: pd.DataFrame) -> np.ndarray:
    same = [rows[name].to_numpy()[:, None] == rows[name].to_numpy() for name in ("recording", "frame")]
    return same[0] & same[1]


def by_pair(count: int, near) -> np.ndarray:
    """Each two rows as a fold of one training and one validation row."""
    return np.array([[bool(near(Fold(np.array([j]), np.array([i])))) for j in range(count)] for i in range(count)])


def refused(fold: Fold, sequences: pd.Series, times: pd.Series, guard: float) -> bool:
    try:
        time_folds.verified([fold], sequences, times, guard)
    except GoldfoldError:
        return True
    return False


def ranked(fold: Fold) -> Pairs:
    nothing = np.zeros((1, 1), bool)
    return Pairs(queries=fold.validation, gallery=fold.train, relevant=lambda _: nothing, left_out=lambda _: nothing)


def in_two_batches(fold: Fold, sequences: pd.Series, times: pd.Series, guard: float) -> bool:
    both = np.concatenate(fold)
    made = batch_samplers.apart_in_time(sequences.to_numpy()[both], times.to_numpy()[both], guard, 2, 0, 0)
    return len(made[0]) == 1


@pytest.mark.parametrize("recorded", RECORDED)
@pytest.mark.parametrize("seed", range(3))
def test_every_caller_has_the_same_neighbors(recorded: str, seed: int) -> None:
    """Also at the edge: whole frames say what is right, whatever rounding did to their times."""
    draw = np.random.default_rng(seed)
    to_times, rate = RECORDED[recorded]
    frames, steps = draw.integers(0, 40, 14), int(draw.integers(1, 12))
    rows = pd.DataFrame({"recording": draw.choice(["录1", "b"], 14), "frame": frames, "time": to_times(frames)})
    rows["id"] = [f"{number}" for number in range(14)]
    same = rows["recording"].to_numpy()[:, None] == rows["recording"].to_numpy()
    expected = same & (np.abs(frames[:, None] - frames) <= steps)
    assert (np.abs(frames[:, None] - frames) == steps).any()  # the edge is there
    for caller, said in said_by_callers(rows, steps / rate).items():
        np.testing.assert_array_equal(said, expected, err_msg=caller)


@pytest.mark.parametrize("seed", range(20))
def test_callers_agree_on_times_of_any_kind(seed: int) -> None:
    draw = np.random.default_rng(seed)
    times = draw.choice([1, 60, START]) + draw.normal(0, 10.0 ** draw.integers(-3, 4), 10)
    rows = pd.DataFrame({"recording": draw.integers(0, 2, 10), "frame": range(10), "time": times})
    rows = rows.assign(id=rows["frame"].astype(str))
    guard = float(np.abs(times[0] - times[draw.integers(1, 10)]) * draw.choice([1, 1 - 1e-16, 0.5]))
    said = said_by_callers(rows, guard)
    for caller, own in said.items():
        np.testing.assert_array_equal(own, said["neighbors"], err_msg=caller)
    part = rows.iloc[np.sort(draw.permutation(10)[:6])]  # what others are there changes nothing
    own = pairs_of(neighbors.timeline(part["recording"], part["time"]), guard)
    np.testing.assert_array_equal(own, said["neighbors"][np.ix_(part.index, part.index)])


def test_folds_leave_out_what_the_audit_calls_leakage_and_no_more() -> None:
    seconds = np.arange(300) / 30
    rows = pd.DataFrame({"id": range(300), "recording": "a", "time": seconds})
    blocks = time_folds.blocks(rows["recording"], seconds, 2.0)
    folds = time_folds.folds(rows["recording"], seconds, blocks, 2, 0.3, 0)
    assert audits.neighbor_leakage(folds, rows, Neighbors("recording", "time", 0.3)) == []
    for fold in folds:
        left_out = np.setdiff1d(np.arange(300), np.concatenate(fold))
        wrong = [Fold(np.append(fold.train, row), fold.validation) for row in left_out]
        assert len(audits.neighbor_leakage(wrong, rows, Neighbors("recording", "time", 0.3))) == len(wrong) > 0


def test_query_and_metric_leave_out_the_same_rows_at_the_edge_of_the_guard() -> None:
    assert 0.4 - 0.3 > 0.1  # by rounding alone
    rows = pd.DataFrame({"id": [0, 1], "recording": ["a", "a"], "second": [0.3, 0.4]})
    left_out = by_time(rows["recording"], rows["second"], within=1.0, guard=0.1).left_out(slice(None))
    near = asked.near_duplicates(rows, 0, Neighbors("recording", "second", 0.1))
    assert near.tolist() == [False, True]
    assert left_out[0].tolist() == [True, True]


@pytest.mark.parametrize("start", [0, 1000, START])
def test_a_guard_is_widened_by_a_thousandth_at_most(start: float) -> None:
    line = neighbors.timeline(["a"] * 4, [start, start + 2, start + 2.01, start - 2.01])
    assert line.near_duplicates(2.0, 0).tolist() == [False, True, False, False]


def test_a_row_without_sequence_or_time_is_nobodys_neighbor() -> None:
    rows = pd.DataFrame({"s": ["a", None, "a", "a", "a", None], "t": [1, 1, np.nan, np.inf, 1.5, 1]})
    found = pairs_of(neighbors.of_table(rows, Neighbors("s", "t", 1)), np.inf)
    known = np.array([True, False, False, False, True, False])
    assert np.array_equal(found, known[:, None] & known)
    nullable = rows.assign(t=pd.array([1, 1, None, None, 2, 1], dtype="Int64"))
    assert np.array_equal(pairs_of(neighbors.of_table(nullable, Neighbors("s", "t", 1)), 5), found)


def test_large_tables_are_sorted_not_compared_in_pairs() -> None:
    count = 300_000
    frames = np.random.default_rng(0).permutation(count)
    line = neighbors.timeline(frames % 1000, frames // 1000)
    sizes = line.windows(2).any()
    assert sizes.all()
    found = line.windows(2, others=np.flatnonzero(frames // 1000 == 100))
    assert np.array_equal(found.any(), np.abs(frames // 1000 - 100) <= 2)


DATES = pd.date_range("2024-05-01", periods=3, freq="s")


@pytest.mark.parametrize(
    ("sequences", "times", "code", "fact"),
    [
        (["a", None, "a"], [0, 1, 2], "sequence_or_time_missing", "1 of 3 have none, first row 1"),
        (["a"] * 3, [0, 1, np.nan], "sequence_or_time_missing", "1 of 3 have none, first row 2"),
        (["a"] * 3, [np.inf, 1, None], "sequence_or_time_missing", "2 of 3 have none, first row 0"),
        (["a"] * 3, [0, 1], "lengths_differ", "3 sequences and 2 times"),
        ([], [], "timeline_empty", "0 rows"),
        ([1, "1", 2], [0, 1, 2], "values_mixed", "sequences mixes numbers and text, 2 rows such as 1"),
        (["a"] * 3, ["0", "1", "2"], "times_not_numeric", "are string"),
        (["a"] * 3, DATES, "times_not_numeric", r"are datetime64: .* \(time - time.min\(\)\).dt.total_seconds\(\)"),
        (["a"] * 3, list(DATES), "times_not_numeric", "are datetime"),
        (["a"] * 3, DATES - DATES[0], "times_not_numeric", "are timedelta"),
    ],
)
def test_unusable_sequences_and_times_raise(sequences, times, code, fact) -> None:
    with raises_code(code, fact):
        neighbors.timeline(sequences, times)


def test_columns_that_are_not_there_and_guards_below_0_are_refused() -> None:
    rows = pd.DataFrame({"recording": ["a"], "second": [DATES[0]]})
    with raises_code("unknown_column", "'seconds'; did you mean 'second'"):
        neighbors.of_table(rows, Neighbors("recording", "seconds", 1))
    with raises_code("times_not_numeric", "'second' .* are datetime64"):
        neighbors.of_table(rows, Neighbors("recording", "second", 1))
    for guard in (-1, np.nan):
        with raises_code("guard_negative", f"got {guard}"):
            neighbors.timeline(["a"], [0]).windows(guard)


def test_rows_of_one_time_are_neighbors_under_a_guard_of_0() -> None:
    line = neighbors.timeline(["a", "a", "a", "b"], [0, 0, 1, 0])
    assert [line.windows(0).of(row).tolist() for row in range(4)] == [[0, 1], [0, 1], [2], [3]]
    assert line.near_duplicates(0, 0).tolist() == [False, True, False, False]
