"""`demo`: the main job on real data, from nothing to submissions on a leaderboard, with labels and without."""

from __future__ import annotations

import shlex
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from goldfold.cli import host, host_add
from goldfold.errors import GoldfoldError
from goldfold.experiment import run_folders as runs
from goldfold.experiment import workspace
from goldfold.io.files import read_json, write_bytes
from goldfold.io.formatting import interval, number
from goldfold.kaggle.following import Desk, Patience
from goldfold.kaggle.upload import submit as sent
from goldfold.report.epochs import curves
from goldfold.workflows import epochs, submit
from goldfold.workflows.grade import grade
from goldfold.workflows.train import device_of, train

COMPETITION = "solar_cells"
DAILY = 20  # submissions
TOLD = {  # how the story calls a run's scores: metric -> words
    "autoencoder": {
        "auroc of pixel": "autoencoder, error of its pixels",
        "auroc of feature": "autoencoder, error of its features",
        "auroc of library": "autoencoder, library of its features",
    },
    "patch_library": {"auroc": "patches of a frozen backbone"},
}


def run(arguments: Namespace) -> None:
    print("2,624 real photographs of solar cells: which are defective?", flush=True)
    with_labels = _trained("baseline", arguments.quiet)
    own = _metrics(with_labels)["auroc"]
    hidden = grade(with_labels)
    print(f"\nOOF auroc      {_line(own)}\nhidden labels  {hidden:.4f}   on photographs outside all folds\n")

    print("And from whole cells alone, without the label of one defect, one model for both types of cell:", flush=True)
    found = {name: _trained(name, arguments.quiet) for name in TOLD}
    atlas, _ = epochs.draw(found["autoencoder"], None, None, None, arguments.quiet)
    shown = {told: _metrics(found[name])[metric] for name, each in TOLD.items() for metric, told in each.items()}
    shown["for comparison: a head trained with labels"] = own
    picture = found["patch_library"] / "recipe_scores.png"
    write_bytes(picture, _recipe_scores(shown))
    wide = max(map(len, shown))
    print("\n" + "\n".join(f"{told:{wide}}  {_line(summary)}" for told, summary in shown.items()))
    best = max(found.values(), key=lambda folder: _metrics(folder)["auroc"]["pooled"])
    print(f"{best.name}'s submission on the hidden labels {grade(best):.4f}\n")
    print(f"every epoch of the autoencoder  {atlas / 'contact_sheet.png'}\nscores side by side             {picture}\n")
    _onto_the_board([best, with_labels], arguments.keep)
    _next(with_labels, found["autoencoder"])


def _onto_the_board(submitted: Sequence[Path], keep: bool) -> None:
    """Both submissions through the real kaggle client to the local leaderboard."""
    competition = workspace.competition(COMPETITION)
    print("And onto a leaderboard of this machine, through the kaggle client that uploads to Kaggle:", flush=True)
    host_add.run(Namespace(comp=COMPETITION, daily=DAILY, deadline=None))
    with _board(keep) as address:
        desk = Desk(submit.place("local"), submit.LEDGER, Patience(), lambda line: print(f"  {line}", flush=True))
        for run in submitted:
            order = submit.ordered(run, again=True)  # a demo may run twice
            print(submit.told(sent(order, desk), competition.metric.name), flush=True)
        page = f"{address}/competitions/{competition.slug}"
        if keep:
            by_hand = _by_hand(competition.slug, submitted[-1])
            print(f"\nthe board stays up: {page}\nby hand, as to Kaggle:\n  {by_hand}")
        else:
            print(f"\nthe board was at {page}; KEEP=1 make demo leaves it up, make host starts it again\n")


@contextmanager
def _board(keep: bool) -> Iterator[str]:
    """The address of the local leaderboard, which ends with the block unless it is kept or was up before."""
    if running := host.serving(workspace.BOARD):
        yield running
        return
    command = [sys.executable, "-m", "goldfold", "host", "--port", "0"]
    board = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        said = board.stdout.readline().strip()
        if not said:
            raise GoldfoldError("the local leaderboard did not start: what stands above says why")
        yield said.removeprefix("board at ")
    finally:
        if keep:
            print(f"kill {board.pid} stops the leaderboard\n")
        else:
            board.terminate()
            board.wait()


def _by_hand(slug: str, run: Path) -> str:
    """The plain client's own command, with this board's credentials in a shell of its own."""
    file = workspace.SUBMISSIONS / COMPETITION / f"{run.name}.csv"
    return f"( . board/client.env && .venv/bin/kaggle competitions submit {slug} -f {file} -m 'by hand' )"


def _trained(config: str, quiet: bool) -> Path:
    return train(COMPETITION, config, [], device_of(None), quiet=quiet)


def _metrics(folder: Path) -> Mapping[str, Any]:
    return read_json(folder / "metrics.json")


def _line(summary: Mapping[str, Any]) -> str:
    edges = interval(summary["pooled_interval_95_bootstrap"])
    return f"{number(summary['pooled'])}   95 % {edges}   chance {summary['chance']:.2f}"


def _recipe_scores(shown: Mapping[str, Mapping[str, Any]]) -> bytes:
    pooled = [summary["pooled"] for summary in shown.values()]
    intervals = [summary["pooled_interval_95_bootstrap"] for summary in shown.values()]
    metric = "auroc of all out-of-fold cells, 95 % bootstrap"
    return curves.recipe_scores(list(shown), pooled, intervals, 0.5, metric)


def _next(baseline: Path, trained: Path) -> None:
    commands: Sequence[Sequence[str]] = (
        ["make", "score", f"RUN={runs.run_name(baseline)}"],
        ["make", "epochs", f"RUN={runs.run_name(trained)}", "FOLD=1"],
        ["make", "pick", f"RUN={runs.run_name(trained)}", "EPOCH=6"],
        ["make", "train", f"COMP={COMPETITION}", "CONFIG=finetune"],
        ["make", "new", "COMP=my_first"],
    )
    print("next:\n" + "\n".join(f"  {shlex.join(words)}" for words in commands))
