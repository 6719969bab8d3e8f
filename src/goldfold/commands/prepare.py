"""`prepare`: a competition's data folder."""

from __future__ import annotations

from argparse import Namespace

from goldfold.commands import project


def run(arguments: Namespace) -> None:
    competition = project.competition(arguments.comp)
    folder = project.prepare(arguments.comp, competition)
    tables = project.load(arguments.comp, competition)
    size = f"{len(tables.train):,} train rows, {len(tables.test):,} test rows"
    print(f"{folder}: {size}; prepared again when data.py changes or this folder is removed")
