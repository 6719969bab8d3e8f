"""Write a study's record with pictures, the re-evaluation of its best trial, and the best config."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from goldfold.experiment import config as configs
from goldfold.experiment.setup import Prepared
from goldfold.io.files import read_json, write_bytes, write_json, write_text
from goldfold.io.formatting import duration
from goldfold.report.page import twin
from goldfold.report.study.best_config import best_config
from goldfold.report.study.numbers import Facts, Reestimate
from goldfold.report.study.page import page, pictures
from goldfold.report.study.result import RECORD, StudyResult
from goldfold.tuning.reevaluation import Scores
from goldfold.tuning.studies import Study
from goldfold.tuning.trials import TrialRecord
from goldfold.tuning.work import Asked, varied

FACTS = "study.json"  # hash of the config the last command wrote, to detect manual edits

Redraw = Callable[[TrialRecord], tuple[Scores, Scores] | None]


def conclude_study(found: Prepared, study: Study, asked: Asked, redraw: Redraw) -> StudyResult:
    """Write the study's results so far: record, pictures and, once it is over, the best trial's config.

    redraw: scores the best trial and trial 0 on newly drawn folds; called once all trials have ended or time is up.
    """
    facts = study_facts(found, study, asked)
    concluded = len(facts.trials) - len(facts.of("running")) >= asked.trials
    concluded = concluded or (asked.until is not None and time.time() > asked.until)
    if concluded and facts.winner and (drawn := redraw(facts.winner)):
        facts = replace(facts, reestimate=Reestimate(facts.winner.mean, *drawn))
    winner, config = facts.winner, None
    if concluded and winner and winner.number:
        config = _write_config(found, facts, winner, asked, f"{asked.study}-best")
    _write_page(facts, asked, config.stem if config else None)
    return StudyResult(facts, asked.folder, asked.trials, concluded, config)


def study_facts(found: Prepared, study: Study, asked: Asked) -> Facts:
    """The study at this moment."""
    metric, records = found.experiment.competition.metric, study.records()
    seconds, workers = _times(records)
    return Facts(
        name=asked.study,
        competition=asked.competition,
        config=asked.config,
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        bounds=metric.bounds,
        chance=float(metric.chance(found.experiment.tables.train)),
        order=study.basis.order,
        trials=records,
        space=study.space.written,
        seconds=seconds,
        workers=workers,
        storage=study.storage.shown,
        code_changes=study.code_changes,
    )


def _times(records: Sequence[TrialRecord]) -> tuple[float, int]:
    """Seconds in which at least one trial ran, and the most trials at once."""
    ends = [(record.started.timestamp(), 1) for record in records if record.started and record.ended]
    ends += [(record.ended.timestamp(), -1) for record in records if record.started and record.ended]
    seconds, running, most, before = 0.0, 0, 0, 0.0
    for moment, change in sorted(ends):
        seconds += moment - before if running else 0.0
        running, before = running + change, moment
        most = max(most, running)
    return seconds, most


def _write_config(found: Prepared, facts: Facts, winner: TrialRecord, asked: Asked, name: str) -> Path:
    """Write `configs/<competition>/<study>-best.yaml`; if that file was edited by hand, write beside the record."""
    recipes = found.experiment.competition.recipes
    values = varied(found.config, dict(winner.params), recipes).effective().resolved()
    defaults = configs.resolve_config(name, {"recipe": found.config.recipe}, recipes).resolved()
    assert winner.started is not None, "the winner is complete"
    assert winner.ended is not None, "the winner is complete"
    seconds = (winner.ended - winner.started).total_seconds()
    cost = f"{duration(seconds)} as a trial with {facts.workers} at once"
    text = best_config(facts, name, values, defaults, cost)
    path, own = found.workspace.config_path(asked.competition, name), asked.folder / FACTS
    written = read_json(own, dict).get("config") if own.exists() else None
    if path.exists() and _hash(path.read_text(encoding="utf-8")) not in (written, _hash(text)):
        path = asked.folder / path.name
    else:
        write_json(own, {"config": _hash(text)})
    write_text(path, text)
    return path


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write_page(facts: Facts, asked: Asked, config: str | None) -> None:
    """Write the record and its pictures. config: name of the best trial's config, None if none was written."""
    drawn = pictures(facts)
    for file, picture in drawn.items():
        write_bytes(asked.folder / file, picture)
    options = [f"COMP={asked.competition}", f"CONFIG={asked.config}", f"TRIALS={2 * asked.trials}"]
    options += [f"STUDY={asked.study}"] if asked.study != asked.config else []
    options += [f"SET={json.dumps(' '.join(asked.overrides))}"] if asked.overrides else []
    options += ["STORAGE=..."] if asked.storage else []
    text = page(
        facts,
        train=_train_command(facts, asked, config),
        go_on=f"make tune {' '.join(options)}",
        drawn=drawn,
    )
    write_text(asked.folder / RECORD, text)
    twin.write(asked.folder / RECORD)


def _train_command(facts: Facts, asked: Asked, config: str | None) -> str:
    if config:
        return f"make train COMP={asked.competition} CONFIG={config}"
    params = facts.winner.params if facts.winner else {}
    values = [*asked.overrides, *(f"{key}={json.dumps(value)}" for key, value in params.items())]
    return f"make train COMP={asked.competition} CONFIG={asked.config} SET='{' '.join(values)}'"
