"""The verb `demo`: the main job on real data, from nothing to submissions on a leaderboard, with labels and without."""

from __future__ import annotations

import shlex
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from goldfold.board.hosted import host_competition
from goldfold.board.serving import serving
from goldfold.cli.training import print_result
from goldfold.errors import GoldfoldError
from goldfold.io.files import write_bytes
from goldfold.io.formatting import interval, number
from goldfold.kaggle import upload
from goldfold.kaggle.tracking import SubmissionContext, Timeouts
from goldfold.project import Project
from goldfold.report.epochs import curves
from goldfold.run import Run
from goldfold.workflows.delivery.submit import outcome_line, service_of, submission_request

COMPETITION = "solar_cells"
DAILY = 20  # submissions
EXECUTORS = {"autoencoder": "processes"}  # its small network computes two folds at once in less time than one by one
TOLD = {  # how the story calls a run's scores: metric -> words
    "autoencoder": {
        "auroc of pixel": "autoencoder, error of its pixels",
        "auroc of feature": "autoencoder, error of its features",
        "auroc of library": "autoencoder, library of its features",
    },
    "patch_library": {"auroc": "patches of a frozen backbone"},
}


def demo(arguments: Namespace, project: Project) -> None:
    print("2,624 real photographs of solar cells: which are defective?", flush=True)
    with_labels = _trained(project, "baseline")
    own, hidden = with_labels.metrics["auroc"], with_labels.grade()
    print(f"\nOOF auroc      {_line(own)}\nhidden labels  {hidden:.4f}   on photographs outside all folds\n")

    print("And from whole cells alone, without the label of one defect, one model for both types of cell:", flush=True)
    found = {name: _trained(project, name, EXECUTORS.get(name)) for name in TOLD}
    atlas = found["autoencoder"].atlas()
    shown = {told: found[name].metrics[metric] for name, each in TOLD.items() for metric, told in each.items()}
    shown["for comparison: a head trained with labels"] = own
    picture = found["patch_library"].folder / "recipe_scores.png"
    write_bytes(picture, _recipe_scores(shown))
    wide = max(map(len, shown))
    print("\n" + "\n".join(f"{told:{wide}}  {_line(summary)}" for told, summary in shown.items()))
    best = max(found.values(), key=lambda run: run.metrics["auroc"]["pooled"])
    print(f"{best.folder.name}'s submission on the hidden labels {best.grade():.4f}\n")
    sheet = atlas.folder / "contact_sheet.png"
    print(f"every epoch of the autoencoder  {sheet}\nscores side by side             {picture}\n")
    _onto_the_board(project, [best, with_labels], arguments.keep)
    _next(with_labels, found["autoencoder"])


def _onto_the_board(project: Project, submitted: Sequence[Run], keep: bool) -> None:
    """Both submissions through the real kaggle client to the local leaderboard."""
    competition, workspace = project.competition(COMPETITION), project.workspace
    print("And onto a leaderboard of this machine, through the kaggle client that uploads to Kaggle:", flush=True)
    print(host_competition(workspace, COMPETITION, DAILY), flush=True)
    with _board(project, keep) as address:
        say = lambda line: print(f"  {line}", flush=True)  # noqa: E731
        context = SubmissionContext(service_of(workspace, "local"), workspace.ledger, Timeouts(), say)
        for run in submitted:
            request = submission_request(workspace, run.folder, again=True)  # a demo may run twice
            print(outcome_line(upload.submit(request, context), competition.metric.name), flush=True)
        page = f"{address}/competitions/{competition.slug}"
        if keep:
            by_hand = _by_hand(competition.slug, submitted[-1])
            print(f"\nthe board stays up: {page}\nby hand, as to Kaggle:\n  {by_hand}")
        else:
            print(f"\nthe board was at {page}; KEEP=1 make demo leaves it up, make host starts it again\n")


@contextmanager
def _board(project: Project, keep: bool) -> Iterator[str]:
    """The address of the local leaderboard, which ends with the block unless it is kept or was up before."""
    if running := serving(project.workspace.board):
        yield running
        return
    command = [sys.executable, "-m", "goldfold", "host", "--port", "0"]
    board = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert board.stdout is not None
    try:
        said = board.stdout.readline().strip()
        if not said:
            raise GoldfoldError(
                "board_did_not_start", "the local leaderboard did not start: what stands above says why"
            )
        yield said.removeprefix("board at ")
    finally:
        if keep:
            print(f"kill {board.pid} stops the leaderboard\n")
        else:
            board.terminate()
            board.wait()


def _by_hand(slug: str, run: Run) -> str:
    """The plain client's own command, with this board's credentials in a shell of its own."""
    return (
        f"( . board/client.env && .venv/bin/kaggle competitions submit {slug} -f {run.submission_path} -m 'by hand' )"
    )


def _trained(project: Project, config: str, executor: str | None = None) -> Run:
    run = project.train(COMPETITION, config, executor=executor)
    print_result(run)
    return run


def _line(summary: Mapping[str, Any]) -> str:
    edges = interval(summary["pooled_interval_95"])
    return f"{number(summary['pooled'])}   95 % {edges}   chance {summary['chance']:.2f}"


def _recipe_scores(shown: Mapping[str, Mapping[str, Any]]) -> bytes:
    pooled = [summary["pooled"] for summary in shown.values()]
    intervals = [summary["pooled_interval_95"] for summary in shown.values()]
    return curves.recipe_scores(list(shown), pooled, intervals, 0.5, "auroc of all out-of-fold cells")


def _next(baseline: Run, trained: Run) -> None:
    commands: Sequence[Sequence[str]] = (
        ["make", "score", f"RUN={baseline.name}"],
        ["make", "epochs", f"RUN={trained.name}", "FOLD=1"],
        ["make", "pick", f"RUN={trained.name}", "EPOCH=4"],
        ["make", "train", f"COMP={COMPETITION}", "CONFIG=finetune"],
        ["make", "new", "COMP=my_first"],
    )
    print("next:\n" + "\n".join(f"  {shlex.join(words)}" for words in commands))
