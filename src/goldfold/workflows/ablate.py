"""Ablation: a config and its named variants, trained with equal folds, seeds and budgets and compared in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goldfold.competition import Recipe
from goldfold.errors import GoldfoldError, way_on
from goldfold.experiment import config as configs
from goldfold.experiment import run_folders
from goldfold.experiment.executors import ExecutorRequest
from goldfold.experiment.run_folders import run_name
from goldfold.experiment.setup import accepting, prepare_experiment
from goldfold.experiment.workspace import Workspace
from goldfold.io import memory
from goldfold.io.files import write_bytes, write_text
from goldfold.params import Role, names
from goldfold.report.page import twin
from goldfold.report.plotting import markdown
from goldfold.report.run import ablation
from goldfold.training.devices import choose_device
from goldfold.trust.run_comparison import RunComparison, compare_runs
from goldfold.trust.untrained_baselines import compared
from goldfold.workflows.compare import PLACE
from goldfold.workflows.delivery.grade import grade, hidden_labels
from goldfold.workflows.refit import refit
from goldfold.workflows.train import carry_out

if TYPE_CHECKING:
    from pandas import DataFrame

UNEQUAL_BUDGET = "unequal_budget"
SHARED = ("seed", "seeds", "folds", "select")  # keys that variants share, or their scores could not be paired


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A config, called `reference`, and its variants, trained and compared.

    runs: name of a variant -> its run. table: a row per variant and metric, see `report.run.ablation.table`. files:
    table as CSV, report, picture.
    """

    runs: Mapping[str, Path]
    comparison: RunComparison
    table: DataFrame
    text: str
    files: tuple[Path, ...]

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return markdown.code(self.text)


def ablate(
    workspace: Workspace,
    name: str,
    config_name: str = "baseline",
    overrides: Sequence[str] = (),
    *,
    hidden: bool = False,
    device: str | None = None,
    executor: ExecutorRequest | None = None,
    accept: Sequence[str] = (),
) -> Ablation:
    """Train the config and the variants of its `ablation:` block, and write their comparison.

    Finished runs of equal config, data and code are used again, and an interrupted one is resumed.

    overrides: `key=value` words, for all variants. hidden: refit every variant on all rows, and score its folds' models
        and its refit on the hidden labels. executor: the fits of a variant run in parallel on it. accept: codes of
        findings that do not stop a run or the comparison.

    Raises:
        GoldfoldError: the config has no variants, or a variant is invalid, changes seeds or folds, or trains for
            another number of epochs and `unequal_budget` is not accepted; and as `train`, `refit` and `grade`.
    """
    memory.keep_freed_memory()
    recipes = workspace.competition(name, edited=True).recipes
    variants = configs.read_variants(workspace.config_path(name, config_name), overrides, recipes)
    _check_shared(variants, recipes, accept)
    workspace.prepare(name)
    if hidden:
        hidden_labels(workspace, name)
    runs = {}
    for variant, config in variants.items():
        workspace.observer.line(f"variant {variant}: {ablation.changed_keys(variants, variant)}")
        prepared = prepare_experiment(workspace, name, accepting(config, accept), choose_device(device))
        finished = run_folders.finished_run(workspace.runs / name, prepared.hashes()["identity"])
        if finished:
            workspace.observer.line(f"finished before: {run_name(finished)}")
        runs[variant] = finished or carry_out(prepared, executor=executor)
        if hidden:
            refit(workspace, runs[variant], device=device, accept=accept)
            grade(workspace, runs[variant])
    found = compare_runs(compared(workspace, list(runs.values())), [*accept, UNEQUAL_BUDGET])
    return _written(workspace.runs / name / PLACE / f"{config_name}-ablation", variants, runs, found)


def _check_shared(variants: Mapping[str, configs.Config], recipes: Mapping[str, Recipe], accept: Sequence[str]) -> None:
    """Refuse variants whose scores could not be paired, or whose budgets differ by their epochs."""
    first = variants[configs.REFERENCE].resolved()
    for variant, config in variants.items():
        own = config.resolved()
        for key in SHARED:
            if own[key] != first[key]:
                raise GoldfoldError(
                    "variant_not_paired",
                    f"variant '{variant}' changes {key}, and variants share folds, seeds and selection: leave "
                    "it out, and set it for all with SET",
                )
        epochs = [key for key in names(recipes[config.recipe].params, Role.EPOCHS) if own.get(key) != first.get(key)]
        same = config.recipe == first["recipe"]
        if epochs and same and UNEQUAL_BUDGET not in accept:
            raise GoldfoldError(
                UNEQUAL_BUDGET,
                f"variant '{variant}' changes {', '.join(epochs)}, so a difference may come from the training budget "
                f"alone: leave it out, or compare nevertheless ({way_on(UNEQUAL_BUDGET)})",
            )


def _written(
    folder: Path, variants: Mapping[str, configs.Config], runs: Mapping[str, Path], found: RunComparison
) -> Ablation:
    table = ablation.table(found, runs)
    text = ablation.text(found, runs, variants)
    contents = {
        "ablation.csv": table.to_csv(index=False, lineterminator="\n"),
        "ablation.md": ablation.page(folder.name, found, runs, variants),
    }
    for file, content in contents.items():
        write_text(folder / file, content)
    write_bytes(folder / "ablation.png", ablation.picture(found, runs))
    twin.write(folder / "ablation.md")
    files = tuple(folder / file for file in (*contents, "ablation.html", "ablation.png"))
    shown = f"{text}\n{folder}: {', '.join(file.name for file in files)}"
    return Ablation(runs=runs, comparison=found, table=table, text=shown, files=files)
