"""Adopt a probed batch for a config with `batch_size: auto`: from an unfinished run, from the cache, or by trials."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment import run_folders
from goldfold.experiment.config import Config
from goldfold.experiment.setup import Prepared, prepare_experiment
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json, write_json
from goldfold.params import Role, names, values
from goldfold.report.capacity import RECORD, memory_text
from goldfold.training.capacity import adoption
from goldfold.training.capacity.adoption import AdoptionParams
from goldfold.training.capacity.free_memory import parsed_bytes, total_bytes
from goldfold.training.capacity.search import Search, find_knee, find_largest
from goldfold.training.capacity.trials import TOO_LARGE
from goldfold.workflows.capacity.jobs import with_values
from goldfold.workflows.capacity.probe import does_not_fit, predicted, search_of
from goldfold.workflows.capacity.probed import Limits, Probed, all_probed

FREE_KEYS = ("seed", "seeds", "folds", "debug", "accept", "select", "patience", "validate_every", "split")


@dataclass(frozen=True)
class Choice:
    """A config with its batch size found, and the record of how."""

    config: Config
    record: dict[str, Any]


def adopt(workspace: Workspace, name: str, config: Config, device: torch.device) -> Choice:
    """Find the batch size of a config that has it `auto`.

    An unfinished run of the same config keeps the batch that it began with, whatever is free now. Otherwise the result
    is kept in the cache, per device, values and shape of the data.

    Raises:
        GoldfoldError: no batch fits, or the batch size cannot be replaced by accumulation (`batch_not_divisible`).
    """
    options, parameter = _options(config), _parameter(config)
    cpu = torch.device("cpu")
    found = prepare_experiment(workspace, name, replace(config, automatic=()), cpu)
    asked = _asked(found, options)
    record = _of_unfinished(workspace.runs / name, config.name, asked)
    kept = workspace.cache / "capacity" / f"{_key(asked, device)}.json"
    if record is None and kept.exists():
        record = read_json(kept)
    if record is None:
        workspace.observer.line(f"{parameter}: auto on {device}:")
        limits = Limits(memory=parsed_bytes(options.memory) if options.memory else None)
        (probed,) = [each for each in all_probed(found, device, limits) if each.parameter == parameter]
        record = {"asked": asked, **_chosen(probed, options)}
        write_json(kept, record)
    workspace.observer.line(f"{parameter}: auto is {record['why']}")
    recipes = workspace.competition(name).recipes
    return Choice(with_values(found.config, recipes, **record["values"]), record)


def _options(config: Config) -> AdoptionParams:
    given = config.capacity
    if not isinstance(given, Mapping):
        raise GoldfoldError(
            "invalid_value",
            f"config '{config.name}' has capacity: {given!r}, and it must list keys: write effective: knee",
        )
    options = configs.validated(AdoptionParams, dict(given), config.name)
    if isinstance(options.effective, int) and options.effective < 1:
        raise GoldfoldError(
            "invalid_value", f"capacity has effective: {options.effective}, and a step has at least 1 sample: raise it"
        )
    if options.learning_rate != "none" and options.effective == "default":
        raise GoldfoldError(
            "parameter_without_effect",
            f"capacity has learning_rate={options.learning_rate}, which has no effect with effective=default: set "
            "effective=knee or a number, or leave it out",
        )
    return options


def _parameter(config: Config) -> str:
    """The batch size that is `auto`, if it can be: one, with an effect, that accumulation can replace."""
    parameter, others = config.automatic[0], config.automatic[1:]
    if others:
        raise GoldfoldError("several_automatic", f"{parameter} and {others[0]} are auto, and one can be: give a number")
    if parameter not in values(config.params, Role.BATCH_SIZE):
        raise GoldfoldError(
            "parameter_without_effect", f"{parameter}: auto has no effect with these values: leave {parameter} out"
        )
    if parameter in names(type(config.params), Role.WHOLE_BATCH):
        raise GoldfoldError(
            "batch_not_divisible",
            f"{parameter} cannot be auto, since accumulated batches would train with another loss or rate: probe it "
            "with make capacity, and give a number",
        )
    return parameter


def _asked(found: Prepared, options: AdoptionParams) -> dict[str, Any]:
    """What the answer depends on beside the machine: values, and the shape of the data."""
    params, experiment = found.config.params, found.experiment
    idle = {*FREE_KEYS, *names(type(params), Role.EPOCHS), *names(type(params), Role.LEARNING_RATE)}
    return {
        "values": {key: value for key, value in found.config.resolved().items() if key not in idle},
        "capacity": options.model_dump(),
        "rows": [len(fold.train) for fold in experiment.folds],
        "columns": sorted(map(str, experiment.tables.train.columns)),
    }


def _key(asked: Mapping[str, Any], device: torch.device) -> str:
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    whole = [asked, kind, total_bytes(device), torch.__version__]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:24]


def _of_unfinished(place: Path, config: str, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of the newest unfinished run that asked the same; None if there is none."""
    for file in sorted(place.glob(f"{config}-r*/{RECORD}"), key=lambda path: path.stat().st_mtime, reverse=True):
        if not (file.parent / run_folders.FINISHED).exists() and read_json(file)["asked"] == asked:
            return read_json(file)
    return None


def _chosen(probed: Probed, options: AdoptionParams) -> dict[str, Any]:
    """Values of the config and why, by as few trials as it takes."""
    default = probed.own * probed.config.loop.accumulate
    effective = options.effective if isinstance(options.effective, int) else default
    told, cap = predicted(probed)
    if options.effective == "knee":
        search = search_of(probed, told, cap, lambda batch: {"accumulate": 1})
        find_largest(search)
        knee = find_knee(search)
        if knee > effective:
            return _record(probed, search, knee, knee, default, options)
    search = search_of(probed, told, cap, lambda batch: {"accumulate": effective // batch})
    batch = largest_divisor(search, effective)
    if not batch:
        raise does_not_fit(probed, search)
    return _record(probed, search, batch, effective, default, options)


def largest_divisor(search: Search, effective: int) -> int:
    """The largest divisor of the samples per step that fits; those that are expected not to fit are not tried.

    0 if none fits, or training fails for another reason than memory or a single row.
    """
    least = search.bounds.least
    for batch in adoption.batches_of(effective, least):
        line, failed = search.expected(), [trial.batch for trial in search.trials if trial.status in TOO_LARGE]
        if batch > least and (batch >= min([*failed, batch + 1]) or (line and line.at(batch) > search.bounds.limit)):
            continue
        trial = search.tried(batch)
        if trial.fits or trial.status == "failed":
            return batch if trial.fits else 0
    return 0


def _record(
    probed: Probed, search: Search, batch: int, effective: int, default: int, options: AdoptionParams
) -> dict[str, Any]:
    """The record of a run: the values chosen, why, and every trial."""
    new = adoption.adopted(batch, effective, default, options.learning_rate)
    rates = {
        name: rate
        for name, rate in values(probed.config.params, Role.LEARNING_RATE).items()
        if new.factor != 1 and rate
    }
    chosen = {probed.parameter: batch, "accumulate": new.accumulate}
    chosen |= {name: rate * new.factor for name, rate in rates.items()}
    return {
        "values": chosen,
        "effective": effective,
        "default_effective": default,
        "learning_rate_factor": new.factor,
        "limit": search.bounds.limit,
        "why": _why(search, batch, effective, default, options),
        "trials": [trial.facts() for trial in search.trials],
    }


def _why(search: Search, batch: int, effective: int, default: int, options: AdoptionParams) -> str:
    """The choice in one sentence."""
    limit, failed = memory_text(search.bounds.limit), sorted(t.batch for t in search.trials if not t.fits)
    steps = f" x accumulate {effective // batch}" if effective > batch else ""
    told = f"{batch}{steps}, {effective} samples per optimizer step"
    if effective != default:
        told += f" instead of {default} (learning rates by rule {options.learning_rate})"
    peak = search.fitting[batch].peak or 0
    reason = f"the step took {memory_text(peak)} of {limit}"
    if batch < effective:
        reason += f", and {failed[0]} failed" if failed else ", and larger divisors were predicted not to fit"
    return f"{told}: {reason}"
