"""`notebook`: a run as a data set and a script for Kaggle; and what that script does there."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

import goldfold
from goldfold.data import fold_tables
from goldfold.errors import GoldfoldError
from goldfold.experiment import run_folders as runs
from goldfold.experiment import workspace
from goldfold.experiment.fits import Experiment
from goldfold.experiment.setup import Prepared, again, code_changed, config_of, prepared
from goldfold.io.files import read_json, write_json, write_text
from goldfold.kaggle import notebooks
from goldfold.submission import writing as submissions
from goldfold.workflows.conclude import note
from goldfold.workflows.train import device_of

NOBODY = "INSERT_USER"


def run(arguments: Namespace) -> None:
    folder, compiled = write(runs.find(workspace.RUNS, arguments.run), arguments.accept)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        print(f"{path}  {path.stat().st_size:,} bytes")
    for name in compiled:
        print(f"package {name} was compiled for this machine and is not packed: it must be there on Kaggle")
    print(_next_steps(folder))


def write(run: Path, accept: Sequence[str] = ()) -> tuple[Path, list[str]]:
    """Write a finished run's bundle; returns its folder, and the packages that Kaggle must have and may lack.

    The kept weights predict here first, so that what is packed is known to work.

    Raises:
        GoldfoldError: the run has no submission, or its code or data has changed since.
    """
    name, own = run.parent.name, workspace.SUBMISSIONS / run.parent.name / f"{run.name}.csv"
    if not own.exists():
        raise GoldfoldError(
            f"run '{runs.run_name(run)}' has no submission that a notebook could make: choose another run"
        )
    submissions.check_unchanged(own)
    found = again(run, device_of(None), accept)
    print(f"predicting with the kept weights of {run} ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        told = _predict(found.experiment, run, Path(folder), own)
    print(told)
    note(run, code_changed(found.code_changes, "notebook"))
    files, compiled = notebooks.package_files()
    files += [*notebooks.hub_files(found.config.params), *notebooks.run_files(run), *_project_files(found)]
    files.append((f"submissions/{name}/{own.name}", own))
    return _written(found, run, files, own), compiled


def predict(name: str, run: str, source: Path | None, output: Path) -> None:
    """Write `output`/submission.csv with the weights of a run, in an unpacked bundle as the current folder.

    source: the competition's files as Kaggle mounts them; None where the bundle has the prepared data.
    """
    if source:
        workspace.data(name).mkdir(parents=True)
        (workspace.data(name) / "raw").symlink_to(source)
    folder = workspace.RUNS / name / run
    experiment = prepared(name, config_of(folder), device_of(None)).experiment
    print(_predict(experiment, folder, output, workspace.SUBMISSIONS / name / f"{run}.csv"))


def _predict(experiment: Experiment, run: Path, output: Path, own: Path) -> str:
    """Write the submission of a run's kept weights into `output`; says what became of it."""
    kept = pd.read_csv(run / "folds.csv", dtype=str, keep_default_na=False, encoding="utf-8")
    folds = fold_tables.folds_from_table(kept, experiment.tables.train["id"])
    frame = notebooks.submission(replace(experiment, folds=folds), run)
    path = output / "submission.csv"
    submissions.write(frame, path, {"run": runs.run_name(run)})
    return f"{path.name}: {len(frame):,} rows, checked; {notebooks.compared(path, own)}"


def _project_files(found: Prepared) -> Iterator[tuple[str, Path]]:
    """The package, the competition with those it imports, and the prepared data where Kaggle has not the raw one."""
    yield from notebooks.folder_files(Path(goldfold.__file__).parent, "src/goldfold")
    modules = [module.split(".") for module in sys.modules if module.startswith("competitions.")]
    for name in sorted({parts[1] for parts in modules}):
        yield from notebooks.folder_files(workspace.ROOT / "competitions" / name, f"competitions/{name}")
    if _hosts_itself(found.name):
        yield from notebooks.folder_files(workspace.data(found.name) / "public", f"data/{found.name}/public")


def _hosts_itself(name: str) -> bool:
    """Whether the test rows are of our own making, so that Kaggle has none."""
    return (workspace.data(name) / "private").exists()


def _written(found: Prepared, run: Path, files: list[tuple[str, Path]], own: Path) -> Path:
    """Write the bundle beside its place and rename it, so that it is whole or absent."""
    competition, owner, slug = found.experiment.competition, _owner(), notebooks.slug(run)
    reads_input = not _hosts_itself(found.name)
    folder = workspace.SUBMISSIONS / found.name / f"{run.name}-notebook"
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    dataset = notebooks.dataset_metadata(owner, run, competition.slug)
    gpu = found.experiment.runtime.device.type == "cuda"
    kernel = notebooks.kernel_metadata(owner, run, competition.slug if reads_input else None, gpu)
    archive = f"{slug}{notebooks.ARCHIVE}"
    notebooks.pack(partial / "dataset" / archive, files)
    write_json(partial / "dataset" / "dataset-metadata.json", dataset)
    script = notebooks.script(found.name, run, competition.slug, archive, reads_input)
    write_text(partial / "kernel" / notebooks.SCRIPT, script)
    write_json(partial / "kernel" / "kernel-metadata.json", kernel)
    facts = {
        "kernel": kernel["id"],
        "file": "submission.csv",
        "run": runs.run_name(run),
        "sha256": hashlib.sha256(own.read_bytes()).hexdigest(),
        "dataset": dataset["id"],
        "competition": competition.slug,
    }
    write_json(partial / "notebook.json", facts)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    return folder


def _owner() -> str:
    """The user's name on Kaggle where environment or kaggle.json tells it."""
    if name := os.environ.get("KAGGLE_USERNAME"):
        return name
    given = os.environ.get("KAGGLE_CONFIG_DIR")
    for folder in [Path(given)] if given else [Path.home() / ".kaggle", Path.home() / ".config" / "kaggle"]:
        if (folder / "kaggle.json").exists():
            return read_json(folder / "kaggle.json").get("username", NOBODY)
    return NOBODY


def _next_steps(folder: Path) -> str:
    facts = read_json(folder / "notebook.json")
    page = f"https://www.kaggle.com/competitions/{facts['competition']}"
    lines = [
        f"next: kaggle datasets create -p {folder / 'dataset'}",
        f"then: kaggle kernels push -p {folder / 'kernel'}, once kaggle datasets status {facts['dataset']} says ready",
        f"only the browser can accept the competition's rules: {page}/rules",
    ]
    if not read_json(folder / "kernel" / "kernel-metadata.json")["competition_sources"]:
        lines[2] = "its test rows are in the data set, since they were made here: Kaggle has no such competition"
    if facts["kernel"].startswith(NOBODY):
        lines.insert(
            0, f"no user of Kaggle is known: set KAGGLE_USERNAME and start again, or replace {NOBODY} in the JSON"
        )
    return "\n".join(lines)
