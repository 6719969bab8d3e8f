"""`prepare`: a competition's data folder."""

from __future__ import annotations

from argparse import Namespace

from goldfold.commands import project


def run(arguments: Namespace) -> None:
    competition = project.competition(arguments.comp)
    folder = project.public(arguments.comp, competition)
    tables = competition.load(folder)
    size = f"{len(tables.train):,} train rows, {len(tables.test):,} test rows"
    print(f"{folder}: {size}; remove it to prepare it again")
