"""The ledger survives kills and crowds, allows the moves it allows, and its conclusions agree with scipy's."""

from __future__ import annotations

import csv
import itertools
import math
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import matplotlib.image
import numpy as np
import pytest
from page_tags import Tags
from scipy import stats

from goldfold.errors import GoldfoldError
from goldfold.experiment.workspace import Workspace
from goldfold.kaggle import ledger
from goldfold.kaggle.ledger import Attempt, State
from goldfold.report.delivery.ledger import Point, agreement, agreement_text, cv_against_leaderboard, two_to_select
from goldfold.workflows.delivery.ledger import ledger as ledger_of

FACTS = {
    "tag": "gf-00000000",
    "began": "2026-11-22T10:00:00+00:00",
    "changed": "2026-11-22T10:00:00+00:00",
    "competition": "布匹",
    "slug": "cloth",
    "service": "local",
    "run": "baseline-r1",
    "sha256": "0" * 64,
    "message": 'a "quoted", note\n=1+1',
    "metric": "auroc",
    "higher_is_better": True,
    "cv": 0.9,
    "cv_sd": 0.01,
}
ROUTE = {  # a way to every state
    "prepared": (),
    "sending": ("sending",),
    "received": ("sending", "received"),
    "unknown": ("sending", "unknown"),
    "scored": ("sending", "received", "scored"),
    "failed": ("failed",),
}
STEPS = {("prepared", "sending"), ("prepared", "failed")}
STEPS |= {("sending", state) for state in ("received", "failed", "unknown")}
STEPS |= {("unknown", state) for state in ("received", "failed", "unknown")}
STEPS |= {("received", "scored"), ("received", "failed"), ("scored", "scored"), ("failed", "failed")}


def at(book: Path, state: str, tag: str = "gf-00000000") -> Attempt:
    attempt = ledger.add_attempt(book, Attempt(**{**FACTS, "tag": tag}))
    for step in ROUTE[state]:
        attempt = ledger.update_attempt(book, tag, step, **({"ref": 7} if step == "received" else {}))
    return attempt


@pytest.mark.parametrize(("before", "after"), [*itertools.product(get_args(State), get_args(State)[1:])])
def test_only_the_moves_of_the_state_machine_are_made(tmp_path, before, after):
    book = tmp_path / "ledger.sqlite"
    at(book, before)
    if (before, after) in STEPS:
        assert ledger.update_attempt(book, FACTS["tag"], after, ref=7).state == after
    else:
        with pytest.raises(GoldfoldError, match=f"is '{before}' in .* cannot become '{after}'"):
            ledger.update_attempt(book, FACTS["tag"], after, ref=7)
        assert ledger.read_attempts(book)[0].state == before


@pytest.mark.parametrize("ref", [None, 0, -1])
def test_received_needs_a_reference_number(tmp_path, ref):
    book = tmp_path / "ledger.sqlite"
    at(book, "sending")
    with pytest.raises(GoldfoldError, match="CHECK constraint"):
        ledger.update_attempt(book, FACTS["tag"], "received", ref=ref)
    assert ledger.read_attempts(book)[0].state == "sending"


def test_rows_come_back_as_they_were_and_the_csv_holds_them_all(tmp_path):
    book = tmp_path / "submissions" / "ledger.sqlite"
    assert ledger.read_attempts(book) == []
    rows = [Attempt(**FACTS), Attempt(**{**FACTS, "tag": "gf-1", "cv_sd": None, "higher_is_better": False})]
    for row in rows:
        ledger.add_attempt(book, row)
    assert ledger.read_attempts(book) == rows
    assert ledger.read_attempts(book, competition="布匹", tag="gf-1") == rows[1:]
    with book.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert [(row["message"], row["cv_sd"], row["ref"]) for row in read] == [
        (FACTS["message"], "0.01", ""),
        (FACTS["message"], "", ""),
    ]
    with pytest.raises(GoldfoldError, match="UNIQUE"):
        ledger.add_attempt(book, rows[0])


KILLED = """
import os, signal, sys
from pathlib import Path
from goldfold.kaggle import ledger
with ledger._opened(Path(sys.argv[1])) as opened:
    opened.execute("UPDATE attempts SET state = 'failed'")
    os.kill(os.getpid(), signal.SIGKILL)
"""
CROWD = """
import sys
from pathlib import Path
from goldfold.kaggle import ledger
from goldfold.kaggle.ledger import Attempt
book, name, facts = Path(sys.argv[1]), sys.argv[2], eval(sys.argv[3])
for number in range(8):
    tag = f"gf-{name}{number}"
    ledger.add_attempt(book, Attempt(**{**facts, "tag": tag}))
    ledger.update_attempt(book, tag, "sending")
"""


def test_a_kill_within_a_change_leaves_what_was_there(tmp_path):
    book = tmp_path / "ledger.sqlite"
    at(book, "sending")
    done = subprocess.run([sys.executable, "-c", KILLED, str(book)])
    assert done.returncode == -signal.SIGKILL
    assert ledger.read_attempts(book)[0].state == "sending"
    assert ledger.update_attempt(book, FACTS["tag"], "unknown").state == "unknown"


def test_a_crowd_loses_no_row(tmp_path):
    book = tmp_path / "ledger.sqlite"
    crowd = [subprocess.Popen([sys.executable, "-c", CROWD, str(book), name, repr(FACTS)]) for name in "abc"]
    assert [process.wait() for process in crowd] == [0, 0, 0]
    assert {attempt.state for attempt in ledger.read_attempts(book)} == {"sending"}
    text = book.with_suffix(".csv").read_text(encoding="utf-8")
    assert all(f"gf-{name}{number}," in text for name in "abc" for number in range(8))


@pytest.mark.parametrize("n", [4, 7, 30])
def test_agreement_is_spearmans_with_an_interval_around_it(n):
    draw = np.random.default_rng(n)
    cv = draw.normal(size=n)
    scores = cv + draw.normal(size=n)
    found = agreement([*cv, math.nan, 1.0], [*scores, 0.5, math.nan])
    assert found.rho == pytest.approx(stats.spearmanr(cv, scores).statistic)
    assert found.n == n
    assert -1 <= found.low <= found.rho <= found.high <= 1
    if abs(found.rho) < 0.95:
        z = stats.norm.ppf([0.025, 0.975], math.atanh(found.rho), math.sqrt((1 + found.rho**2 / 2) / (n - 3)))
        assert (found.low, found.high) == pytest.approx(tuple(np.tanh(z)), abs=1e-6)


def test_a_perfect_ranking_of_four_proves_little_and_fewer_nothing():
    found = agreement([1, 2, 3, 4], [10, 20, 30, 40])
    assert (found.rho, found.high) == (pytest.approx(1), pytest.approx(1))
    assert found.low < 0.3
    assert agreement([4, 3, 2, 1], [10, 20, 30, 40]).rho == pytest.approx(-1)
    assert agreement(range(30), range(30)).low > 0.95
    assert agreement([1, 2, 3], [1, 2, 3]) is None
    assert agreement([1, 1, 1, 1], [1, 2, 3, 4]) is None
    assert "3 of at least 4 submissions" in agreement_text(None, "public", 3)
    assert "are equal" in agreement_text(None, "public", 4)


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_the_interval_covers_the_truth_as_often_as_it_says(rho):
    """Bivariate normals: the population's Spearman is 6 / pi * asin(rho / 2)."""
    draw, truth, hits = np.random.default_rng(0), 6 / math.pi * math.asin(rho / 2), 0
    for _ in range(400):
        x, noise = draw.normal(size=(2, 20))
        found = agreement(x, rho * x + math.sqrt(1 - rho**2) * noise)
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / 400 <= 0.98


def slow_two(points: list[Point], higher: bool) -> dict[str, list[str]]:
    """The same by counting, for points without ties."""
    better = (lambda a, b: a > b) if higher else (lambda a, b: a < b)
    cv = {p.name: sum(better(q.cv, p.cv) for q in points) for p in points}
    public = {p.name: sum(better(q.public, p.public) for q in points) for p in points}
    both = {name: (cv[name] + public[name], cv[name]) for name in cv}
    return {rule: sorted(key, key=key.get)[:2] for rule, key in (("CV", cv), ("public", public), ("both", both))}


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_two_to_select_go_by_rank_in_the_direction_of_the_metric(seed, higher):
    draw = random.Random(seed)
    points = [Point(f"r{i}", draw.random(), 0.01, draw.random(), math.nan) for i in range(7)]
    assert two_to_select([*points, Point("unscored", 2, 0, math.nan, math.nan)], higher) == slow_two(points, higher)


def test_two_to_select_of_one_and_of_none():
    assert two_to_select([], True) == {"CV": [], "public": [], "both": []}
    assert two_to_select([Point("a", 1, 0, 1, 1)], True)["both"] == ["a"]


@pytest.mark.parametrize("count", [1, 2, 40])
def test_the_picture_is_one_and_shows_more_with_private_scores(count, tmp_path):
    draw = random.Random(0)
    points = [Point(f"基线-r{i}", draw.random(), math.nan, draw.random(), math.nan) for i in range(count)]
    seen = []
    for private in (math.nan, 0.4):
        path = tmp_path / "ledger.png"
        boards = {"布匹 on kaggle": [point._replace(private=private) for point in points], "布匹 on local": points}
        path.write_bytes(cv_against_leaderboard(boards, "auroc", True))
        seen.append(matplotlib.image.imread(path))
    assert seen[0].shape[1] == 1020
    assert not np.array_equal(*seen)


def test_the_command_tells_of_every_board_and_draws(tmp_path):
    workspace = Workspace(tmp_path)
    assert "nothing was submitted yet: make submit" in ledger_of(workspace).text
    base = Attempt(**{**FACTS, "competition": "cloth"})
    for number in range(5):
        row = replace(base, tag=f"gf-{number}", run=f"r{number}", sha256=str(number), cv=0.8 + number / 100)
        ledger.add_attempt(workspace.ledger, row)
        for state, facts in (
            ("sending", {}),
            ("received", {"ref": number + 1}),
            ("scored", {"public": 0.7 + number / 50}),
        ):
            ledger.update_attempt(workspace.ledger, row.tag, state, **facts)
    ledger.add_attempt(workspace.ledger, replace(base, tag="gf-x", run="r9"))
    ledger.update_attempt(workspace.ledger, "gf-x", "failed", said="upload failed: no place")
    found = ledger_of(workspace, "cloth")
    said = str(found)
    assert len(found.table) == 6
    assert "cloth on local, auroc, higher is better" in said
    assert "rank correlation of CV and public score 1.0000, 95 % interval" in said
    assert "by CV: r4, r3; by public: r4, r3; by both: r4, r3" in said
    assert "upload failed: no place" in said
    assert "private" not in said.split("rank correlation")[1]
    assert found.pictures == [workspace.submissions / "ledger-cloth.png"]
    assert found.pictures[0].exists()
    page = Tags((workspace.submissions / "ledger-cloth.html").read_text(encoding="utf-8"))
    assert [source.partition(",")[0] for source in page.sources] == ["data:image/png;base64"]
    assert "upload failed: no place" in page.text
    with pytest.raises(GoldfoldError) as refused:
        ledger_of(workspace, "clot")
    assert refused.value.code == "unknown_competition"
