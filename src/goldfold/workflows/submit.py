"""`submit`: a run's file to Kaggle or to the local board, and its score into the ledger; exit codes: `--help`."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment import run_folders as runs
from goldfold.experiment import workspace
from goldfold.io.files import read_json
from goldfold.kaggle import service
from goldfold.kaggle.following import Desk, Patience
from goldfold.kaggle.ledger import Attempt
from goldfold.kaggle.orders import Kernel, Order, sha256_of
from goldfold.kaggle.service import Lost, Service
from goldfold.kaggle.upload import CODES, outcome, submit
from goldfold.workflows.grade import checked

LEDGER = workspace.SUBMISSIONS / "ledger.sqlite"


def run(arguments: Namespace) -> None:
    with _reported(arguments.json):
        attempt, metric = _carried_out(arguments)
    if arguments.json:
        print(json.dumps({"outcome": outcome(attempt), **asdict(attempt)}, ensure_ascii=False))
    else:
        print(f"{told(attempt, metric)}\nledger {LEDGER.with_suffix('.csv')}")
    sys.exit(CODES[outcome(attempt)])


def _carried_out(arguments: Namespace) -> tuple[Attempt, str]:
    folder, to = runs.find_run(workspace.RUNS, arguments.run), place(arguments.to)
    order = ordered(folder, note=arguments.message, again=arguments.again, late=arguments.late)
    desk = Desk(to, LEDGER, Patience(wait_s=arguments.wait), lambda line: print(line, flush=True))
    return submit(order, desk), order.metric


def place(to: str) -> Service:
    return service.kaggle() if to == "kaggle" else service.local(workspace.BOARD)


@contextmanager
def _reported(as_json: bool) -> Iterator[None]:
    """With `--json`, progress goes to stderr and what ends the command early becomes the one line on stdout."""
    line = None
    try:
        with redirect_stdout(sys.stderr if as_json else sys.stdout):
            yield
    except GoldfoldError as error:
        word = "failed" if isinstance(error, Lost) else "refused"
        line = {"outcome": word, "status": getattr(error, "status", None), "reason": str(error)}
        if as_json:
            print(json.dumps(line, ensure_ascii=False))
        if word == "refused":
            raise
        print(f"goldfold: {error}; nothing was sent", file=sys.stderr)
        sys.exit(CODES[word])


def ordered(folder: Path, *, note: str = "", again: bool = False, late: bool = False) -> Order:
    """What to submit of a finished run; raises as `checked` does."""
    name = folder.parent.name
    competition = workspace.competition(name)
    path = workspace.SUBMISSIONS / name / f"{folder.name}.csv"
    print(f"checking {path}", flush=True)
    checked(folder)
    own = read_json(folder / "metrics.json")[competition.metric.name]
    return Order(
        competition=name,
        slug=competition.slug,
        run=folder.name,
        path=path,
        metric=competition.metric.name,
        higher_is_better=competition.metric.higher_is_better,
        cv=own["mean"],
        cv_sd=own["sd_ddof1"],
        note=note,
        again=again,
        late=late,
        kernel=_kernel(path),
    )


def _kernel(path: Path) -> Kernel | None:
    """The notebook that was made to write `path` again; None where none was, or of another file."""
    facts: dict[str, Any] = {}
    with suppress(GoldfoldError):
        facts = read_json(path.with_name(f"{path.stem}-notebook") / "notebook.json")
    return Kernel(facts["kernel"], facts["file"]) if facts.get("sha256") == sha256_of(path) else None


def told(attempt: Attempt, metric: str) -> str:
    """How an attempt ended, in a line."""
    cv = f"{metric} CV {attempt.cv:.4f}" + ("" if attempt.cv_sd is None else f" ± {attempt.cv_sd:.4f} sd over folds")
    scores = [f"{part} {value:g}" for part in ("public", "private") if (value := getattr(attempt, part)) is not None]
    again = "start the same command again later"
    return {
        "scored": f"scored: {', '.join(scores) or 'complete, without a score to see'}   {cv}",
        "failed": f"not submitted: {attempt.said}",
        "error": f"received as {attempt.ref}, and it could not be scored: {attempt.said}",
        "pending": f"received as {attempt.ref}, not scored yet: {again}, it goes on waiting",
        "unknown": f"unknown whether it arrived ({attempt.said or 'not listed'}): {again}, it looks before it sends",
    }[outcome(attempt)]
