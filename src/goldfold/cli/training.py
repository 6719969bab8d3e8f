"""Verbs that make runs and show results: prepare, train, capacity, lr, refit, score, grade, list, new, environment."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from goldfold.experiment.identity import intact
from goldfold.io.formatting import count
from goldfold.project import Project
from goldfold.report.run import hidden_scores, summary
from goldfold.run import Run
from goldfold.trust import confirmation


def prepare(arguments: Namespace, project: Project) -> None:
    folder, tables = project.prepare(arguments.comp, force=arguments.force), project.tables(arguments.comp)
    size = f"{len(tables.train):,} train rows, {len(tables.test):,} test rows"
    print(f"{folder}: {size}; it is prepared again when data.py or a raw file changes")


def train(arguments: Namespace, project: Project) -> None:
    run = project.train(
        arguments.comp,
        arguments.config,
        overrides=[*arguments.overrides, *(["debug=true"] if arguments.debug else [])],
        device=arguments.device,
        data_workers=arguments.data_workers,
        accept=arguments.accept,
        **parallel(arguments),
    )
    print_result(run)


def capacity(arguments: Namespace, project: Project) -> None:
    print(
        project.capacity(
            arguments.comp,
            arguments.config,
            overrides=arguments.overrides,
            device=arguments.device,
            memory=arguments.memory,
            margin=arguments.margin,
            cap=arguments.cap,
            seconds=arguments.seconds,
            variants=arguments.variants,
            predict=arguments.predict,
        )
    )


def lr(arguments: Namespace, project: Project) -> None:
    told = ("seeds", "steps", "lowest", "highest", "device", "overrides")
    chosen = {name: getattr(arguments, name) for name in told}
    print(project.learning_rate(arguments.comp, arguments.config, **chosen))


def parallel(arguments: Namespace) -> dict[str, Any]:
    """The options of parallel work, as `Project.train` and `Project.tune` take them."""
    return {name: getattr(arguments, name) for name in ("executor", "workers", "threads", "gpus")}


def print_result(run: Run) -> None:
    """Print a finished run's scores, findings and files; under torchrun the first process alone."""
    from goldfold.training.devices import rank

    if rank() == 0:
        print(summary.result(run.folder, run.submission_path))


def score(arguments: Namespace, project: Project) -> None:
    run = project.run(arguments.run, finished=True)
    print(f"{run.name}\n{run.summary()}")


def grade(arguments: Namespace, project: Project) -> None:
    run = project.run(arguments.run, finished=True)
    run.grade()
    metric = next(iter(run.metrics))
    print(f"{run.name}  {metric}\n{hidden_scores.text(run.folder)}")
    found = [each for each in run.findings if each.code == confirmation.CODE]
    if found:
        print("\n".join(f"\n{each}" for each in found))
    else:
        print("choose between runs by CV: each look at the hidden labels makes their score more optimistic")


def refit(arguments: Namespace, project: Project) -> None:
    run = project.run(arguments.run, finished=True)
    print(
        run.refit(
            epochs=arguments.epochs,
            seeds=arguments.seeds or (),
            with_folds=arguments.with_folds,
            device=arguments.device,
            accept=arguments.accept,
        )
    )


def list(arguments: Namespace, project: Project) -> None:
    for name in project.competitions():
        print(f"{name}  configs: {', '.join(project.configs(name)) or 'none'}")
    for run in project.runs():
        print(f"{run.name}  {_state(run)}")


def _state(run: Run) -> str:
    if not run.finished:
        return "not finished: run its command again to resume"
    if damage := intact.fault(run.folder):
        return f"damaged: {damage}"
    metric, own = next(iter(run.metrics.items()))
    return f"{metric} {own['mean']:.4f} (mean of {count(own['n'], 'fold')})"


def environment(arguments: Namespace, project: Project) -> None:
    print(project.environment())


def new(arguments: Namespace, project: Project) -> None:
    for path in project.new(arguments.comp, arguments.kind):
        print(path)
    print(f"next: read your data in competitions/{arguments.comp}/data.py, then make train COMP={arguments.comp}")
