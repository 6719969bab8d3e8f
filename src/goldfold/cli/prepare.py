"""`prepare`: a competition's data folder."""

from __future__ import annotations

from argparse import Namespace

from goldfold.experiment import workspace


def run(arguments: Namespace) -> None:
    competition = workspace.competition(arguments.comp)
    folder = workspace.prepare(arguments.comp, competition)
    tables = workspace.load(arguments.comp, competition)
    size = f"{len(tables.train):,} train rows, {len(tables.test):,} test rows"
    print(f"{folder}: {size}; prepared again when data.py changes or this folder is removed")
