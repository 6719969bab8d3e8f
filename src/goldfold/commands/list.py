"""`list`: what there is to run and what has been run."""

from __future__ import annotations

from argparse import Namespace

from goldfold.commands import project
from goldfold.engine import runs
from goldfold.files import read_json


def run(arguments: Namespace) -> None:
    for name in project.names():
        configs = sorted(path.stem for path in project.config_path(name, "x").parent.glob("*.yaml"))
        print(f"{name}  configs: {', '.join(configs) or 'none'}")
    for folder in runs.listed(project.RUNS):
        print(f"{runs.run_name(folder)}  {_state(folder)}")


def _state(folder) -> str:
    if not (folder / runs.FINISHED).exists():
        return "not finished: its command goes on with it"
    name, summary = next(iter(read_json(folder / "metrics.json").items()))
    return f"{name} {summary['mean']:.4f} (mean of {summary['n']} folds)"
