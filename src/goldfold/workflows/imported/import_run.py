"""Import out-of-fold and test predictions of another program as a run that is scored, compared, blended, submitted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame, Index

from goldfold.competition import Competition, Fold, Tables
from goldfold.data import csv_tables, fold_tables, tables
from goldfold.ensemble.members import data_hash, read_ids
from goldfold.errors import GoldfoldError
from goldfold.experiment import run_folders as runs
from goldfold.experiment.cross_validation import combine_fits
from goldfold.experiment.early_checks import class_order
from goldfold.experiment.fits import Protocol, fold_numbers
from goldfold.experiment.identity import fingerprint, provenance
from goldfold.experiment.predictions import alignment, as_run, foreign_folds, reading
from goldfold.experiment.predictions.alignment import Form
from goldfold.experiment.predictions.foreign_folds import FoldFacts
from goldfold.experiment.predictions.reading import Given
from goldfold.experiment.run_folders import IMPORTED
from goldfold.experiment.setup import draw_folds, sources
from goldfold.experiment.workspace import Workspace, plain_name
from goldfold.io.files import read_json, write_json, write_text
from goldfold.trust.audits import Check, Finding, made, not_made
from goldfold.trust.audits.imported import members
from goldfold.workflows.conclude import conclude
from goldfold.workflows.imported.test_file import TestPart, read_test

RECIPE = "imported"  # what config.json of such a run calls its recipe
LONGEST_NAME = 100  # bytes
DRAWN = ("split", "seed", "folds", "on_broken")  # keys of a config by which rows are scored


@dataclass(frozen=True, kw_only=True)
class Files:
    """What is imported: files of out-of-fold and of test predictions, and one with the folds of the former, if any."""

    oof: Path
    test: Path
    folds: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What predictions are scored on.

    drawn: the text of folds.csv. positions: of the scored rows in the train table, ascending.
    """

    name: str
    competition: Competition
    tables: Tables
    folds: list[Fold]
    drawn: str
    protocol: Protocol
    positions: np.ndarray

    @property
    def rows(self) -> DataFrame:
        """The scored rows."""
        return self.tables.train.iloc[self.positions].reset_index(drop=True)


def import_run(workspace: Workspace, comp: str, files: Files, name: str, like: str | None = None) -> Path:
    """Check predictions and make a run of them; returns its folder, `runs/<comp>/<name>-r<number>`.

    name: of the run, in place of a config's. like: the run on whose folds they are scored; by default the folds that
    the competition draws with seed 0.

    Raises:
        GoldfoldError: `import_...`, what is wrong with a file or the name; what `conclude` and reading a run raise.
    """
    competition = workspace.competition(comp, edited=True)
    if competition.metric.retrieval is not None:
        raise GoldfoldError(
            "import_unsupported",
            f"'{comp}' is scored on embeddings, whose space differs from fold to fold, so predictions of another "
            "program cannot be scored with the models of its folds: write them as a recipe",
        )
    _check_name(workspace, comp, name)
    ground = _ground(workspace, comp, competition, like)
    form = alignment.form_of(competition, ground.tables.train)
    id_columns = list(dict.fromkeys(("id", str(ground.tables.sample_submission.columns[0]))))
    given = reading.read_given(files.oof, id_columns)
    train, test = (csv_tables.written(rows["id"]) for rows in (ground.tables.train, ground.tables.test))
    wanted = Index(train.iloc[ground.positions])
    oof = alignment.aligned(given, form, wanted, others=Index(test), known=Index(train))
    part = read_test(files.test, id_columns, form, oof, ground.tables, competition)
    folds = _folds(ground, _fold_table(given, files.folds, id_columns), files.folds or files.oof, oof)
    hashes = {name: _sha256(path) for name, path in vars(files).items() if path is not None}
    with _started(workspace, ground, _config(ground, name, files), hashes) as run:
        facts = {"sha256": hashes, "rows": len(oof), "ready": part.ready is not None}
        write_json(run / IMPORTED, {**facts, "folds": foreign_folds.as_json(folds)})
        _conclude(workspace, ground, form, (oof, part, folds), run)
    return run


def _check_name(workspace: Workspace, comp: str, name: str) -> None:
    """Refuse names that are no file's, or that runs of another kind have."""
    plain = plain_name(name) and name.isprintable() and name == name.strip() and name[0] not in ".-"
    if not plain or len(name.encode("utf-8", "replace")) > LONGEST_NAME:
        raise GoldfoldError(
            "import_name",
            f"a run is called like a file, and {name[:120]!r} is no such name: give NAME letters of any script, "
            f"digits, - and _, {LONGEST_NAME} bytes at most",
        )
    others = sorted(
        folder.name
        for folder in runs.numbered_runs(workspace.runs / comp, name)
        if (folder / runs.FINISHED).exists() and not (folder / IMPORTED).exists()
    )
    taken = name in workspace.configs(comp) or (workspace.runs / comp / name).exists()
    if others or taken or name in ("blend", "comparisons", "studies", "capacity", "drift"):
        what = f"run {others[0]}" if others else "a config, a run or a folder"
        raise GoldfoldError("import_name", f"NAME {name!r} is that of {what} of '{comp}': choose another NAME")


def _ground(workspace: Workspace, comp: str, competition: Competition, like: str | None) -> Ground:
    """Tables, folds and protocol: those of the run `like`, or of a config without keys."""
    data = workspace.load(comp)
    tables.check(competition, data)
    if like is None:
        protocol = Protocol()
        folds = draw_folds(comp, competition, data.train, protocol, None)
        drawn = csv_tables.to_text(fold_tables.folds_to_table(data.train["id"], folds))
        folds = [Fold(np.sort(fold.train), np.sort(fold.validation)) for fold in folds]
    else:
        run = runs.open_run(workspace, like)
        if run.parent.name != comp:
            raise GoldfoldError("import_like", f"LIKE={like} is a run of '{run.parent.name}': name one of '{comp}'")
        config = read_json(run / "config.json", dict)
        protocol = Protocol(**{key: config[key] for key in DRAWN if key in config})
        drawn = (run / "folds.csv").read_text(encoding="utf-8")
        folds = fold_tables.folds_from_table(read_ids(run / "folds.csv"), data.train["id"])
    numbers = fold_numbers(protocol, folds)
    return Ground(
        name=comp,
        competition=competition,
        tables=data,
        folds=folds,
        drawn=drawn,
        protocol=protocol,
        positions=np.sort(np.concatenate([folds[number].validation for number in numbers])),
    )


def _fold_table(given: Given, path: Path | None, id_columns: list[str]) -> tuple[DataFrame, str] | None:
    """The table of folds that was given: a file of its own, or a column of the out-of-fold predictions."""
    if path is not None:
        if path.suffix.lower() == ".npy":
            raise GoldfoldError("import_folds", f"{path} is no table: write the columns id and fold as CSV")
        return reading.read_table(path, id_columns), str(path)
    return (DataFrame({"id": given.ids, "fold": given.folds}), str(given.path)) if given.folds else None


def _folds(ground: Ground, table: tuple[DataFrame, str] | None, path: Path, oof: np.ndarray) -> FoldFacts:
    """How the folds of the predictions compare with those that score them."""
    ids = Index(csv_tables.written(ground.rows["id"]))
    his = foreign_folds.given_folds(*table[:1], ids, table[1]) if table else None
    found = foreign_folds.compared(
        his, ground.folds, ground.positions, table[0] if table else None, ground.tables.train
    )
    if his is None or found.kind == "equal":
        return found
    group = ground.competition.group
    return replace(
        found,
        split_groups=foreign_folds.split_groups(his, ground.rows[group].to_numpy()) if group else 0,
        scores=foreign_folds.own_scores(ground.competition.metric, ground.rows, oof, his),
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _config(ground: Ground, name: str, files: Files) -> dict[str, Any]:
    """The config.json of the run: the keys of a protocol, and the names of the files."""
    own = ground.protocol.model_dump(mode="json")
    named = {side: path.name for side, path in vars(files).items() if path is not None}
    return {"config": name, "recipe": RECIPE, "files": named, **{key: own[key] for key in (*DRAWN, "seeds", "accept")}}


@contextmanager
def _started(
    workspace: Workspace, ground: Ground, config: Mapping[str, Any], hashes: Mapping[str, str]
) -> Iterator[Path]:
    """The run's folder, new or of an import that was interrupted, locked meanwhile."""
    contents = data_hash(ground.competition, ground.tables)
    inputs = {"config": config, "files": hashes, "data": contents, "folds": ground.drawn}
    entries = (f"competitions.{ground.name}", alignment.__name__, combine_fits.__module__)
    known = fingerprint.run_identity(inputs, fingerprint.code_hashes(entries, sources(workspace)))
    done = runs.finished_run(workspace.runs / ground.name, known["identity"])
    if done is not None:
        raise GoldfoldError(
            "import_twice",
            f"run '{runs.run_name(done)}' holds these predictions already: use it, such as make score "
            f"RUN={runs.run_name(done)}",
        )
    facts = {**provenance.reproduce(workspace.root), **known, "data_hash": contents}
    with runs.start_run(workspace, ground.name, config["config"], known["identity"], facts) as started:
        workspace.observer.line(f"run {started.folder}: imported from {config['files']['oof']}")
        write_json(started.folder / "config.json", config)
        write_text(started.folder / "folds.csv", ground.drawn)
        yield started.folder


def _conclude(
    workspace: Workspace, ground: Ground, form: Form, found: tuple[np.ndarray, TestPart, FoldFacts], run: Path
) -> None:
    """Score the predictions on every fold and conclude their run."""
    oof, part, folds = found
    recipe = alignment.labeling_recipe(ground.competition)
    experiment = as_run.experiment_of(
        ground.competition,
        ground.tables,
        ground.folds,
        ground.protocol,
        workspace.cache,
        labels=recipe.labels if recipe else None,
        classes=class_order(ground.competition, recipe, ground.tables.train) if recipe else None,
    )
    fits = [
        as_run.fit_of(experiment, number, oof[np.searchsorted(ground.positions, experiment.folds[number].validation)])
        for number in fold_numbers(ground.protocol, experiment.folds)
    ]
    as_run.save_scores(fits, run)
    whole = replace(combine_fits(experiment, fits), test=part.values)
    metric, summary = next(iter(whole.metrics.items()))
    checks = _checks(members.foreign_folds(folds, metric, summary["mean"], f"runs/{ground.name}/{run.name}/folds.csv"))
    conclude(workspace, experiment, fits, run, checks, whole, part.ready)


def _checks(findings: list[Finding]) -> list[Check]:
    """What was looked at before the predictions were scored, and what nobody can look at."""
    return [
        made("ids, columns and ranges of the imported files", [], []),
        made("folds of the imported predictions against those that score them", ["foreign_folds"], findings),
        not_made("rules of the competition", ["rule_broken"], "another program made the predictions"),
    ]
