"""Commands between a run and a leaderboard: submit, download, notebook, export, ledger, rank."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict

from goldfold.errors import GoldfoldError
from goldfold.kaggle.service import Lost
from goldfold.kaggle.upload import EXIT_CODES
from goldfold.project import Project


def submit(arguments: Namespace, project: Project) -> None:
    with _reported(arguments.json):
        run = project.run(arguments.run, finished=True)
        options = {name: getattr(arguments, name) for name in ("refit", "again", "late", "wait", "accept")}
        submitted = run.submit(arguments.to, arguments.message, **options)
    if arguments.json:
        print(json.dumps({"outcome": submitted.outcome, **asdict(submitted.attempt)}, ensure_ascii=False))
    else:
        print(submitted)
    sys.exit(EXIT_CODES[submitted.outcome])


@contextmanager
def _reported(as_json: bool) -> Iterator[None]:
    """With `--json`, send progress to stderr and print an error as one JSON line on stdout."""
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
        sys.exit(EXIT_CODES[word])


def download(arguments: Namespace, project: Project) -> None:
    folder, tables = project.download(arguments.comp, arguments.to), project.tables(arguments.comp)
    print(f"{folder}: {len(tables.train):,} train rows, {len(tables.test):,} test rows")


def notebook(arguments: Namespace, project: Project) -> None:
    run = project.run(arguments.run, finished=True)
    options = {name: getattr(arguments, name) for name in ("accept", "hours", "rows", "export")}
    print(run.notebook(**options))


def export(arguments: Namespace, project: Project) -> None:
    run = project.run(arguments.run, finished=True)
    options = {name: getattr(arguments, name) for name in ("tolerance", "measure", "accept")}
    print(run.export(arguments.format, **options))


def ledger(arguments: Namespace, project: Project) -> None:
    print(project.ledger(arguments.comp))


def rank(arguments: Namespace, project: Project) -> None:
    print(project.run(arguments.run, finished=True).rank(arguments.board, arguments.score))
