"""Start the fits of a run from the weights of another run's fits of the same folds, which have not seen a scored row.

Weights that have the model's names and shapes are taken; a last layer of another width keeps its random start. Weights
for columns of a table are taken only where the columns and their encoding are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from goldfold.competition import Plan
from goldfold.errors import GoldfoldError
from goldfold.experiment.fits.experiment import CHECKPOINTS, Experiment, fit_folder, fit_keys
from goldfold.experiment.fits.same_folds import refuse_other_folds
from goldfold.experiment.run_folders import find_run, run_name
from goldfold.io.files import read_json, write_json
from goldfold.nn.pretrained import weight_files
from goldfold.nn.pretrained.model_sources import FOLDER
from goldfold.params import Role, values
from goldfold.training import checkpoints
from goldfold.training.distributed import is_writer

INITIAL = "initial_weights.json"  # in a fit's folder
COLUMNS = "columns"  # in `Plan.kept`: what the inputs of a plan's columns are


def source(own_runs: Path, experiment: Experiment, drawn: str) -> Path | None:
    """The folder of the run that the config's `init_from` names; None if it names none.

    own_runs: the folder of the competition's runs. drawn: the text of this experiment's `folds.csv`.

    Raises:
        GoldfoldError: the run does not exist or is not finished, `init_from_other_folds`, `init_from_lacks_fit`.
    """
    wanted = experiment.loop.init_from
    if not wanted:
        return None
    if wanted == "latest":
        raise GoldfoldError(
            "init_from_latest", "init_from is 'latest', which is another run tomorrow: name one, such as baseline-r1"
        )
    known = wanted if "/" in wanted else f"{own_runs.name}/{wanted}"
    run = find_run(own_runs.parent, known).resolve()
    refuse_other_folds(run, drawn, "init_from_other_folds", "run to start from")
    for fold, seed in fit_keys(experiment):
        _checkpoint(run, fold, seed)
    return run


def starts(experiment: Experiment, rebuilt: Path | None = None) -> dict[str, str]:
    """Config key -> hash of what it names: files of weights, folders of networks, the fits of another run.

    The hash takes the place of the name in a run's identity. rebuilt: a run whose record tells of what is gone since.
    """
    found = dict(read_json(rebuilt / "reproduce.json", dict).get("starts", {})) if rebuilt else {}
    for key, file in values(experiment.params, Role.WEIGHTS).items():
        if file and Path(file).is_file():
            found[key] = _hash([Path(file)])
    backbones = values(experiment.params, Role.BACKBONE).items()
    folders = {key: str(name).removeprefix(FOLDER) for key, name in backbones if str(name).startswith(FOLDER)}
    for key, name in {**folders, **values(experiment.params, Role.TEXT_ENCODER)}.items():
        if Path(name).is_dir():
            found[key] = _hash(sorted(path for path in Path(name).iterdir() if path.is_file()))
    if experiment.starts_from is not None:
        used = [_checkpoint(experiment.starts_from, *each).files for each in fit_keys(experiment)]
        hashes = [[name, facts["sha256"]] for files in used for name, facts in files.items() if _is_weights(name)]
        found["init_from"] = hashlib.sha256(json.dumps(hashes).encode()).hexdigest()
    return found


def load(experiment: Experiment, plan: Plan, fold: int, seed: int, place: Path) -> None:
    """Load the weights that a fit starts from into the plan's model, and write down which; nothing without `init_from`.

    Raises:
        GoldfoldError: `init_from_lacks_fit`; `init_from_without_stages`; `weights_do_not_fit`, for another
            layer than the last and those of the model's attribute `may_start_anew`; `init_from_other_columns`.
    """
    run = experiment.starts_from
    if run is None:
        return
    if plan.model is None or not plan.stages:
        raise GoldfoldError(
            "init_from_without_stages",
            f"init_from={experiment.loop.init_from} has no effect, since the recipe trains nothing by epochs: leave it "
            "out",
        )
    checkpoint = _checkpoint(run, fold, seed)
    checkpoints.verify(checkpoint)
    file = checkpoint.path.with_suffix(".safetensors")
    own, others = json.loads(json.dumps(plan.kept.get(COLUMNS))), _columns_of(checkpoint)
    may_start_anew = getattr(plan.model, "may_start_anew", ())
    if own and others and not may_start_anew:
        _refuse_other_columns(own, others, run, fold)
    heads, anew = (_last_layer(plan.model), *may_start_anew), may_start_anew if own != others else ()
    dropped = weight_files.load_into(plan.model, file, heads, anew=anew)
    if is_writer():
        known = {name.rpartition(".")[0] for name in plan.model.state_dict()}
        told = {"run": run_name(run), "checkpoint": checkpoint.path.stem}
        left_out = [each for each in dropped if each in known]
        unused = [COLUMNS] if others and not own else []
        write_json(place / INITIAL, {**told, "left_out": left_out, **({"unused": unused} if unused else {})})


def describe(run: Path) -> str:
    """What the fits of a run started from, for a line; empty if they started anew."""
    found = next(iter(sorted(run.glob(f"fold*-seed*/{INITIAL}"))), None)
    if found is None:
        return ""
    told = read_json(found, dict)
    left = f"; {', '.join(told['left_out'])} does not fit there and starts anew" if told["left_out"] else ""
    unused = f"; its {', '.join(told['unused'])} are not used" if told.get("unused") else ""
    return f"fits start from the weights of {told['run']} for the same fold{left}{unused}"


def _checkpoint(run: Path, fold: int, seed: int) -> checkpoints.Checkpoint:
    """The checkpoint that predicts in a run's fit of a fold, with the same seed if there is one."""
    places = [fit_folder(run, fold, seed), *sorted(run.glob(f"fold{fold}-seed*"))]
    for place in places:
        if not (place / "fit.json").exists():
            continue
        epoch = read_json(place / "fit.json", dict).get("epoch")
        known = checkpoints.list_checkpoints(place / CHECKPOINTS)
        chosen = [each for each in known if each.order[0] == known[-1].order[0] and each.row["epoch"] == epoch]
        if chosen:
            return chosen[-1]
    raise GoldfoldError(
        "init_from_lacks_fit",
        f"run '{run_name(run)}' has no weights of fold {fold}: name a run that trained this fold by epochs",
    )


def _columns_of(checkpoint: checkpoints.Checkpoint) -> dict[str, Any] | None:
    """What the columns of a checkpoint's fit are, as its plan kept it; None if it had none, or did not keep it."""
    file = checkpoint.path.parents[1] / f"{COLUMNS}.json"
    return read_json(file, dict) if file.exists() else None


def _refuse_other_columns(own: Mapping[str, Any], others: Mapping[str, Any], run: Path, fold: int) -> None:
    """Refuse weights whose inputs mean something else (`init_from_other_columns`), of a plan that is all columns."""
    differing = [key for key in own if own[key] != others.get(key)]
    if differing:
        raise GoldfoldError(
            "init_from_other_columns",
            f"the {differing[0]} of run '{run_name(run)}' in fold {fold} are {others.get(differing[0])!s:.80}, and "
            f"here {own[differing[0]]!s:.80}: start from a run with the same columns and rows, or leave init_from out",
        )


def _last_layer(model: nn.Module) -> str:
    """The name of the module that holds the last parameter."""
    *_, (name, _) = model.named_parameters()
    return name.rpartition(".")[0]


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors")


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
