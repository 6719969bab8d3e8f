"""Whether a notebook predicts its test rows within Kaggle's hours."""

from __future__ import annotations

import pytest

from goldfold.errors import GoldfoldError
from goldfold.kaggle.time_limit import check, estimate


def test_rows_that_fit_are_counted_with_the_start() -> None:
    took = estimate(seconds=30.0, rows=40, hours=9.0, wanted=None)
    assert (took.per_row, took.most, took.fits) == (0.75, 43200, True)
    assert str(took).startswith("40 test rows took 30.0 s on this machine, start included; 40 rows need at most 30.0 s")


def test_more_rows_than_the_hours_allow_do_not_fit() -> None:
    took = estimate(seconds=30.0, rows=40, hours=9.0, wanted=43201)
    assert not took.fits
    assert "43,201 rows need at most 9 h 0 min of 9 h, which does NOT fit: 43,200 rows do" in str(took)
    assert took.facts()["wanted_rows"] == 43201
    assert took.facts()["seconds_per_1000_rows"] == 750.0


@pytest.mark.parametrize(("hours", "rows"), [(0.0, None), (-1.0, 5), (9.0, 0)])
def test_impossible_limits_are_refused(hours: float, rows: int | None) -> None:
    with pytest.raises(GoldfoldError) as caught:
        check(hours, rows)
    assert caught.value.code == "invalid_time_limit"
