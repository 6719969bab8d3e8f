"""The catalogue of wrong conclusions, A to S and a to m, as a user meets them: each planted once, beside a clean twin.

At its end a table says what was planted, how it was caught, and whether the clean twin was silent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import conclusions_from_data
import conclusions_from_scores
import conclusions_from_training
import pytest

from goldfold.report.plotting.markdown import table

pytestmark = pytest.mark.slow
CASES = conclusions_from_training.CASES | conclusions_from_scores.CASES | conclusions_from_data.CASES
REFUSED = r"(?m)^goldfold: "
HEADINGS = ["case", "planted", "caught as", "clean twin"]
UNKNOWN = "not run"
FAILED = {"faulty": "MISSED", "clean": "NOT SILENT"}


@pytest.fixture(scope="module")
def seen(request: pytest.FixtureRequest) -> Iterator[dict[tuple[str, str], str]]:
    """Case and side -> what was seen; the table of all is printed when the last case has ended."""
    found: dict[tuple[str, str], str] = {}
    yield found
    rows = [
        [*name.split(": ", 1), found.get((name, "faulty"), UNKNOWN), found.get((name, "clean"), UNKNOWN)]
        for name in sorted(CASES)
        if {(name, "faulty"), (name, "clean")} & found.keys()
    ]
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n\n{table(HEADINGS, rows, left=4)}")


@pytest.mark.parametrize("side", ["faulty", "clean"])
@pytest.mark.parametrize("name", CASES)
def test_a_wrong_conclusion_is_caught_and_its_clean_twin_is_silent(
    toy: Path, seen: dict[tuple[str, str], str], name: str, side: str
) -> None:
    case = CASES[name]
    seen[name, side] = FAILED[side]
    printed = getattr(case, side)()
    assert case.told(printed) == (side == "faulty"), printed
    assert not re.search(case.never, printed), printed
    assert side == "faulty" or not re.search(REFUSED, printed), printed
    seen[name, side] = case.caught if side == "faulty" else "silent"


def test_the_catalogue_is_whole() -> None:
    assert {name.partition(":")[0] for name in CASES} == {*"ABCDEFGHIJKLMNOPQRS", *"abcdefghijklm"}


def test_a_difference_of_shares_has_both_units(toy: Path) -> None:
    """Case C: .8384 against .6787 is +15.97 pp and +23.5 %."""
    printed = conclusions_from_scores.compared(full={"mean": 0.6787}, mlp={"mean": 0.8384})
    assert "+0.1597 (+15.97 pp, +23.5 %)" in printed
    assert not re.search(conclusions_from_scores.LONE_PERCENT, printed)
