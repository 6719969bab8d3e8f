"""Sections of a run's record on its fits: scores per fold, and training cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from goldfold.experiment.teachers.find import FACTS, ROWS
from goldfold.io import clock
from goldfold.io.files import read_json
from goldfold.io.formatting import duration, number
from goldfold.report.plotting.markdown import table

Fit = Mapping[str, Any]  # a fit.json, with its history.json as "history"
Row = Mapping[str, Any]  # of a history.json


def read(run: Path) -> list[Fit]:
    """Read all fits of a run's folder, sorted by fold and seed."""
    folders = (path.parent for path in run.glob("fold*-seed*/fit.json"))
    fits = [{**read_json(place / "fit.json"), "history": read_json(place / "history.json")} for place in folders]
    return sorted(fits, key=lambda fit: (fit["fold"], fit["seed"]))


def scores(fits: Sequence[Fit], metrics: Mapping[str, Any], rows: Mapping[int, int], select: str) -> str:
    """Markdown with a line per fit: its rows, epoch and metrics, and the score another selection rule would give.

    metrics: name -> summary, the competition's own first. rows: fold -> number of scored rows. select: the config's
    rule for the epoch: 'last', 'best' or the name of a monitored value.
    """
    name, summary = next(iter(metrics.items()))
    columns = {"fold": [str(fit["fold"]) for fit in fits]}
    if len({fit["seed"] for fit in fits}) > 1:
        columns["seed"] = [str(fit["seed"]) for fit in fits]
    columns["rows"] = [f"{rows[fit['fold']]:,}" for fit in fits]
    if any(fit["history"] for fit in fits):
        columns["epoch"] = [f"{fit['epoch']} of {_last_stage(fit)[-1]['epoch']}" for fit in fits]
    for metric in metrics:
        columns[metric] = [number(fit["scores"][metric]) for fit in fits]
    if all(fit.get("untrained") for fit in fits):
        columns[f"{name}, untrained"] = [number(fit["untrained"][name]) for fit in fits]
    columns[f"chance level of {name}"] = [number(fit["chance"][name]) for fit in fits]
    others = [_unchosen(fit, select, summary["higher_is_better"]) for fit in fits]
    note = ""
    if any(other and other["epoch"] != fit["epoch"] for fit, other in zip(fits, others, strict=True)):
        label = "last epoch" if select == "best" else "best epoch"
        columns[label] = [f"{number(other['metric'])} at {other['epoch']}" if other else "-" for other in others]
        note = "\n\n" + _optimism(fits, others, select, name)
    return table(list(columns), list(zip(*columns.values(), strict=True))) + note


def training_rows(run: Path, config: Mapping[str, Any]) -> str:
    """Markdown on rows that train beside those of the folds: extra ones and those that teachers label; empty without.

    config: every key of the run with its value.
    """
    if not (run / ROWS).exists():
        return ""
    known = read_json(run / ROWS, dict)
    lines = [f"{known['extra']:,} extra rows train in every fold and are never scored."] if known["extra"] else []
    if known["extra_left_out"]:
        lines.append(f"{known['extra_left_out']:,} extra rows are left out: `extra: false`, or they have no targets.")
    teachers = read_json(run / FACTS, dict) if (run / FACTS).exists() else {}
    lines += [_taught(key, each, config[key]) for key, each in teachers.items()]
    columns = {"fold": list(known["own"]), "own rows": [f"{rows:,}" for rows in known["own"].values()]}
    if known["extra"]:
        columns["extra rows"] = [f"{known['extra']:,}"] * len(known["own"])
    if "pseudo_labels" in teachers:
        columns["pseudo-labeled rows"] = [f"{rows:,}" for rows in known["pseudo_labeled"].values()]
    return "\n\n".join([*lines, table(list(columns), list(zip(*columns.values(), strict=True)))])


def _taught(key: str, teacher: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """What a teacher does for a run, in a sentence or two."""
    chain = f", which was taught by {', '.join(teacher['teachers'])}" if teacher["teachers"] else ""
    run = f"`{teacher['run']}`{chain}, identity `{teacher['identity'][:12]}`"
    if key == "pseudo_labels":
        threshold = "every row" if asked["threshold"] is None else f"rows of probability {asked['threshold']:g} or more"
        what = f"{asked['labels']} labels of weight {asked['weight']:g} for {threshold} of the {asked['rows']} rows"
        return f"Pseudo-labels: {what}, in each fold by the fits of the same fold of {run}."
    what = f"share {asked['alpha']:g} of the loss at temperature {asked['temperature']:g}"
    return f"Distillation: {what}, {asked['predictions'].replace('_', ' ')} predictions of {run}."


def _last_stage(fit: Fit) -> list[Row]:
    return [row for row in fit["history"] if row["stage"] == fit["history"][-1]["stage"]]


def _unchosen(fit: Fit, select: str, higher_is_better: bool) -> Row | None:
    """The epoch that the other rule would select: the best (first of equals) or the last; None without training."""
    rows = [row for row in _last_stage(fit) if row["metric"] is not None]
    if not rows or select == "best":
        return rows[-1] if rows else None
    return max(rows, key=lambda row: row["metric"] if higher_is_better else -row["metric"])


def _optimism(fits: Sequence[Fit], others: Sequence[Row | None], select: str, metric: str) -> str:
    """How much scores of the other rule differ from the reported ones; a selected epoch may be unscored."""
    epochs = [(fit, other) for fit, other in zip(fits, others, strict=True) if other]
    chosen = fmean(fit["scores"][metric] for fit, _ in epochs)
    other = fmean(row["metric"] for _, row in epochs)
    apart = f"{number(abs(chosen - other))} (absolute)"
    if select != "best":
        return (
            f"The best scored epoch of each fit gives {number(other)} on average, a difference of {apart}: selecting "
            "epochs on the scored fold would be optimistic by that much."
        )
    return (
        f"The last epoch of each fit gives {number(other)} on average. Each epoch was selected on the fold it is "
        f"scored on, so the scores are optimistic by up to {apart}."
    )


def budget(fits: Sequence[Fit], hardware: Mapping[str, Any]) -> str:
    """Markdown with the training cost of each fit and in total. hardware: from `reproduce.json`."""
    if not any(fit["history"] for fit in fits):
        return "Nothing was trained by epochs."
    spent = [[len(fit["history"]), *(_sum(fit, key) for key in ("steps", "samples", "seconds"))] for fit in fits]
    spent.append([sum(column) for column in zip(*spent, strict=True)])
    names = [*(f"fold {fit['fold']}, seed {fit['seed']}" for fit in fits), "total"]
    lines = [
        [name, f"{epochs:,}", f"{steps:,}", f"{samples:,}", f"{seconds:,.1f}"]
        for name, (epochs, steps, samples, seconds) in zip(names, spent, strict=True)
    ]
    machine = ", ".join(card["name"] for card in hardware["gpus"]) or f"{hardware['cpu']}, {hardware['cores']} cores"
    text = table(("fit", "epochs", "optimizer steps", "samples", "seconds"), lines)
    return f"{text}\n\n{duration(spent[-1][-1])} of training on {machine}, not counting scoring."


def spent(run: Path) -> list[str]:
    """Where the time of a run went, in a line: of its fits, whoever made them, and of the rest of the last start."""
    phases = clock.total(read_json(path, dict) for path in (*run.glob(clock.FILE), *run.glob(f"fold*/{clock.FILE}")))
    if not phases:  # runs of older versions
        return []
    wall, cpu = (sum(seconds[at] for seconds in phases.values()) for at in (0, 1))
    parts = [f"{name} {each_cpu:.1f} ({each_wall:.1f})" for name, (each_wall, each_cpu) in phases.items()]
    return [f"Where the time went, CPU seconds (wall seconds): {', '.join(parts)}; {cpu:.1f} ({wall:.1f}) in all."]


def _sum(fit: Fit, key: str) -> Any:
    return sum(row[key] for row in fit["history"])
