"""Untrained baselines: runs in which nothing was trained, which a comparison of trained embeddings has to show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldfold.competition import Competition
from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment import run_folders as runs
from goldfold.experiment.identity import intact
from goldfold.experiment.run_folders import BLEND, run_name
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json
from goldfold.params import Role, names, values
from goldfold.trust.audits import Finding, below_untrained, merge_places
from goldfold.trust.audits.scores import OWN_START
from goldfold.trust.comparisons import comparable_metrics

WEIGHTS = {True: "pretrained weights", False: "untrained weights", None: "the weights it starts from"}
ALIKE = ("recipe", "seed", "seeds", "folds")  # with the backbone: what an untrained run shares with a trained one
LEFT_AS_WRITTEN = ("config", "debug", "accept")  # keys that change no prediction


@dataclass(frozen=True)
class ComparedRuns:
    """The runs of a comparison: those named, then the untrained baselines that were added.

    baselines: trained run -> the untrained baselines it has to beat, by name. findings: which baselines are missing.
    """

    folders: Sequence[Path]
    added: Sequence[Path] = ()
    baselines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    findings: Sequence[Finding] = ()


def embedding_competition(workspace: Workspace, folders: Sequence[Path]) -> Competition | None:
    """The competition of runs that predict embeddings; None for other runs, blends and several competitions."""
    competitions = {folder.parent.name for folder in folders}
    blended = any((folder / BLEND).exists() for folder in folders)
    if blended or len(competitions) > 1 or not competitions <= set(workspace.names()):
        return None
    competition = workspace.competition(competitions.pop())
    return competition if competition.metric.retrieval else None


def compared(workspace: Workspace, folders: Sequence[Path]) -> ComparedRuns:
    """The runs of a comparison; those of embeddings with their untrained baselines."""
    return with_baselines(workspace, folders) if embedding_competition(workspace, folders) else ComparedRuns(folders)


def with_baselines(workspace: Workspace, folders: Sequence[Path]) -> ComparedRuns:
    """Add finished untrained baselines, of pretrained and of untrained weights, where none is named."""
    added: list[Path] = []
    findings = []
    wanted = _wanted(workspace, folders)
    for folder, weights in wanted:
        if any(_serves(workspace, each, folder, weights) for each in (*folders, *added)):
            continue
        if found := _fitting(workspace, folder, weights):
            added.append(found)
        else:
            findings.append(_missing(workspace, folder, weights))
    rows = [*folders, *added]
    baselines: dict[str, list[str]] = {}
    for folder, weights in wanted:
        serving = [run_name(each) for each in rows if _serves(workspace, each, folder, weights)]
        baselines.setdefault(run_name(folder), []).extend(serving)
    return ComparedRuns(rows, added, baselines, merge_places(findings))


def no_better(rows: ComparedRuns, summaries: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Trained runs whose mean is not above that of an untrained baseline. summaries: run -> one metric's."""
    return [
        finding
        for name in summaries
        for finding in below_untrained(
            name, summaries[name], _references(rows.baselines.get(name, ()), summaries, name)
        )
    ]


def _references(
    baselines: Sequence[str], summaries: Mapping[str, Mapping[str, Any]], name: str
) -> dict[str, Mapping[str, Any]]:
    """What a run has to beat, by name: the model it started from, and untrained baselines."""
    start = summaries[name].get("untrained")
    return ({OWN_START: start} if start else {}) | {each: summaries[each] for each in baselines}


def _wanted(workspace: Workspace, folders: Sequence[Path]) -> list[tuple[Path, bool | None]]:
    """Each trained run with the weights from which a baseline must start."""
    pairs = []
    for folder in filter(_trained, folders):
        kinds = (True, False) if _parameter(workspace, folder, Role.PRETRAINED) else (None,)
        own = _weights_of_own_row(workspace, folder)
        pairs += [(folder, weights) for weights in kinds if weights not in own]
    return [(folder, weights) for folder, weights in pairs if _starts_from(workspace, folder, weights)]


def _weights_of_own_row(workspace: Workspace, run: Path) -> tuple[bool | None, ...]:
    """The weights whose score before training is in the run itself; none in runs of versions that did not score it."""
    first = next(iter(read_json(run / "metrics.json").values()))
    if "untrained" not in first:
        return ()
    key = _parameter(workspace, run, Role.PRETRAINED)
    return (_config(run).get(key) if key else None,)


def _parameters(workspace: Workspace, run: Path, role: Role) -> list[str]:
    """The parameters with this role that have an effect in a run; none if the competition no longer has its recipe."""
    config = _config(run)
    recipe = workspace.competition(run.parent.name).recipes.get(config["recipe"])
    if recipe is None:
        return []
    try:
        return list(values(_resolved(workspace, run, config).params, role))
    except GoldfoldError:  # made with parameters of an earlier version
        return names(recipe.params, role)


def _parameter(workspace: Workspace, run: Path, role: Role) -> str | None:
    """The first of `_parameters`; None if there is none."""
    return next(iter(_parameters(workspace, run, role)), None)


def _starts_from(workspace: Workspace, trained: Path, weights: bool | None) -> bool:
    """Whether a run's recipe can start from those weights; a network of one's own may have no pretrained ones."""
    config, key = _config(trained), _parameter(workspace, trained, Role.PRETRAINED)
    if key is None:
        return weights is None
    return config.get(key) == weights or _is_valid(workspace, trained, config | {key: weights})


def _is_valid(workspace: Workspace, run: Path, values: Mapping[str, Any]) -> bool:
    """Whether a run of the same competition could have these parameters."""
    try:
        _resolved(workspace, run, values)
    except GoldfoldError:
        return False
    return True


def _resolved(workspace: Workspace, run: Path, values: Mapping[str, Any]) -> configs.Config:
    others = {key: value for key, value in values.items() if key != "config"}
    return configs.resolve_config(values["config"], others, workspace.competition(run.parent.name).recipes)


def _config(folder: Path) -> dict[str, Any]:
    return read_json(folder / "config.json")


def _alike(workspace: Workspace, trained: Path) -> tuple[str, ...]:
    towers = _parameters(workspace, trained, Role.TOWERS)
    return (*ALIKE, *_parameters(workspace, trained, Role.BACKBONE)[:1], *towers)


def _trained(folder: Path) -> bool:
    return any(read_json(path) for path in folder.glob("fold*-seed*/history.json"))


def _serves(workspace: Workspace, folder: Path, trained: Path, weights: bool | None) -> bool:
    """Whether a run is a baseline of `trained` with those weights."""
    own, other = _config(folder), _config(trained)
    alike = all(own.get(key) == other.get(key) for key in _alike(workspace, trained))
    key = _parameter(workspace, trained, Role.PRETRAINED)
    starts = own.get(key) if key else None
    return alike and starts == weights and not _trained(folder)


def _fitting(workspace: Workspace, trained: Path, weights: bool | None) -> Path | None:
    """The finished baseline that is most like `trained`, the newest of those; None if there is none."""

    def unlike(folder: Path) -> int:
        own = _config(folder)
        return sum(own.get(key) != value for key, value in _config(trained).items())

    beside = [each for each in runs.list_runs(workspace.runs)[::-1] if each.parent == trained.parent]
    finished = [each for each in beside if (each / runs.FINISHED).exists() and not intact.fault(each)]
    found = [each for each in finished if _serves(workspace, each, trained, weights) and _comparable(trained, each)]
    return min(found, key=unlike, default=None)


def _comparable(*folders: Path) -> bool:
    metrics = [read_json(folder / "metrics.json") for folder in folders]
    drawn = [(folder / "folds.csv").read_text(encoding="utf-8") for folder in folders]
    try:
        return bool(comparable_metrics([run_name(folder) for folder in folders], metrics, drawn))
    except GoldfoldError:
        return False


def _missing(workspace: Workspace, trained: Path, weights: bool | None) -> Finding:
    step = f"{_command(workspace, trained, weights)} makes one"
    if (select := _config(trained)["select"]) != "last":
        step = (
            f"train it with select=last, since a score of an epoch chosen (select={select}) is compared with no other"
        )
    message = (
        f"no finished run with the same folds, protocol and seeds shows what {WEIGHTS[weights]} do with nothing "
        f"trained, so that nobody can tell what training added: {step}"
    )
    own_row = weights is False and _weights_of_own_row(workspace, trained)  # the zero-shot row itself is there
    return Finding("no_zero_shot_row", "warning" if own_row else "error", message, run_name(trained))


def _command(workspace: Workspace, trained: Path, weights: bool | None) -> str:
    """How to make the baseline that is most like `trained`: by a config of its own where there is one."""
    name, config, wanted = trained.parent.name, _config(trained), _untrained(workspace, trained, weights)
    changed = (key for key in wanted if wanted[key] != config[key])
    roles = (_parameter(workspace, trained, role) for role in (Role.BACKBONE, Role.PRETRAINED))
    needed = {"recipe", *roles, *changed}
    known = _written_configs(workspace, name)
    for own, written in known.items():
        unlike = {key for key in wanted if key not in LEFT_AS_WRITTEN and wanted[key] != written.get(key)}
        if not unlike & needed:
            return _making(name, own, {key: wanted[key] for key in _alike(workspace, trained) if key in unlike})
    written = known.get(config["config"], {})
    rest = [key for key in wanted if key not in LEFT_AS_WRITTEN and wanted[key] != written.get(key)]
    return _making(name, config["config"], {key: wanted[key] for key in rest})


def _written_configs(workspace: Workspace, name: str) -> dict[str, dict[str, Any]]:
    """What each config of a competition says in full."""
    recipes = workspace.competition(name).recipes
    paths = {config: workspace.config_path(name, config) for config in workspace.configs(name)}
    return {config: configs.read_config(path, [], recipes).resolved() for config, path in paths.items()}


def _making(name: str, config: str, values: Mapping[str, Any]) -> str:
    changed = " ".join(f"{key}={_written(value)}" for key, value in values.items())
    return f"make train COMP={name} CONFIG={config}" + (f' SET="{changed}"' if changed else "")


def _untrained(workspace: Workspace, trained: Path, weights: bool | None) -> dict[str, Any]:
    """The config of a run without its training, from those weights."""
    values = _config(trained) | {"select": "last", "patience": None}
    key = _parameter(workspace, trained, Role.PRETRAINED)
    if key and weights is not None:
        values[key] = weights
    for key in _parameters(workspace, trained, Role.EPOCHS):
        if _is_valid(workspace, trained, values | {key: 0}):  # some stages must have an epoch
            values[key] = 0
    if not _is_valid(workspace, trained, values):
        return values
    kept = _resolved(workspace, trained, values).effective().resolved()  # what only the training used is reset
    return {key: kept.get(key, value) for key, value in values.items()}


def _written(value: Any) -> str:
    """As one word of SET."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":")).replace('"', "")
