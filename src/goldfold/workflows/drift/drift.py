"""Tell a competition's test rows from its train rows, and write what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from pandas import DataFrame

from goldfold.competition import Competition, Tables
from goldfold.data import tables
from goldfold.data.image_checks import are_images
from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment.fits import Protocol
from goldfold.experiment.run_folders import open_run
from goldfold.experiment.setup import config_of_run, draw_folds
from goldfold.experiment.workspace import Workspace
from goldfold.io.formatting import count
from goldfold.report.drift import page
from goldfold.report.plotting import markdown
from goldfold.trust.audits import Finding
from goldfold.trust.drift import features, image_statistics
from goldfold.trust.drift.features import Features
from goldfold.trust.drift.measure import measure, sides
from goldfold.trust.drift.verdict import Comparison
from goldfold.workflows.drift.frozen import embeddings
from goldfold.workflows.drift.record import Known, Measured, remarks_on_rows, write


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What adversarial validation found.

    compared: a comparison per classifier: by columns and image statistics, by features of a frozen backbone. findings:
    `train_and_test_differ`, and of row order, ids and paths that tell a target. likeness: a row per compared row with
    table, id, likeness to test rows and weight, of the classifier that tells the tables apart best. next_step: what to
    do, in a sentence. files: that were written.
    """

    compared: tuple[Comparison, ...]
    findings: tuple[Finding, ...]
    likeness: DataFrame
    next_step: str
    text: str
    files: tuple[Path, ...]

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return markdown.code(self.text)


def drift(
    workspace: Workspace, name: str, config: str | None = None, run: str | None = None, *, device: str | None = None
) -> Drift:
    """Compare the train and the test table of a competition, and write the record into its folder of runs.

    config, run: also by the features of its frozen backbone; at most one of them. device: of the backbone.

    Raises:
        GoldfoldError: the tables share nothing that can be compared (`nothing_to_compare`), have too few rows
            (`too_few_rows_to_compare`), or the config has no frozen backbone (`no_frozen_features`).
    """
    competition = workspace.competition(name, edited=True)
    chosen = _config(workspace, name, competition, config, run)
    workspace.prepare(name)
    data = workspace.load(name)
    tables.check(competition, data)
    folds = draw_folds(name, competition, data.train, Protocol() if chosen is None else chosen.protocol, None)
    rows = sides(competition, data.train, data.test)
    both = [part.iloc[at] for part, at in ((data.train, rows.train_rows), (data.test, rows.test_rows))]
    seen, by, remarks = _columns(workspace, competition, both)
    parts = [(seen, by)] if seen.names else []
    if chosen is not None:
        whole = pd.concat([tables.without_targets(part, competition.targets) for part in both], ignore_index=True)
        embedded = embeddings(workspace, name, chosen, whole, device)
        parts.append((embedded, f"{len(embedded.names):,} features of {config or run}"))
    if not parts:
        raise _nothing(name, data)
    found: list[Measured] = []
    for each, what in parts:
        workspace.observer.work("comparing train and test rows", len(found), len(parts))
        found.append(Measured(each, *measure(each, rows, folds, what)))
    workspace.observer.close()
    known = Known(
        name=name,
        competition=competition,
        data=data,
        rows=rows,
        measured=found,
        remarks=[*remarks, *remarks_on_rows(competition, data, rows)],
    )
    place = workspace.runs / name / page.PLACE / (config or (Path(run).name if run else page.COLUMNS))
    return _result(known, write(known, place), place)


def _nothing(name: str, data: Tables) -> GoldfoldError:
    """That the tables share nothing, and what to do: only images can be compared by a frozen backbone."""
    files = are_images(data.train) and are_images(data.test)
    return GoldfoldError(
        "nothing_to_compare",
        f"the tables of '{name}' share no column beside ids, files and groups that changes, and "
        + (
            "their images are alike in all statistics: name a config with a frozen backbone by CONFIG="
            if files
            else "have no images: add columns to both tables in load(), such as the length of each file"
        ),
    )


def _result(known: Known, files: Sequence[Path], place: Path) -> Drift:
    told = known.told()
    return Drift(
        compared=tuple(told.compared),
        findings=tuple(told.findings),
        likeness=told.likeness,
        next_step=told.next_step,
        text=f"{page.text(told)}\n\n{place}: {', '.join(path.name for path in files)}",
        files=tuple(files),
    )


def _columns(
    workspace: Workspace, competition: Competition, both: Sequence[DataFrame]
) -> tuple[Features, str, list[str]]:
    """Features of columns and image statistics, what they are in words, and remarks."""
    train, test = (part.reset_index(drop=True) for part in both)
    found, remarks = features.of_tables(competition, train, test)
    parts = [count(len(found.names), "column")] if found.names else []
    if are_images(train) and are_images(test):
        paths = [*train["path"], *test["path"]]
        told = partial(workspace.observer.work, "image statistics")
        measured = image_statistics.statistics(paths, workspace.cache, told)
        if lost := int(np.isnan(measured).all(1).sum()):
            remarks.append(f"{count(lost, 'image')} cannot be decoded: their statistics count as missing")
        images = features.of_images(measured, image_statistics.NAMES)
        found = features.joined(found, images)
        parts += [count(len(images.names), "image statistic")] if images.names else []
    return found, " and ".join(parts), remarks


def _config(
    workspace: Workspace, name: str, competition: Competition, config: str | None, run: str | None
) -> configs.Config | None:
    if config and run:
        raise GoldfoldError(
            "config_and_run", f"CONFIG={config} and RUN={run} were both given: leave one out, a run has its own config"
        )
    if config:
        return configs.read_config(workspace.config_path(name, config), (), competition.recipes)
    if not run:
        return None
    folder = open_run(workspace, run if "/" in run or run == "latest" else f"{name}/{run}")
    if folder.parent.name != name:
        raise GoldfoldError(
            "run_of_another_competition",
            f"run '{folder.parent.name}/{folder.name}' is not of '{name}': use COMP={folder.parent.name}",
        )
    return config_of_run(workspace, folder)
