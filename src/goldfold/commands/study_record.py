"""What a study leaves: its record with pictures, the honest score of its winner, and the config to commit."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from goldfold.commands import project
from goldfold.commands.experiments import Prepared
from goldfold.commands.redraws import Scores
from goldfold.commands.trials import Asked, varied
from goldfold.engine import config as configs
from goldfold.engine.studies import Study
from goldfold.engine.trials import TrialRecord
from goldfold.files import read_json, write_bytes, write_json, write_text
from goldfold.trust.report.markdown import duration
from goldfold.trust.report.study import Facts, Reestimate, top
from goldfold.trust.report.study_config import best_config
from goldfold.trust.report.study_page import page, pictures

FACTS = "study.json"  # what the last command wrote, by which its own config file is told from a person's

Redraw = Callable[[TrialRecord], tuple[Scores, Scores] | None]


def conclude(found: Prepared, study: Study, asked: Asked, redraw: Redraw) -> None:
    """Say and write what the study found so far.

    redraw: the winner's and trial 0's scores on new folds; asked for when no trial is left to be made, or no time.
    """
    records = study.records()
    facts = _facts(found, study, asked, records)
    print("\n".join(top(facts)))
    ended = sum(record.state != "running" for record in records) >= asked.trials
    ended = ended or (asked.until is not None and time.time() > asked.until)
    if ended and facts.winner and (drawn := redraw(facts.winner)):
        honest = Reestimate(facts.winner.value, *drawn)
        facts = _facts(found, study, asked, records, honest)
        _say(facts)
    name = f"{asked.study}-best"
    config = _write_config(found, facts, asked, name) if ended and facts.winner and facts.winner.number else None
    _write_page(facts, asked, name if config else None)
    if config:
        print(f"config {config}: make train COMP={asked.competition} CONFIG={name}")
    elif ended and facts.winner:
        print("no trial beats the config itself, so there is no new one")
    print(f"record {asked.folder / 'record.md'}")


def _say(facts: Facts) -> None:
    honest = facts.honest
    edges = "[{:+.4f}, {:+.4f}]".format(*honest.gain.interval) if honest.gain.interval else "no interval"
    print(
        f"trial {facts.winner.number} on folds drawn anew: {facts.metric} {honest.score:.4f} "
        f"({honest.study:.4f} on those that chose it), {honest.gain.mean:+.4f} {edges} against the config itself"
    )


def _facts(
    found: Prepared, study: Study, asked: Asked, records: Sequence[TrialRecord], honest: Reestimate | None = None
) -> Facts:
    metric = found.experiment.competition.metric
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
        storage=study.place.shown,
        honest=honest,
    )


def _times(records: Sequence[TrialRecord]) -> tuple[float, int]:
    """Seconds in which a trial was under way, and how many were at once, at most."""
    ends = [(record.started.timestamp(), 1) for record in records if record.started and record.ended]
    ends += [(record.ended.timestamp(), -1) for record in records if record.started and record.ended]
    seconds, under_way, most, before = 0.0, 0, 0, 0.0
    for moment, change in sorted(ends):
        seconds += moment - before if under_way else 0.0
        under_way, before = under_way + change, moment
        most = max(most, under_way)
    return seconds, most


def _write_config(found: Prepared, facts: Facts, asked: Asked, name: str) -> Path:
    """`configs/<competition>/<study>-best.yaml`; where a person has changed that file, beside the record instead."""
    recipes = found.experiment.competition.recipes
    values = varied(found.config, dict(facts.winner.params), recipes).resolved()
    defaults = configs.resolve(name, {"recipe": found.config.recipe}, recipes).resolved()
    seconds = (facts.winner.ended - facts.winner.started).total_seconds()
    cost = f"{duration(seconds)} as a trial with {facts.workers} at once"
    text = best_config(facts, name, values, defaults, cost)
    path, own = project.config_path(asked.competition, name), asked.folder / FACTS
    written = read_json(own)["config"] if own.exists() else None
    if path.exists() and _hash(path.read_text(encoding="utf-8")) not in (written, _hash(text)):
        path = asked.folder / path.name
    else:
        write_json(own, {"config": _hash(text)})
    write_text(path, text)
    return path


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write_page(facts: Facts, asked: Asked, config: str | None) -> None:
    """The record with its pictures. config: the winner's, None while there is none."""
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
    write_text(asked.folder / "record.md", text)


def _train_command(facts: Facts, asked: Asked, config: str | None) -> str:
    if config:
        return f"make train COMP={asked.competition} CONFIG={config}"
    params = facts.winner.params if facts.winner else {}
    values = [*asked.overrides, *(f"{key}={json.dumps(value)}" for key, value in params.items())]
    return f"make train COMP={asked.competition} CONFIG={asked.config} SET='{' '.join(values)}'"
