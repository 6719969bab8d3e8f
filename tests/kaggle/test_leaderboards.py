"""Ranks and medals on leaderboards as Kaggle gives them out, and on 202 real ones."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from goldfold.errors import GoldfoldError
from goldfold.kaggle import leaderboards
from goldfold.kaggle.leaderboards import Leaderboard
from goldfold.metrics import auroc
from goldfold.report.delivery import leaderboard as picture

SAMPLE = os.environ.get("GOLDFOLD_SAMPLE_DATA")
REAL = Path(SAMPLE, "kaggle_leaderboards") if SAMPLE else Path("nowhere")
FOLDERS = sorted(path.parent for path in REAL.glob("*/private_leaderboard.csv"))
KAGGLE = (  # as kaggle 2.2.4 brings it, with its byte order mark
    "\ufeffRank,TeamId,TeamName,LastSubmissionDate,Score,SubmissionCount,TeamMemberUserNames\n"
    '1,11,"O\'Neill, père",2026-06-21 05:39:02,0.91234,12,a\n2,12,队,2026-06-21 06:39:02,0.9,1,b\n'
    "3,13,x,2026-06-22 06:39:02,0.9,1,c\n4,14,y,2026-06-22 07:39:02,0.5,1,d\n"
)


def board(
    text: str, folder: Path, name: str = "x-publicleaderboard.csv", higher: bool = True
) -> leaderboards.Leaderboard:
    (folder / name).write_text(text, encoding="utf-8")
    return leaderboards.read(folder / name, higher)[0]


def of(scores: np.ndarray, higher: bool = True) -> Leaderboard:
    return leaderboards.Leaderboard("public", Path("x.csv"), np.sort(scores)[:: -1 if higher else 1], higher, None)


# --- reading -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        KAGGLE,
        "Warning: outdated client\nNext Page Token = abc\nteamId,teamName,submissionDate,score\n"
        "1,a,2026,0.91234\n2,b,2026,0.90000\n3,c,2026,0.90000\n4,d,2026,0.5\n",
        "rank,score\n1,0.91234\n2,0.9\n3,0.9\n4,0.5\n",
        "#,Team,Score\n4,d,0.5\n1,a,0.91234\n3,c,0.9\n2,b,0.9\n",
        "TeamId,TeamName,SubmissionDate,Score\n1,a,2019-01-01,0.4\n1,a,2019-01-02,0.91234\n2,b,2019-01-03,0.9\n"
        "3,c,2019-01-03,0.9\n1,a,2019-01-04,0.8\n4,d,2019-01-05,0.5\n",
        "Rank,TeamId,Score\n1,1,0.91234\n2,2,0.9\n3,3,0.9\n4,4,0.5\n5,5,\n6,6,nan\n7,7,-inf\n",
    ],
)
def test_every_spelling_of_a_board_is_read(text, tmp_path):
    found = board(text, tmp_path)
    assert found.name == "public"
    assert found.decimals == 5
    np.testing.assert_array_equal(found.scores, [0.91234, 0.9, 0.9, 0.5])


def test_what_was_left_out_is_said(tmp_path):
    assert board(KAGGLE, tmp_path).notes == ()
    found = board("Rank,TeamId,Score\n1,1,0.9\n2,2,0.8\n3,1,0.7\n4,4,\n5,5,inf\n", tmp_path)
    assert found.notes == ("2 lines without a score left out", "1 line of teams that have a better one left out")
    found = board("teamId,score\n1,0.9\n2,0.2\n1,0.7\n3,0.4\n", tmp_path, higher=False)
    np.testing.assert_array_equal(found.scores, [0.2, 0.4, 0.7])  # of a team's lines the best: here the lowest


def test_public_and_private_boards_are_told_apart(tmp_path):
    both = "TeamName,PublicScore,PrivateScore\na,0.9,0.7\nb,0.8,0.6\n"
    (tmp_path / "both.csv").write_text(both, encoding="utf-8")
    assert [each.name for each in leaderboards.read(tmp_path / "both.csv", True)] == ["public", "private"]
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr("x-publicleaderboard-2026-09-30T17:41:44.csv", KAGGLE)
        packed.writestr("x-privateleaderboard.csv", KAGGLE.replace("0.91234", "0.95"))
    public, private = leaderboards.read(tmp_path / "x.zip", True)
    assert (public.name, private.name) == ("public", "private")
    assert private.scores[0] == 0.95
    folder = tmp_path / "folder"
    folder.mkdir()
    for kind in ("private", "public"):
        (folder / f"{kind}_leaderboard.csv").write_text("rank,score\n1,0.5\n", encoding="utf-8")
    assert [each.name for each in leaderboards.read(folder, True)] == ["public", "private"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no column Score"),
        ("id,label\n1,2\n", "no column Score, PublicScore or PrivateScore in 'id,label'"),
        ("rank,score\n1,\n2,none\n", "no line with a score in column 'score'"),
        (
            "rank,score\n1,0.1\n2,0.2\n3,0.9\n",
            "0.1 at the top to 0.9, so lower is better there, but higher is better",
        ),
    ],
)
def test_what_is_no_board_is_refused(text, complaint, tmp_path):
    with pytest.raises(GoldfoldError, match=complaint):
        board(text, tmp_path)
    with pytest.raises(GoldfoldError, match="there is no leaderboard"):
        leaderboards.read(tmp_path / "absent.csv", True)


def test_the_same_board_is_right_in_its_own_direction(tmp_path):
    assert board("rank,score\n1,0.1\n2,0.2\n3,0.9\n", tmp_path, higher=False).scores[0] == 0.1


def test_scores_that_the_metric_does_not_allow_are_doubted():
    assert leaderboards.out_of_bounds_note(of(np.array([0.2, 0.9])), auroc("y")) is None
    assert "2 of 3 scores are outside [0, 1]" in leaderboards.out_of_bounds_note(
        of(np.array([0.2, 1.9, -3])), auroc("y")
    )


# --- ranks and medals --------------------------------------------------------------------------------------------


def test_ties_lie_between_two_ranks(tmp_path):
    found = board(KAGGLE, tmp_path)
    place = leaderboards.rank(0.9, found)
    assert (place.rank, place.last, place.teams, place.beaten) == (2, 4, 4, 0.25)
    assert (place.medal, place.last_medal) == (None, None)  # of four teams one has a medal
    assert place.needed == dict.fromkeys(("gold", "silver", "bronze"), 0.91234)
    place = leaderboards.rank(0.91234, found)
    assert (place.rank, place.last, place.medal, place.last_medal) == (1, 2, "gold", None)
    assert place.needed == {}


def test_a_score_is_compared_as_the_board_shows_it(tmp_path):
    """The board's 0.91234 may hide 0.912344: more digits are no better rank."""
    assert leaderboards.rank(0.912344, board(KAGGLE, tmp_path)).last == 2
    assert leaderboards.rank(0.912344, board(KAGGLE, tmp_path)).rank == 1
    assert leaderboards.rank(0.912336, board(KAGGLE, tmp_path)).rank == 1
    assert leaderboards.rank(0.912334, board(KAGGLE, tmp_path)).rank == 2


@pytest.mark.parametrize("higher", [True, False])
def test_ranks_are_a_count_of_better_teams(higher):
    draw = np.random.default_rng(0)
    scores = draw.integers(0, 30, 200) / 10
    for score in np.linspace(-0.1, 3.1, 33).round(1):
        place = leaderboards.rank(score, of(scores, higher))
        better = sum(bool(each > score) if higher else bool(each < score) for each in scores)
        assert place.rank == 1 + better
        assert place.last == 1 + better + sum(each == score for each in scores)
        assert place.beaten == pytest.approx(1 - (place.last - 1) / 200)


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_what_is_no_score_has_no_rank(score):
    with pytest.raises(GoldfoldError, match="no rank"):
        leaderboards.rank(score, of(np.ones(3)))


def thresholds(scores: np.ndarray) -> dict[str, float]:
    """What MLE-bench's grader takes for the medals' scores, said anew; `scores` best first."""
    teams = len(scores)
    if teams < 100:
        places = [int(teams * 0.1), int(teams * 0.2), int(teams * 0.4)]
    elif teams < 250:
        places = [10, int(teams * 0.2), int(teams * 0.4)]
    elif teams < 1000:
        places = [10 + int(teams * 0.002), 50, 100]
    else:
        places = [10 + int(teams * 0.002), int(teams * 0.05), int(teams * 0.1)]
    return {medal: scores[max(1, place) - 1] for medal, place in zip(leaderboards.MEDALS, places, strict=True)}


@pytest.mark.parametrize("teams", [1, 2, 3, 9, 10, 57, 99, 100, 101, 249, 250, 499, 500, 999, 1000, 1001, 2500, 7001])
@pytest.mark.parametrize("higher", [True, False])
def test_medals_are_those_of_mle_bench(teams, higher):
    scores = np.random.default_rng(teams).integers(0, max(3, teams // 2), teams).astype(float)  # with ties
    found = of(scores, higher)
    needed = thresholds(found.scores)
    for score in np.unique(scores):
        won = [medal for medal, least in needed.items() if (score >= least if higher else score <= least)]
        place = leaderboards.rank(score, found)
        assert place.medal == (won[0] if won else None)
        assert place.needed == {medal: needed[medal] for medal in leaderboards.MEDALS if medal not in won}


# --- real boards -------------------------------------------------------------------------------------------------

real = pytest.mark.skipif(not FOLDERS, reason="GOLDFOLD_SAMPLE_DATA is not set: it holds real leaderboards")


def direction(table: pd.DataFrame) -> bool:
    return bool(table["score"].iloc[0] >= table["score"].iloc[-1])


@real
def test_each_team_of_every_real_board_has_its_listed_rank():
    """Exactly, and with ties between the ranks that they share."""
    agree = 0
    for folder in FOLDERS:
        tables = {kind: pd.read_csv(folder / f"{kind}_leaderboard.csv") for kind in ("public", "private")}
        found = {each.name: each for each in leaderboards.read(folder, direction(tables["private"]))}
        whole = True
        for kind, table in tables.items():
            picked = table.iloc[np.unique(np.linspace(0, len(table) - 1, 60).astype(int))]
            places = [leaderboards.rank(score, found[kind]) for score in picked["score"]]
            whole &= len(table) == places[0].teams
            for listed, place in zip(picked["rank"], places, strict=True):
                whole &= place.rank <= listed < place.last  # the team itself is one of its equals
        agree += whole
    assert agree >= 200, f"{agree} of {len(FOLDERS)}"


@real
def test_five_real_boards_read_by_hand():
    by_hand = {  # what stands in the files: slug, higher is better, score, rank on the private board
        ("nomad2018-predict-transparent-conductors", False, 0.05211): (2, "gold"),
        ("aptos2019-blindness-detection", True, 0.917956): (186, "bronze"),
        ("AI4Code", True, 0.9213): (3, "gold"),
        ("dogs-vs-cats-redux-kernels-edition", False, 0.03302): (1, "gold"),
        ("titanic", True, 1.0): (1, "gold"),
    }
    for (slug, higher, score), (rank, medal) in by_hand.items():
        private = leaderboards.read(REAL / slug, higher)[-1]
        place = leaderboards.rank(score, private)
        assert (private.name, place.rank, place.medal) == ("private", rank, medal), slug


@real
def test_the_wrong_direction_is_refused_on_every_real_board_that_has_one():
    for folder in FOLDERS:
        table = pd.read_csv(folder / "private_leaderboard.csv")
        if table["score"].nunique() > 1:
            with pytest.raises(GoldfoldError, match="is better there"):
                leaderboards.read(folder / "private_leaderboard.csv", not direction(table))


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def ran(toy, goldfold):
    """A finished toy run, with its score on hidden labels and in a ledger."""
    goldfold("train", "--comp", "blobs", "--config", "estimator", "--quiet")
    goldfold("grade", "--run", "latest")
    (toy / "submissions" / "ledger.csv").write_text(
        "run,competition,service,public,private\nestimator-r1,blobs,kaggle,0.701,0.702\nother-r1,blobs,kaggle,0.1,0.1\n"
    )
    return toy / "runs" / "blobs" / "estimator-r1"


@pytest.mark.slow
def test_the_scores_of_a_run_are_ranked_on_both_boards(ran, goldfold):
    said = goldfold("rank", "--run", "latest", expect=2, GOLDFOLD_SAMPLE_DATA="").stderr
    assert "there is no leaderboard of 'blobs'" in said
    folder = ran.parents[2] / "data" / "blobs" / "leaderboard"
    folder.mkdir()
    lines = "".join(f"{rank},{rank},t{rank},{1 - rank / 1000:.3f}\n" for rank in range(1, 601))
    for kind in ("public", "private"):
        (folder / f"blobs-{kind}leaderboard.csv").write_text("Rank,TeamId,TeamName,Score\n" + lines)
    said = goldfold("rank", "--run", "latest").stdout
    public, private = said.split("private board")
    for told in ("CV", "hidden labels"):
        assert told in public
        assert told in private
    assert "0.701  rank 299 of 600 (1 team has the same score)" in public
    assert "0.702" not in public
    assert "0.702  rank 298 of 600" in private
    assert "no medal; bronze from 0.9, silver from 0.95, gold from 0.989" in said
    assert "CV is on training rows" in said
    drawn = np.asarray(Image.open(ran / "rank.png").convert("RGB"))
    assert drawn.shape[1] == 1020
    said = goldfold("rank", "--run", "latest", "--score", "0.995").stdout
    assert "rank 5 of 600" in said
    assert ": gold" in said
    assert "CV" not in said
    Path("losses.csv").write_text("rank,score\n1,0.1\n2,0.3\n")
    said = goldfold("rank", "--run", "latest", "--board", "losses.csv", expect=2).stderr
    assert "so lower is better there" in said


@pytest.mark.parametrize("higher", [True, False])
def test_a_picture_holds_the_runs_place_and_the_medals(higher):
    """Better is right in both directions: the mark of a good score lies further right than that of a bad one."""
    scores = of(np.random.default_rng(0).normal(size=500), higher).scores

    def column(score: float) -> float:
        panel = picture.Panel(title="x", scores=scores, marks={"x": score}, medals={}, higher_is_better=higher)
        pixels = np.asarray(Image.open(io.BytesIO(picture.score_distributions([panel], "x"))).convert("RGB")).astype(
            int
        )
        blue = (np.abs(pixels - (0, 0x72, 0xB2)).sum(axis=2) < 30).sum(axis=0)
        return float(blue[:800].argmax())

    good, bad = scores[20], scores[350]
    assert column(good) > column(bad) + 100


def test_boards_of_one_score_can_be_drawn():
    panel = picture.Panel(title="x", scores=np.ones(3), marks={"CV": 1.0}, medals={"gold": 1.0}, higher_is_better=True)
    assert picture.score_distributions([panel, panel], "x").startswith(b"\x89PNG")
