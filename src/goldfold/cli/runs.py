"""Verbs on the runs of a season: import-run, runs, clean, track."""

from __future__ import annotations

from argparse import Namespace

from goldfold.cli.training import print_result
from goldfold.project import Project


def import_run(arguments: Namespace, project: Project) -> None:
    run = project.import_run(
        arguments.comp,
        arguments.oof,
        arguments.test,
        name=arguments.name,
        folds=arguments.folds,
        like=arguments.like,
    )
    print_result(run)


def runs(arguments: Namespace, project: Project) -> None:
    print(project.inventory(arguments.comp, sort=arguments.sort))


def clean(arguments: Namespace, project: Project) -> None:
    print(project.clean(arguments.comp, keep=arguments.keep, weights=arguments.weights, yes=arguments.yes))


def track(arguments: Namespace, project: Project) -> None:
    print(project.run(arguments.run).track(arguments.to))
