"""Query, gallery and relevance by label and by time, against loops over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from made_embeddings import IS_QUERY, RNG, N

from goldfold.errors import GoldfoldError
from goldfold.retrieval.pairs import by_label, by_time


def test_rows_close_in_time_are_relevant():
    sequences = RNG.choice(["запись 1", "录音"], N).tolist()
    times = RNG.permutation(N) / 10
    pairs = by_time(sequences, times, within=0.8, guard=0.3)
    relevant, left_out = pairs.relevant(slice(None)), pairs.left_out(slice(None))
    for one in range(N):
        for other in range(N):
            frames = abs(round(10 * times[one]) - round(10 * times[other]))
            together = sequences[one] == sequences[other]
            assert relevant[one, other] == (together and 3 < frames <= 8)
            assert left_out[one, other] == (one == other or (together and frames <= 3))
    assert (pairs.relevant(slice(10, 20)) == relevant[10:20]).all()
    asked = by_time(sequences, times, within=0.8, guard=0.3, queries=IS_QUERY)
    assert (asked.relevant(slice(None)) == relevant[np.ix_(IS_QUERY, ~IS_QUERY)]).all()
    ever = by_time(sequences, times, within=np.inf, guard=0).relevant(slice(None))
    assert (ever.sum(1) == [sequences.count(own) - 1 for own in sequences]).all()


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda: by_label(["a", None, float("nan")]), "missing_values", "2 of 3 .* row 1"),
        (lambda: by_label([1, 1, 2], same=[0, 1]), "lengths_differ", "`same` .* 2 for 3 rows"),
        (lambda: by_label([1, 1, 2], queries=[1, 0, 0]), "queries_not_boolean", "3 booleans.*int64"),
        (lambda: by_label([1, 1, 2], queries=[False] * 3), "no_query_or_gallery", "0 queries and 3"),
        (lambda: by_label([]), "no_query_or_gallery", "0 queries and 0"),
        (lambda: by_time(["a"] * 3, [1, 2, 3], within=2, guard=2), "guard_not_below_within", "is 2 and .* is 2"),
    ],
)
def test_impossible_pairs_are_refused(make, code, words):
    with pytest.raises(GoldfoldError, match=words) as error:
        make()
    assert error.value.code == code


def test_times_must_be_finite():
    with pytest.raises(GoldfoldError, match=r"1 of 3 .* row 1"):
        by_time(["a"] * 3, [1, np.nan, 3], within=2, guard=1)
