"""`python -m goldfold.board.judge NAME FOLDER`: score files for the board; board/judges.py describes the protocol.

The process imports the competition once. It scores each file in a forked process with limits of memory and time, so
that no file can stop it.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goldfold.board import catalogue, sandbox
from goldfold.board.uploads import LARGEST
from goldfold.errors import GoldfoldError
from goldfold.experiment.workspace import Workspace, load_tables
from goldfold.submission import bounds
from goldfold.submission import writing as submissions
from goldfold.submission.zipped import unpacked

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Competition

Score = Callable[[str, str], dict[str, float]]
LIMITS = sandbox.Limits()


def main() -> None:
    arguments = _arguments()
    os.nice(10)  # receiving submissions has priority over scoring
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a competition prints must not mix with the answers
    score = scorer(arguments.name, Workspace().competition(arguments.name), arguments.folder)
    limits = sandbox.Limits(memory=arguments.memory, cpu_s=arguments.cpu, wall_s=arguments.wall)
    for line in sys.stdin:
        asked = json.loads(line)
        wall_s = min(limits.wall_s, asked["wall_s"])
        answer = sandbox.call(partial(score, asked["path"], asked["name"]), replace(limits, wall_s=wall_s))
        print(json.dumps(answer), file=answers, flush=True)


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m goldfold.board.judge")
    parser.add_argument("name", help="folder below competitions/")
    parser.add_argument("folder", type=Path, help="the competition's folder on the board")
    parser.add_argument("--memory", type=int, default=LIMITS.memory, help="bytes for one file (%(default)s)")
    parser.add_argument("--cpu", type=int, default=LIMITS.cpu_s, help="seconds of processor time (%(default)s)")
    parser.add_argument("--wall", type=int, default=LIMITS.wall_s, help="seconds for one file (%(default)s)")
    return parser.parse_args()


def scorer(name: str, competition: Competition, folder: Path) -> Score:
    """Function (path of a submission, its file name) -> scores on the public and the private rows.

    A file may be a CSV or a zip of one. Its size, header and lines are checked before it is parsed.
    """
    tables = load_tables(name, competition, folder / "public")
    sample, key = tables.sample_submission, tables.sample_submission.columns[0]
    usage = catalogue.read_usage(folder, sample)
    solution = submissions.read(folder / "private" / "solution.csv", sample)
    truths = catalogue.truths(solution, key, usage, competition.submission.whole_gallery)
    allowed = bounds.of(sample, competition.submission)

    def score(path: str, called: str) -> dict[str, float]:
        data = unpacked(Path(path).read_bytes(), LARGEST)
        allowed.check(data)
        frame = submissions.read_data(data, called, sample)
        submissions.check_read(frame, sample, tables.test, competition.submission)
        parts = catalogue.sides(frame, key, usage)
        scores = [_graded(competition, *pair) for pair in zip(parts, truths, strict=True)]
        return dict(zip(("public", "private"), scores, strict=True))

    return score


def _graded(competition: Competition, part: DataFrame, truth: DataFrame) -> float:
    """Score of some rows; the message of a failing grade() is not passed on, since it may quote the solution."""
    if competition.grade is None:
        raise RuntimeError("the competition has no grade()")
    try:
        score = float(competition.grade(part, truth))
    except GoldfoldError as error:
        raise RuntimeError("grade() refused a checked submission") from error
    if not np.isfinite(score):
        raise GoldfoldError(
            "score_not_finite", f"the score of this file is {score}: submit values that give a finite score"
        )
    return score


if __name__ == "__main__":
    try:
        main()
    except GoldfoldError as error:
        sys.exit(f"goldfold: {error}")
