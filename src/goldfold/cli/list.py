"""`list`: what there is to run and what has been run."""

from __future__ import annotations

from argparse import Namespace

from goldfold.experiment import run_folders as runs
from goldfold.experiment import workspace
from goldfold.io.files import read_json


def run(arguments: Namespace) -> None:
    for name in workspace.names():
        configs = sorted(path.stem for path in workspace.config_path(name, "x").parent.glob("*.yaml"))
        print(f"{name}  configs: {', '.join(configs) or 'none'}")
    for folder in runs.list_runs(workspace.RUNS):
        print(f"{runs.run_name(folder)}  {_state(folder)}")


def _state(folder) -> str:
    if not (folder / runs.FINISHED).exists():
        return "not finished: its command goes on with it"
    name, summary = next(iter(read_json(folder / "metrics.json").items()))
    return f"{name} {summary['mean']:.4f} (mean of {summary['n']} folds)"
