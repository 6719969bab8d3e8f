"""Write a run or a blend as a Kaggle data set and script that predict without internet, and check them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import goldfold
from goldfold.ensemble.kept_blender import member_folders
from goldfold.errors import GoldfoldError, way_on
from goldfold.experiment import run_folders as runs
from goldfold.experiment.setup import CODE_CHANGED, Prepared, rebuild
from goldfold.experiment.workspace import Workspace
from goldfold.export.rows import exported
from goldfold.io.files import read_json, write_json, write_text
from goldfold.kaggle import bundles, credentials, notebooks, time_limit
from goldfold.kaggle.time_limit import TimeLimit
from goldfold.submission import writing as submissions
from goldfold.training.devices import choose_device
from goldfold.trust.audits.code import code_changed
from goldfold.workflows.conclude import add_findings
from goldfold.workflows.delivery.notebook_check import Bundle, Checked, incomplete, run_notebook
from goldfold.workflows.delivery.notebook_prediction import describe

NOBODY = "INSERT_USER"
DIFFERS = "notebook_differs"  # code of the error, and the word that accepts it

Files = list[tuple[str, Path | bytes]]


@dataclass(frozen=True)
class Notebook:
    """The written notebook.

    folder: data set and kernel to push. compiled: packages that Kaggle itself must have. checked: what it predicted on
    this machine, and with what. time: whether it predicts the test rows within Kaggle's hours.
    """

    folder: Path
    compiled: Sequence[str]
    checked: str
    time: TimeLimit

    @property
    def text(self) -> str:
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        lines = [self.checked, f"time: {self.time}", *(f"{path}  {path.stat().st_size:,} bytes" for path in files)]
        (archive,) = (self.folder / "dataset").glob(f"*{notebooks.ARCHIVE}")
        lines.append(f"in the data set: {bundles.contents(archive)}")
        lines += [
            f"package {name} is compiled for this machine and is not included: it must be installed on Kaggle"
            for name in self.compiled
        ]
        return "\n".join([*lines, _next_steps(self.folder)])

    def __str__(self) -> str:
        return self.text


def notebook(
    workspace: Workspace,
    run: Path,
    *,
    accept: Sequence[str] = (),
    hours: float = time_limit.HOURS,
    rows: int | None = None,
    export: bool = False,
) -> Notebook:
    """Write a finished run's or blend's notebook; it predicts in an empty folder on this machine first, to check it.

    accept: codes of findings that do not stop it: code_changed, notebook_differs. hours: that the competition gives a
        notebook. rows: of its hidden test set, if it has more than the test table. export: predict by the run's export,
    without its weights.

    Raises:
        GoldfoldError: the run has no submission (`no_submission`), the archive would hold photographs that nobody else
            may see (`images_private`), its code or data has changed since, the notebook
            needs a file that it does not have (`notebook_incomplete`), fails otherwise (`notebook_fails`), or predicts
            something else than the run did (`notebook_differs`). It has no export (`not_exported`).
    """
    time_limit.check(hours, rows)
    _refuse_private_images(workspace, run.parent.name)
    if export and not exported(run):
        raise GoldfoldError(
            "not_exported",
            f"run '{runs.run_name(run)}' has no export (blends never have one): write it with make export "
            f"RUN={runs.run_name(run)}, or leave EXPORT out",
        )
    own = workspace.submission_path(run)
    if not own.exists():
        raise GoldfoldError(
            "no_submission",
            f"run '{runs.run_name(run)}' has no submission, so there is nothing to predict: choose another run",
        )
    submissions.check_unchanged(own, runs.run_name(run))
    device = choose_device()
    found = {each: rebuild(workspace, each, device, accept) for each in _with_models(workspace, run)}
    changes = [change for each in found.values() for change in each.code_changes]
    folder = own.with_name(f"{run.name}-notebook")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        bundle = _bundle(workspace, run, partial, hours)
        _write_metadata(bundle, run, next(iter(found.values())))
        files = list(notebooks.exported_files(run)) if export else _files(run, found)
        files += _shared_files(workspace, run, found)
        checked = _packed_and_checked(workspace, bundle, run, found, files)
        _refuse_differences(bundle, checked, {*accept, *(CODE_CHANGED for _ in changes)})
        compiled = _complete(bundle, run, checked)
        known = len(next(iter(found.values())).experiment.tables.test)
        took = time_limit.estimate(checked.seconds, known, hours, rows)
        record = read_json(bundle.folder / "notebook.json", dict)
        write_json(bundle.folder / "notebook.json", {**record, "time": took.facts()})
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    add_findings(workspace, run, code_changed(changes, "notebook"))
    return Notebook(folder, compiled, f"checked in an empty folder: {checked.told}\n{describe(checked.origins)}", took)


def _refuse_private_images(workspace: Workspace, name: str) -> None:
    """Refuse to pack private images: those of a competition on Kaggle are not packed, but read there."""
    if workspace.competition(name).private_images and _is_hosted(workspace, name):
        raise GoldfoldError(
            "images_private",
            f"a notebook packs the images that it predicts, and those of '{name}' are private (private_images=True): "
            "keep them here, and submit the run's own file with make submit",
        )


def _is_hosted(workspace: Workspace, name: str) -> bool:
    """Whether a competition keeps hidden labels here, so that Kaggle does not have its data."""
    return (workspace.data(name) / "private").exists()


def _with_models(workspace: Workspace, run: Path) -> list[Path]:
    """The run, or the runs with models of a blend."""
    if not (run / runs.BLEND).exists():
        return [run]
    if files := read_json(run / runs.BLEND, dict).get("files"):
        raise GoldfoldError(
            "imported_has_no_models",
            f"blend '{runs.run_name(run)}' has {', '.join(files)} among its members, of which there are no models: "
            "blend trained runs, or submit its file with make submit",
        )
    members = [runs.open_run(workspace, runs.run_name(each)) for each in member_folders(run)]
    return list(dict.fromkeys(leaf for each in members for leaf in _with_models(workspace, each)))


def _blends(run: Path) -> list[Path]:
    """The run and the blends among its members, if it is a blend."""
    if not (run / runs.BLEND).exists():
        return []
    return [run, *(blend for each in member_folders(run) for blend in _blends(each))]


def _files(run: Path, found: Mapping[Path, Prepared]) -> Files:
    """The files of the archive that predict with a run's weights."""
    files: Files = [pair for each in [*_blends(run), *found] for pair in notebooks.run_files(each)]
    return files + [pair for each in found.values() for pair in notebooks.hub_files(each.config.params)]


def _shared_files(workspace: Workspace, run: Path, found: Mapping[Path, Prepared]) -> Files:
    """The code of goldfold and of the competition, and the run's submission."""
    files: Files = list(bundles.folder_files(Path(goldfold.__file__).parent, "src/goldfold"))
    modules = {name for each in found.values() for name in each.code()}
    for name in sorted({module.split(".")[1] for module in modules if module.startswith("competitions.")}):
        files += bundles.folder_files(workspace.root / "competitions" / name, f"competitions/{name}")
    own = workspace.submission_path(run)
    return [*files, (f"submissions/{run.parent.name}/{own.name}", own)]


def _bundle(workspace: Workspace, run: Path, folder: Path, hours: float) -> Bundle:
    """The bundle to write into `folder`; a competition that keeps hidden labels here is not on Kaggle."""
    name = run.parent.name
    hosted = _is_hosted(workspace, name)
    if not hosted and not workspace.raw(name).exists():
        raise GoldfoldError(
            "raw_data_missing",
            f"a notebook prepares its data from Kaggle's files, and {workspace.raw(name)} does not exist, so it cannot "
            f"be checked: make download COMP={name}",
        )
    return Bundle(
        name=name,
        folder=folder,
        own=workspace.submission_path(run),
        root=workspace.root.resolve(),
        raw=workspace.raw(name),
        slug=None if hosted else workspace.competition(name).slug,
        hours=hours,
    )


def _archive(bundle: Bundle, run: Path) -> Path:
    return bundle.folder / "dataset" / f"{notebooks.kernel_slug(run)}{notebooks.ARCHIVE}"


def _packed_and_checked(
    workspace: Workspace, bundle: Bundle, run: Path, found: Mapping[Path, Prepared], files: Files
) -> Checked:
    """Pack a bundle and run it: without training images, then with those that a refit read, then with all.

    The first one that predicts what the run did is kept, but nothing is refit without training images.
    """
    archive = _archive(bundle, run)
    place, tables = workspace.data(bundle.name), next(iter(found.values())).experiment.tables

    def checked_with(read: Collection[str] | None) -> Checked:
        workspace.observer.line(f"predicting with the notebook of {run} in an empty folder ...")
        data = [] if bundle.slug else bundles.data_files(place, tables, read)
        bundles.pack(archive, [*files, *data])
        return run_notebook(bundle)

    with suppress(GoldfoldError):  # as where gray images cannot be used: then all are needed
        if not bundle.slug and bundles.has_training_images(tables):
            first = checked_with(())
            if first.same and not first.origins["refit"]:
                return first
            second = checked_with(first.read)
            if second.rounded:
                return second
    return checked_with(None)


def _refuse_differences(bundle: Bundle, checked: Checked, accepted: Collection[str]) -> None:
    """Refuse a notebook that predicts something else, since it lacks a file or for another reason."""
    if checked.rounded:
        return
    for path in checked.reached:
        raise incomplete(bundle, path)
    if not {DIFFERS, CODE_CHANGED} & set(accepted):
        raise GoldfoldError(
            DIFFERS,
            f"the notebook predicts something else in an empty folder than the run did ({checked.told}): look for what "
            f"its recipe reads or draws anew, or write it nevertheless ({way_on(DIFFERS)})",
        )


def _write_metadata(bundle: Bundle, run: Path, found: Prepared) -> None:
    """Write the script, and what Kaggle's client needs to know of data set and kernel."""
    owner, slug = _owner(), found.experiment.competition.slug
    dataset = notebooks.dataset_metadata(owner, run, slug)
    gpu = found.experiment.runtime.device.type == "cuda"
    kernel = notebooks.kernel_metadata(owner, run, bundle.slug, gpu)
    write_json(bundle.folder / "dataset" / "dataset-metadata.json", dataset)
    write_json(bundle.folder / "kernel" / "kernel-metadata.json", kernel)
    facts = {
        "kernel": kernel["id"],
        "file": "submission.csv",
        "run": runs.run_name(run),
        "sha256": hashlib.sha256(bundle.own.read_bytes()).hexdigest(),
        "dataset": dataset["id"],
        "competition": slug,
    }
    write_json(bundle.folder / "notebook.json", facts)
    _write_script(bundle, run, slug, "what the check on the machine that wrote it finds")


def _write_script(bundle: Bundle, run: Path, slug: str, origins: str) -> None:
    archive = _archive(bundle, run).name
    script = notebooks.kernel_script(bundle.name, run, slug, archive, bool(bundle.slug), origins, bundle.hours)
    write_text(bundle.folder / "kernel" / notebooks.SCRIPT, script)


def _complete(bundle: Bundle, run: Path, checked: Checked) -> list[str]:
    """Add the packages that the notebook imported and what predicts; returns the packages that cannot be added."""
    packages, compiled = notebooks.package_files(checked.modules)
    bundles.pack(_archive(bundle, run), packages, more=True)
    facts = read_json(bundle.folder / "notebook.json", dict)
    _write_script(bundle, run, facts["competition"], describe(checked.origins))
    write_json(bundle.folder / "notebook.json", {**facts, "origins": describe(checked.origins)})
    return compiled


def _owner() -> str:
    """Kaggle user name from the environment or kaggle.json, else NOBODY."""
    if name := os.environ.get("KAGGLE_USERNAME"):
        return name
    for folder in credentials.folders():
        if (folder / "kaggle.json").exists():
            return read_json(folder / "kaggle.json").get("username", NOBODY)
    return NOBODY


def _next_steps(folder: Path) -> str:
    facts = read_json(folder / "notebook.json", dict)
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
