"""A run as a Kaggle data set and script; the saved weights predict the test rows there without internet.

The data set is one archive with the layout of a project: the package, the competition, the run's config, folds and
weights, and packages that Kaggle's image lacks. It is a single file, because some uploads lose folders, empty files and
non-ASCII names. Kaggle does not unpack its suffix.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldfold.ensemble.kept_blender import has_weights, member_folders
from goldfold.errors import GoldfoldError
from goldfold.experiment.run_folders import BLEND, DECISIONS, THRESHOLDS, run_name
from goldfold.experiment.saved_epochs import last_stage_checkpoints
from goldfold.experiment.teachers.find import ARRAYS, FACTS
from goldfold.export import rows as exports
from goldfold.io.files import read_json
from goldfold.kaggle.bundles import folder_files
from goldfold.kaggle.time_limit import HOURS
from goldfold.nn.backbones import PACKAGED
from goldfold.nn.pretrained import text_packages
from goldfold.nn.pretrained.model_sources import FOLDER, HUB
from goldfold.params import Role, values
from goldfold.training import checkpoints

if TYPE_CHECKING:
    from pandas import DataFrame
    from pydantic import BaseModel

ARCHIVE = ".goldfold"
SCRIPT = "predict.py"
CLOSE = 1e-3  # relative and absolute difference of numbers that a refit or another order of sums explains
FLIPPED = 0.01  # share of rows whose class or pixels may flip by rounding
# Packages of Kaggle's image (github.com/Kaggle/docker-python, installed_cpu_packages.txt), with their dependencies.
ON_KAGGLE = """
    torch torchvision timm albumentations opencv-python-headless torchmetrics pytorch-lightning kornia einops
    transformers datasets accelerate sentence-transformers huggingface-hub safetensors tensorboard
    numpy pandas scipy scikit-learn scikit-image matplotlib seaborn plotly pillow imageio tifffile pydicom pycocotools
    lightgbm xgboost catboost statsmodels umap-learn imbalanced-learn mlxtend optuna polars pyarrow h5py numba librosa
    pydantic pyyaml filelock tqdm psutil joblib requests rich ipython pytest setuptools pip wheel six
"""


def chosen_checkpoint(place: Path) -> checkpoints.Checkpoint | None:
    """Checkpoint of the epoch that predicts; None if the fit has no epochs."""
    epoch = read_json(place / "fit.json")["epoch"]
    if epoch is None:
        return None
    found = [checkpoint for checkpoint in last_stage_checkpoints(place) if checkpoint.row["epoch"] == epoch]
    if not found:
        raise GoldfoldError(
            "weights_missing", f"{place} has no weights of epoch {epoch}, which predicts: train the run again"
        )
    return found[0]


def compare_submissions(path: Path, own: Path) -> str:
    """Describe how the submission at `path` differs from the run's `own`, in one clause."""
    if path.read_bytes() == own.read_bytes():
        return "the same bytes as the run's own submission"
    here, there = _texts(path), _texts(own)
    key = here.columns[0]
    if not here[key].equals(there[key]):
        return "other ids than in the run's own submission, as where the test set is another"
    changed = int((here != there).any(axis=1).sum())
    numbers = (_numbers(each.drop(columns=key)) for each in (here, there))
    largest = float(np.abs(np.nan_to_num(next(numbers) - next(numbers))).max(initial=0))
    return f"{changed:,} of {len(here):,} rows differ from the run's own submission, numbers by {largest:.1g} at most"


def differ_by_rounding(path: Path, own: Path) -> bool:
    """Whether two submissions have the same ids, and at most 1 % of their rows differ by more than rounding."""
    here, there = _texts(path), _texts(own)
    if here.shape != there.shape or not here.iloc[:, 0].equals(there.iloc[:, 0]):
        return False
    close = np.isclose(_numbers(here), _numbers(there), rtol=CLOSE, atol=CLOSE)
    return float((~close & (here != there).to_numpy()).any(axis=1).mean()) <= FLIPPED


def _texts(path: Path) -> DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _numbers(table: DataFrame) -> np.ndarray:
    return table.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)


def kernel_script(
    name: str, run: Path, slug: str, archive: str, reads_input: bool, origins: str = "", hours: float = HOURS
) -> str:
    """Source code of the notebook, in ASCII.

    reads_input: True if the test rows are in the competition's files on Kaggle, False if they are in the archive.
    origins: what predicts them, such as kept weights. hours: that Kaggle gives the notebook.
    """
    text = Template(Path(__file__).with_name("notebook.tmpl").read_text(encoding="utf-8"))
    source = ascii(slug) if reads_input else None
    names = {"archive": ascii(archive), "name": ascii(name), "run": ascii(run.name)}
    return text.substitute(
        slug=slug, source=source, hours=float(hours), origins=textwrap.fill(f"What predicts: {origins}.", 118), **names
    )


def run_files(run: Path) -> Iterator[tuple[str, Path]]:
    """(name in the archive, file) of a run's files for prediction: config, folds, weights; of a blend its weights."""
    files = [run / "config.json", run / "folds.csv"]
    if (run / BLEND).exists():
        files = [run / "config.json", run / BLEND]
        files += [run / name for name in (THRESHOLDS, DECISIONS) if (run / name).exists()]
        if not has_weights(run):
            files += [folder / name for folder in member_folders(run) for name in ("oof.npy", "oof_ids.csv")]
        return ((f"runs/{path.relative_to(run.parent.parent).as_posix()}", path) for path in files)
    files += [run / name for name in (THRESHOLDS, DECISIONS, ARRAYS, FACTS) if (run / name).exists()]
    for fit in sorted(run.glob("fold*-seed*/fit.json")):
        files.append(fit)
        if checkpoint := chosen_checkpoint(fit.parent):
            files += [checkpoint.path, checkpoint.path.with_suffix(".safetensors")]
    return ((f"runs/{run_name(run)}/{path.relative_to(run).as_posix()}", path) for path in files)


def exported_files(run: Path) -> Iterator[tuple[str, Path]]:
    """(name in the archive, file) of a run's export, and of what the writer of its submission reads."""
    names = ("config.json", "folds.csv", THRESHOLDS, DECISIONS)
    files = [*(run / name for name in names if (run / name).exists()), *sorted((run / exports.FOLDER).iterdir())]
    return ((f"runs/{run_name(run)}/{path.relative_to(run).as_posix()}", path) for path in files)


def package_files(modules: Iterable[str]) -> tuple[list[tuple[str, Path]], list[str]]:
    """Packages of imported modules that Kaggle's image lacks.

    Returns (name in the archive, file) for the pure Python packages, and the names of the compiled packages, which run
    only on this kind of machine.
    """
    owners = metadata.packages_distributions()
    imported = {_normal(owner) for module in modules for owner in owners.get(module, ())}
    files, compiled = [], []
    for name in sorted(imported - _with_needs(ON_KAGGLE.split()) - {"goldfold"}):
        own = {path.as_posix(): Path(path.locate()) for path in metadata.distribution(name).files or ()}
        if any(path.suffix in (".so", ".pyd", ".dylib") for path in own.values()):
            compiled.append(name)
            continue
        within = {at: path for at, path in own.items() if ".." not in at and path.suffix != ".pyc" and path.is_file()}
        files += [
            (f"packages/{at}", path) for at, path in within.items() if ".dist-info/" not in at or "METADATA" in at
        ]
    return files, compiled


def _with_needs(names: Iterable[str]) -> set[str]:
    """These distributions and all their dependencies."""
    known, waiting = set(), [_normal(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in known:
            continue
        known.add(name)
        try:
            needs = metadata.requires(name) or ()
        except metadata.PackageNotFoundError:
            continue
        waiting += [_normal(re.split(r"[^\w.-]", need, maxsplit=1)[0]) for need in needs if "extra ==" not in need]
    return known


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def hub_files(params: BaseModel) -> list[tuple[str, Path]]:
    """(name in the archive, file) of what a recipe starts from: downloads, files of the project, files of packages.

    Raises:
        GoldfoldError: downloaded weights are no longer on this machine (`pretrained_weights_missing`);
            `weights_outside_project`.
    """
    backbones = [name for name in values(params, Role.BACKBONE).values() if isinstance(name, str)]
    files = [pair for file in values(params, Role.WEIGHTS).values() if file for pair in _of_project(file)]
    files += [pair for name in backbones if name.startswith(FOLDER) for pair in _of_project(name.removeprefix(FOLDER))]
    files += [pair for name in backbones if name.startswith(HUB) for pair in _of_hub(name, name.removeprefix(HUB))]
    files += [pair for name in values(params, Role.TEXT_ENCODER).values() for pair in _of_encoder(name)]
    if not any(values(params, Role.PRETRAINED).values()):
        return files
    return files + [pair for name in backbones if name != PACKAGED for pair in _weights(name)]


def _of_encoder(name: str) -> list[tuple[str, Path]]:
    """(name in the archive, file) of a text encoder; none for the value that leaves it out."""
    if name.startswith(HUB):
        return _of_hub(name, name.removeprefix(HUB))
    if name in text_packages.PACKAGES:
        package, files = text_packages.files_of(name)
        return [(f"packages/{package.name}/{file.relative_to(package).as_posix()}", file) for file in files]
    return _of_project(name) if Path(name).is_dir() else []


def _of_project(file: str) -> list[tuple[str, Path]]:
    """(name in the archive, file) of a file or folder, whose path is the same in the archive as in the project."""
    path = Path(file)
    if path.is_absolute() or ".." in path.parts:
        raise GoldfoldError(
            "weights_outside_project",
            f"the weights '{file}' are named by a path that Kaggle does not have: copy them into the project, and "
            "train with their path relative to its folder",
        )
    return list(folder_files(path, path.as_posix())) if path.is_dir() else [(path.as_posix(), path)]


def _weights(name: str) -> list[tuple[str, Path]]:
    """(name in the archive, file) of the weights that timm downloaded for a backbone."""
    import timm

    known = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    return _of_hub(name, known.hf_hub_id) if known is not None and known.hf_hub_id else []


def _of_hub(name: str, repository: str) -> list[tuple[str, Path]]:
    """(name in the archive, file) of a repository of the hub, as it was downloaded for a backbone."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = "models--" + repository.partition("@")[0].replace("/", "--")
    files = [pair for part in ("refs", "snapshots") for pair in folder_files(Path(HF_HUB_CACHE) / folder / part, part)]
    if not files:
        raise GoldfoldError(
            "pretrained_weights_missing",
            f"the pretrained weights of backbone '{name}' are no longer on this machine: predict with the run once "
            "more on a machine with internet, then run this command again",
        )
    return [(f"hub/{folder}/{at}", path) for at, path in files]


def kernel_slug(run: Path) -> str:
    """Unique name of a run in Kaggle's URLs: 10 to 45 characters of a-z, 0-9 and single hyphens."""
    name = run_name(run)
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not name.isascii() or len(plain) > 36:
        plain = f"{plain[:29].strip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:6]}".strip("-")
    return f"goldfold-{plain}"


def dataset_metadata(owner: str, run: Path, slug_of_competition: str) -> dict[str, Any]:
    """Content of dataset-metadata.json: one license, title and slug of 6 to 50 characters, subtitle of 20 to 80."""
    name = f"{kernel_slug(run)}-fits"
    return {
        "title": name.replace("-", " "),  # Kaggle derives the slug from the title
        "id": f"{owner}/{name}",
        "subtitle": "Fits and code for a notebook without network",
        "description": f"Made by goldfold for the competition {slug_of_competition}. Its code is under the MIT "
        "licence; weights and data are under the terms of what they were made from.",
        "licenses": [{"name": "other"}],
    }


def kernel_metadata(owner: str, run: Path, competition: str | None, gpu: bool) -> dict[str, Any]:
    """Content of kernel-metadata.json; competition: slug whose files the notebook reads, or None."""
    name = kernel_slug(run)
    return {
        "id": f"{owner}/{name}",
        "title": name.replace("-", " "),
        "code_file": SCRIPT,
        "language": "python",
        "kernel_type": "script",
        "is_private": True,
        "enable_gpu": gpu,
        "enable_tpu": False,
        "enable_internet": False,
        "dataset_sources": [f"{owner}/{name}-fits"],
        "competition_sources": [competition] if competition else [],
        "kernel_sources": [],
        "model_sources": [],
    }
