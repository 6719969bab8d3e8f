"""What `compare` adds for embeddings: runs of nothing trained as the mark to beat, and each query's change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldfold.competition import Competition, Tables
from goldfold.data import tables
from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment import run_folders as runs
from goldfold.experiment import workspace
from goldfold.experiment.run_folders import run_name
from goldfold.io.files import read_json, write_bytes, write_text
from goldfold.params import Role
from goldfold.report.retrieval.comparison import EXTREMES, Compared, drawn, page, strips_of, told
from goldfold.report.retrieval.similarities import histogram
from goldfold.report.run import blends
from goldfold.retrieval import search as retrieval
from goldfold.trust.audits import Finding, merged
from goldfold.trust.audits.embeddings import below_untrained
from goldfold.trust.comparisons import comparable
from goldfold.trust.retrieval_comparisons import Fits, Gallery, Look, changes, fits_of, galleries_of, look

PLACE = "comparisons"  # folder beside a competition's runs
WEIGHTS = {True: "pretrained weights", False: "untrained weights", None: "the weights it starts from"}
ALIKE = ("recipe", "seed", "seeds", "folds")  # with the backbone: what an untrained run shares with a trained one
LEFT_AS_WRITTEN = ("config", "debug", "accept")  # keys that change no prediction


@dataclass(frozen=True)
class Rows:
    """The runs of a comparison: those named, then those of nothing trained that were added.

    marks: trained run -> the runs of nothing trained it is to beat, by name. findings: what is missing among them.
    """

    folders: Sequence[Path]
    added: Sequence[Path] = ()
    marks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    findings: Sequence[Finding] = ()


def competition_of(folders: Sequence[Path]) -> Competition | None:
    """The competition of runs that predict embeddings, which find each other; None for other runs, and for blends."""
    names = {folder.parent.name for folder in folders}
    blended = any((folder / blends.FACTS).exists() for folder in folders)
    if blended or len(names) > 1 or not names <= set(workspace.names()):
        return None
    competition = workspace.competition(names.pop())
    return competition if competition.metric.retrieval else None


def with_untrained(folders: Sequence[Path]) -> Rows:
    """Add finished runs of nothing trained, from pretrained and from untrained weights, where none is named."""
    added: list[Path] = []
    findings = []
    for folder, weights in _wanted(folders):
        if any(_serves(each, folder, weights) for each in (*folders, *added)):
            continue
        if found := _fitting(folder, weights):
            added.append(found)
        else:
            findings.append(_missing(folder, weights))
    rows = [*folders, *added]
    marks: dict[str, list[str]] = {}
    for folder, weights in _wanted(folders):
        marks.setdefault(run_name(folder), []).extend(run_name(each) for each in rows if _serves(each, folder, weights))
    return Rows(rows, added, marks, merged(findings))


def below(rows: Rows, summaries: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Trained runs that are no better than those of nothing trained. summaries: run -> one metric's."""
    return [
        finding
        for name, marks in rows.marks.items()
        for finding in below_untrained(name, summaries[name], {mark: summaries[mark] for mark in marks})
    ]


def _wanted(folders: Sequence[Path]) -> list[tuple[Path, bool | None]]:
    """Each trained run with the weights from which a run of nothing trained must start."""
    kinds = {folder: (True, False) if workspace.key(folder, Role.PRETRAINED) else (None,) for folder in folders}
    pairs = [(folder, weights) for folder in folders if _trained(folder) for weights in kinds[folder]]
    return [(folder, weights) for folder, weights in pairs if _starts_from(folder, weights)]


def _starts_from(trained: Path, weights: bool | None) -> bool:
    """Whether a run's recipe can start from those weights: a network of one's own may have no pretrained ones."""
    config, key = _config(trained), workspace.key(trained, Role.PRETRAINED)
    return config.get(key) == weights or _is_valid(trained, config | {key: weights})


def _is_valid(run: Path, values: Mapping[str, Any]) -> bool:
    """Whether a run of the same competition could have these parameters."""
    others = {key: value for key, value in values.items() if key != "config"}
    try:
        configs.resolve(values["config"], others, workspace.competition(run.parent.name).recipes)
    except GoldfoldError:
        return False
    return True


def _config(folder: Path) -> dict[str, Any]:
    return read_json(folder / "config.json")


def _alike(trained: Path) -> tuple[str | None, ...]:
    return (*ALIKE, workspace.key(trained, Role.BACKBONE))


def _trained(folder: Path) -> bool:
    return any(read_json(path) for path in folder.glob("fold*-seed*/history.json"))


def _serves(folder: Path, trained: Path, weights: bool | None) -> bool:
    """Whether a run shows what `trained` starts from."""
    own, other = _config(folder), _config(trained)
    alike = all(own.get(key) == other.get(key) for key in _alike(trained))
    return alike and own.get(workspace.key(trained, Role.PRETRAINED)) == weights and not _trained(folder)


def _fitting(trained: Path, weights: bool | None) -> Path | None:
    """The finished run of nothing trained that is most like `trained`, the newest of those; None if there is none."""

    def unlike(folder: Path) -> int:
        own = _config(folder)
        return sum(own.get(key) != value for key, value in _config(trained).items())

    beside = [each for each in runs.listed(workspace.RUNS)[::-1] if each.parent == trained.parent]
    finished = [each for each in beside if (each / runs.FINISHED).exists()]
    found = [each for each in finished if _serves(each, trained, weights) and _comparable(trained, each)]
    return min(found, key=unlike, default=None)


def _comparable(*folders: Path) -> bool:
    metrics = [read_json(folder / "metrics.json") for folder in folders]
    drawn = [(folder / "folds.csv").read_text(encoding="utf-8") for folder in folders]
    try:
        return bool(comparable([run_name(folder) for folder in folders], metrics, drawn))
    except GoldfoldError:
        return False


def _missing(trained: Path, weights: bool | None) -> Finding:
    step = f"{_command(trained, weights)} makes one"
    if (select := _config(trained)["select"]) != "last":
        step = (
            f"train it with select=last, since a score of an epoch chosen (select={select}) is compared with no other"
        )
    message = (
        f"no finished run with the same folds, protocol and seeds shows what {WEIGHTS[weights]} do with nothing "
        f"trained, so that nobody can tell what training added: {step}"
    )
    return Finding("no_zero_shot_row", "error", message, run_name(trained))


def _command(trained: Path, weights: bool | None) -> str:
    """How to make the run of nothing trained that is most like `trained`: by a config of its own where there is one."""
    name, config, wanted = trained.parent.name, _config(trained), _untrained(trained, weights)
    changed = (key for key in wanted if wanted[key] != config[key])
    needed = {"recipe", *(workspace.key(trained, role) for role in (Role.BACKBONE, Role.PRETRAINED)), *changed}
    for own, written in _written_configs(name).items():
        unlike = {key for key in wanted if key not in LEFT_AS_WRITTEN and wanted[key] != written.get(key)}
        if not unlike & needed:
            return _making(name, own, {key: wanted[key] for key in _alike(trained) if key in unlike})
    written = _written_configs(name).get(config["config"], {})
    unlike = [key for key in wanted if key not in LEFT_AS_WRITTEN and wanted[key] != written.get(key)]
    return _making(name, config["config"], {key: wanted[key] for key in unlike})


def _written_configs(name: str) -> dict[str, dict[str, Any]]:
    """What each config of a competition says in full."""
    paths = sorted(workspace.config_path(name, "*").parent.glob("*.yaml"))
    return {path.stem: configs.read(path, [], workspace.competition(name).recipes).resolved() for path in paths}


def _making(name: str, config: str, values: Mapping[str, Any]) -> str:
    changed = " ".join(f"{key}={_written(value)}" for key, value in values.items())
    return f"make train COMP={name} CONFIG={config}" + (f' SET="{changed}"' if changed else "")


def _untrained(trained: Path, weights: bool | None) -> dict[str, Any]:
    """The config of a run without its training, from those weights."""
    values = _config(trained) | {"select": "last", "patience": None}
    values |= {} if weights is None else {workspace.key(trained, Role.PRETRAINED): weights}
    for key in workspace.keys(trained, Role.EPOCHS):
        if _is_valid(trained, values | {key: 0}):  # some stages must have an epoch
            values[key] = 0
    return values


def _written(value: Any) -> str:
    """As one word of SET."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":")).replace('"', "")


def by_query(competition: Competition, folders: Sequence[Path]) -> list[str]:
    """Compare the first run with each other, query by query; writes a folder for each and says what is in it.

    Raises:
        GoldfoldError: the data is not what a run was trained on, or embeddings are missing or no embeddings.
    """
    data = workspace.load(folders[0].parent.name, competition)
    _refuse_other_data(competition, data, folders)
    first = folders[0]
    galleries = galleries_of(first, data.train, competition.metric.retrieval.pairs)
    looks = {folder: look(galleries, _fits(folder, galleries)) for folder in folders}
    pairs = [((first, other), (looks[first], looks[other])) for other in folders[1:]]
    return [line for pair in pairs for line in _compared(competition, galleries, *pair)]


def _refuse_other_data(competition: Competition, data: Tables, folders: Sequence[Path]) -> None:
    contents = (tables.content_hashes(rows, competition.targets) for rows in (data.train, data.test))
    now = tables.data_hash(data, *contents)
    for folder in folders:
        if read_json(folder / "reproduce.json").get("data_hash") != now:
            raise GoldfoldError(
                f"{run_name(folder)} was trained on other data than what is prepared now, so its queries cannot be "
                "looked at: train it again"
            )


def _fits(run: Path, galleries: Sequence[Gallery]) -> dict[int, Fits]:
    return fits_of(run, [each.fold for each in galleries], _config(run)["seeds"])


def _compared(
    competition: Competition, galleries: Sequence[Gallery], folders: tuple[Path, Path], looks: tuple[Look, Look]
) -> list[str]:
    """Write page, table and pictures of two runs; says what they show and where they are."""
    first, other = (folder.name for folder in folders)
    place = folders[0].parent / PLACE / f"{first}-vs-{other}"
    queries = changes(galleries, *looks)
    unanswered = sum(retrieval.answers(each.pairs).unanswered for each in galleries)
    found = Compared(first=first, other=other, looks=looks, queries=queries, unanswered=unanswered)
    fits = [_fits(folder, galleries) for folder in folders]
    pictures = {"similarities.png": histogram(drawn(found))}
    for how in EXTREMES:
        (place / f"{how}.png").unlink(missing_ok=True)  # of an earlier comparison of runs of these names
        if picture := strips_of(found, how, galleries, fits, competition.targets[:1]):
            pictures[f"{how}.png"] = picture
    for file, picture in pictures.items():
        write_bytes(place / file, picture)
    named = queries.drop(columns="query").rename(columns={"first": first, "other": other})
    write_text(place / "per_query.csv", named.to_csv(index=False))
    write_text(place / "comparison.md", page(found, list(pictures)))
    return [told(found), f"  {place}: {', '.join(['comparison.md', 'per_query.csv', *pictures])}"]
