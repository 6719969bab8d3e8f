"""Verbs that look into data and runs: audit, drift, epochs, pick, compare, ablate, query, gains, maps, log, pages."""

from __future__ import annotations

import sys
from argparse import Namespace

from goldfold.cli.training import print_result
from goldfold.project import Project


def audit(arguments: Namespace, project: Project) -> None:
    if arguments.comp:
        found = project.audit(arguments.comp, arguments.config, overrides=arguments.overrides, accept=arguments.accept)
    else:
        run = project.run(arguments.run, finished=True)
        found = run.audit(device=arguments.device, accept=arguments.accept)
    print(found)
    sys.exit(0 if found.ok else 1)


def drift(arguments: Namespace, project: Project) -> None:
    print(project.drift(arguments.comp, arguments.config, run=arguments.run, device=arguments.device))


def epochs(arguments: Namespace, project: Project) -> None:
    run = project.run(arguments.run, finished=True)
    print(
        run.atlas(
            fold=arguments.fold,
            seed=arguments.seed,
            ids=arguments.images or (),
            device=arguments.device,
            accept=arguments.accept,
        )
    )


def pick(arguments: Namespace, project: Project) -> None:
    run = project.run(arguments.run, finished=True)
    wanted = arguments.epochs if arguments.epoch is None else arguments.epoch
    print_result(run.pick(wanted, by=arguments.by, device=arguments.device, accept=arguments.accept))


def compare(arguments: Namespace, project: Project) -> None:
    print(project.compare(arguments.runs, accept=arguments.accept))


def ablate(arguments: Namespace, project: Project) -> None:
    found = project.ablate(
        arguments.comp,
        arguments.config,
        hidden=arguments.hidden,
        overrides=arguments.overrides,
        device=arguments.device,
        accept=arguments.accept,
        workers=arguments.workers,
    )
    print(found)


def query(arguments: Namespace, project: Project) -> None:
    run = project.run(arguments.run, finished=True)
    print(
        run.query(
            arguments.image or (),
            arguments.ids or (),
            text=arguments.text,
            top=arguments.top,
            device=arguments.device,
            accept=arguments.accept,
        )
    )


def gains(arguments: Namespace, project: Project) -> None:
    run = project.run(arguments.run, finished=True)
    print(run.gains(arguments.views, device=arguments.device, accept=arguments.accept))


def maps(arguments: Namespace, project: Project) -> None:
    run = project.run(arguments.run, finished=True)
    print(run.maps(arguments.side, ids=arguments.images or (), threshold=arguments.threshold))


def log(arguments: Namespace, project: Project) -> None:
    print(project.log(arguments.comp))


def report(arguments: Namespace, project: Project) -> None:
    print(project.run(arguments.run, finished=True).report())


def site(arguments: Namespace, project: Project) -> None:
    print(project.site())


def remark(arguments: Namespace, project: Project) -> None:
    run = project.run(arguments.run, finished=True)
    fields = {name: getattr(arguments, name) for name in ("conclusion", "next", "against", "category", "name")}
    print(run.remark(arguments.text, accept=arguments.accept, **fields))
