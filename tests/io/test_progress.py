"""Progress display: lines instead of bars where standard error is no terminal."""

from __future__ import annotations

import pytest

from goldfold.io.progress import SECONDS_PER_LINE, Display, EpochProgress


def test_lines_stand_for_bars_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    display, now = Display(), [0.0]
    assert display.silent
    display.lines.clock = lambda: now[0]
    display.lines.begin()
    display.fits_begin(2, "auroc")
    for seconds in range(0, 4 * SECONDS_PER_LINE, 5):
        now[0] = float(seconds)
        display.epoch(0, 7, EpochProgress("fit", 3, 10, 0.25, 0.5))
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "fold 0 seed 7 fit epoch 3/10  12%  after 30.0 s",
        "fold 0 seed 7 fit epoch 3/10  12%  after 1 min 0 s",
        "fold 0 seed 7 fit epoch 3/10  12%  after 1 min 30 s",
    ]
    display.close()
    now[0] += SECONDS_PER_LINE
    display.work("features", 50, 200)
    assert capsys.readouterr().err == "features 50/200  25%  after 2 min 25 s\n"
    display.fits_begin(2, "auroc")
    now[0] += 2 * SECONDS_PER_LINE
    display.work("features", 150, 200)
    assert capsys.readouterr().err == "features 150/200  75%  after 1 min 0 s\n", "its own share and the run's own time"


def test_quiet_shows_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(quiet=True)
    assert display.lines is None
    display.work("features", 50, 200)
    assert capsys.readouterr().err == ""
