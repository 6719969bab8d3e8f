"""Write a run as a Kaggle data set and script that predict without internet, and run that prediction on Kaggle."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

import goldfold
from goldfold.data import fold_tables
from goldfold.errors import GoldfoldError
from goldfold.experiment import run_folders as runs
from goldfold.experiment.fits import Experiment
from goldfold.experiment.setup import Prepared, config_of_run, prepare_experiment, rebuild
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json, write_json, write_text
from goldfold.kaggle import notebooks
from goldfold.submission import writing as submissions
from goldfold.training.devices import choose_device
from goldfold.trust.audits.code import code_changed
from goldfold.workflows.conclude import add_findings

NOBODY = "INSERT_USER"


@dataclass(frozen=True)
class Notebook:
    """The written notebook. folder: data set and kernel to push. compiled: packages that Kaggle itself must have."""

    folder: Path
    compiled: Sequence[str]

    @property
    def text(self) -> str:
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        lines = [f"{path}  {path.stat().st_size:,} bytes" for path in files]
        lines += [
            f"package {name} is compiled for this machine and is not included: it must be installed on Kaggle"
            for name in self.compiled
        ]
        return "\n".join([*lines, _next_steps(self.folder)])

    def __str__(self) -> str:
        return self.text


def notebook(workspace: Workspace, run: Path, *, accept: Sequence[str] = ()) -> Notebook:
    """Write a finished run's notebook; the saved weights predict on this machine first, to test them.

    accept: codes of findings that do not stop it, such as code_changed.

    Raises:
        GoldfoldError: the run has no submission (`no_submission`), or its code or data has changed since.
    """
    own = workspace.submission_path(run)
    if not own.exists():
        raise GoldfoldError(
            "no_submission",
            f"run '{runs.run_name(run)}' has no submission, so there is nothing to predict: choose another run",
        )
    submissions.check_unchanged(own)
    found = rebuild(workspace, run, choose_device(), accept)
    workspace.observer.line(f"predicting with the kept weights of {run} ...")
    with tempfile.TemporaryDirectory() as folder:
        told = _predict(found.experiment, run, Path(folder), own)
    workspace.observer.line(told)
    add_findings(workspace, run, code_changed(found.code_changes, "notebook"))
    files, compiled = notebooks.package_files()
    files += [*notebooks.hub_files(found.config.params), *notebooks.run_files(run), *_project_files(found)]
    files.append((f"submissions/{found.name}/{own.name}", own))
    return Notebook(_written(found, run, files, own), compiled)


def predict(name: str, run: str, source: Path | None, output: Path) -> str:
    """Write `output`/submission.csv with the weights of a run, in an unpacked bundle as the current folder.

    source: the competition's files as Kaggle mounts them; None if the bundle has the prepared data. Returns what became
    of it.
    """
    workspace = Workspace()
    if source:
        workspace.data(name).mkdir(parents=True)
        (workspace.data(name) / "raw").symlink_to(source)
    folder = workspace.runs / name / run
    experiment = prepare_experiment(workspace, name, config_of_run(workspace, folder), choose_device()).experiment
    return _predict(experiment, folder, output, workspace.submission_path(folder))


def _predict(experiment: Experiment, run: Path, output: Path, own: Path) -> str:
    """Write the submission that the saved weights predict into `output`; returns a summary line."""
    kept = pd.read_csv(run / "folds.csv", dtype=str, keep_default_na=False, encoding="utf-8")
    folds = fold_tables.folds_from_table(kept, experiment.tables.train["id"].tolist())
    frame = notebooks.predict_submission(replace(experiment, folds=folds), run)
    path = output / "submission.csv"
    submissions.write(frame, path, {"run": runs.run_name(run)})
    return f"{path.name}: {len(frame):,} rows, checked; {notebooks.compare_submissions(path, own)}"


def _project_files(found: Prepared) -> Iterator[tuple[str, Path]]:
    """Files of the package, of all imported competitions, and prepared data that is not on Kaggle."""
    yield from notebooks.folder_files(Path(goldfold.__file__).parent, "src/goldfold")
    modules = [module.split(".") for module in sys.modules if module.startswith("competitions.")]
    for name in sorted({parts[1] for parts in modules}):
        yield from notebooks.folder_files(found.workspace.root / "competitions" / name, f"competitions/{name}")
    if _hosts_itself(found):
        yield from notebooks.folder_files(found.workspace.data(found.name) / "public", f"data/{found.name}/public")


def _hosts_itself(found: Prepared) -> bool:
    """Whether the competition keeps its hidden labels here, so that Kaggle does not have the test rows."""
    return (found.workspace.data(found.name) / "private").exists()


def _written(found: Prepared, run: Path, files: list[tuple[str, Path]], own: Path) -> Path:
    """Write the notebook next to its final place and rename it, so that it is complete or absent."""
    competition, owner, slug = found.experiment.competition, _owner(), notebooks.kernel_slug(run)
    reads_input = not _hosts_itself(found)
    folder = found.workspace.submissions / found.name / f"{run.name}-notebook"
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    dataset = notebooks.dataset_metadata(owner, run, competition.slug)
    gpu = found.experiment.runtime.device.type == "cuda"
    kernel = notebooks.kernel_metadata(owner, run, competition.slug if reads_input else None, gpu)
    archive = f"{slug}{notebooks.ARCHIVE}"
    notebooks.pack(partial / "dataset" / archive, files)
    write_json(partial / "dataset" / "dataset-metadata.json", dataset)
    script = notebooks.kernel_script(found.name, run, competition.slug, archive, reads_input)
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
    """Kaggle user name from the environment or kaggle.json, else NOBODY."""
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
        f"accept the competition's rules in a browser: {page}/rules",
    ]
    if not read_json(folder / "kernel" / "kernel-metadata.json")["competition_sources"]:
        lines[2] = "its test rows are in the data set, because Kaggle does not have this competition"
    if facts["kernel"].startswith(NOBODY):
        lines.insert(
            0,
            f"the Kaggle user is unknown: set KAGGLE_USERNAME and run this again, or edit {NOBODY} in the JSON files",
        )
    return "\n".join(lines)
