"""Verbs that search for better scores: tune, dashboard, blend."""

from __future__ import annotations

from argparse import Namespace

from goldfold.cli.training import parallel, print_result
from goldfold.project import Project
from goldfold.report.ensemble import blends


def tune(arguments: Namespace, project: Project) -> None:
    result = project.tune(
        arguments.comp,
        arguments.config,
        trials=arguments.trials,
        hours=arguments.hours,
        study=arguments.study,
        storage=arguments.storage,
        redraws=arguments.redraws,
        prune=not arguments.unpruned,
        overrides=arguments.overrides,
        device=arguments.device,
        accept=arguments.accept,
        **parallel(arguments),
    )
    print(result)


def dashboard(arguments: Namespace, project: Project) -> None:
    project.dashboard(arguments.comp, arguments.study, storage=arguments.storage, port=arguments.port)


def blend(arguments: Namespace, project: Project) -> None:
    run = project.blend(arguments.runs, method=arguments.method, weights=arguments.weights)
    print(f"\n{blends.section(run.folder)}\n")
    print_result(run)
