"""`record.md` of a study: what was searched, what won and by how much, what of that is luck, and how to go on."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from goldfold.engine.trials import TrialRecord
from goldfold.trust.report.markdown import code, duration, table
from goldfold.trust.report.study import (
    HEADER,
    TOP,
    Facts,
    cells,
    choices,
    same,
    score,
    shown,
    signed,
    signed_interval,
    stopped,
)
from goldfold.trust.report.study_figures import history, spending
from goldfold.trust.report.study_importances import importances
from goldfold.trust.report.study_slices import slices
from goldfold.trust.report.study_timeline import timeline

EDGE = 0.02  # of a range, from its ends
PICTURES = {
    "history.png": (history, "Scores of complete trials with the best so far, and the folds fitted in each trial"),
    "importances.png": (importances, "Which parameters set the best tenth of the trials apart, beside chance"),
    "slices.png": (slices, "Scores by each parameter"),
    "timeline.png": (timeline, "Which worker carried out which trial when"),
}


def pictures(facts: Facts) -> dict[str, bytes]:
    """File name -> PNG; those that need more trials are left out."""
    drawn = {name: draw(facts) for name, (draw, _) in PICTURES.items()}
    return {name: picture for name, picture in drawn.items() if picture is not None}


def page(facts: Facts, *, train: str, go_on: str, drawn: Collection[str]) -> str:
    """The text of the study's `record.md`.

    train: the command that trains a winner other than trial 0. go_on: the one that carries the study on. drawn: names
    of the pictures beside it.
    """
    sections = {
        "The winner on folds that chose nothing": _honest(facts),
        "What was searched": _space(facts),
        f"The {TOP} best" if len(facts.ranked) > TOP else "Complete trials": _best(facts),
        "What it took": _cost(facts),
        "Pruned": _pruned(facts),
        "Failed": _failed(facts),
        "How to go on": _go_on(facts, train, go_on),
        "Pictures": "\n\n".join(f"![{told}]({name})" for name, (_, told) in PICTURES.items() if name in drawn),
    }
    parts = [f"# {facts.competition} / study {facts.name}\n\nConfig `{facts.config}`.", _result(facts)]
    parts += [f"## {heading}\n\n{text}" for heading, text in sections.items() if text]
    return "\n\n".join(parts) + "\n"


def _go_on(facts: Facts, train: str, go_on: str) -> str:
    more = f"More trials of this study:\n\n{code(go_on, 'sh')}"
    if facts.winner is None or facts.winner.number == 0:
        return more
    return f"The winner as a run, with its submission and record:\n\n{code(train, 'sh')}\n\n{more}"


def _result(facts: Facts) -> str:
    winner, of = facts.winner, f"chance level {score(facts.chance)}, {facts.better} is better"
    if winner is None:
        return f"No trial is complete ({facts.states}), so there is no winner yet."
    if winner.number == 0:
        return f"**No trial beats the config itself, {facts.metric} {score(winner.value)}**; {of}."
    lines = [f"**Trial {winner.number}: {facts.metric} {score(winner.value)} in the study**; {of}."]
    if facts.honest:
        found = facts.honest
        lines.append(
            f"On folds drawn anew: **{score(found.score)}**, {_against(found.gain.mean, found.gain.interval)}."
        )
    else:
        lines.append("It was not tried on other folds, so that this number is the optimistic one.")
    return "\n\n".join(lines)


def _against(mean: float, edges: Sequence[float] | None) -> str:
    return f"{signed(mean)} (absolute), 95 % {signed_interval(edges)}, against the config itself"


def _honest(facts: Facts) -> str:
    """How much of the winner's score is due to its being the best of many."""
    winner = facts.winner
    if winner is None or winner.number == 0:
        return ""
    sentences = [
        f"{score(winner.value)} is the best of {len(facts.ranked)} complete trials (of {len(facts.trials)}) on the "
        "very folds that chose it. The best of many is partly lucky, so the number is optimistic."
    ]
    if facts.honest:
        sentences += _redrawn(facts)
    if (free := facts.left_out) is not None:
        sentences.append(
            f"Another look, without any new fit: when each fold is scored by the trial that is best on the others, the "
            f"mean is {score(free)}. What the sampler learned from that fold is left in it."
        )
    return "\n\n".join(sentences)


def _redrawn(facts: Facts) -> list[str]:
    found, sign = facts.honest, 1 if facts.higher_is_better else -1
    seeds = [str(seed) for seed in found.winner]
    draws = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(seeds[:-1])} and {seeds[-1]}"
    rows = [
        [f"trial {facts.winner.number}", score(found.study), score(found.score), signed(found.score - found.study)],
        ["trial 0, the config", *_baseline_row(facts)],
    ]
    lost = sign * (found.study - found.score)
    flattered = f"{score(lost)} better than" if lost > 0 else f"{score(-lost)} worse than"
    low, high = (sign * edge for edge in found.gain.interval) if found.gain.interval else (math.nan, math.nan)
    if min(low, high) > 0:
        verdict = "the winner is better than the config it began with."
    elif max(low, high) < 0:
        verdict = "the winner is worse than the config it began with."
    else:
        verdict = "that the winner is better than the config it began with is not shown."
    return [
        table(("", "in the study", "on new folds", "new less study"), rows),
        f"The new folds are drawn with {draws}, {found.folds} each. The study's number is {flattered} the winner's "
        f"score on them. There the winner is {_against(found.gain.mean, found.gain.interval)} (paired over folds, "
        f"corrected for the rows that fits share): {verdict}",
    ]


def _baseline_row(facts: Facts) -> list[str]:
    new, old = facts.honest.baseline_score, facts.baseline.value if facts.baseline else None
    return ["-", score(new), "-"] if old is None else [score(old), score(new), signed(new - old)]


def _space(facts: Facts) -> str:
    """Every searched parameter with the config's own value and the winner's."""
    rows = []
    for key, entry in facts.space.items():
        own, won = (_value(trial, key) for trial in (facts.baseline, facts.winner))
        rows.append([f"`{key}`", searched(entry), own, won, _note(facts, key, entry)])
    winner = f"trial {facts.winner.number}" if facts.winner and facts.winner.number else "winner"
    return table(("parameter", "searched", "config", winner, "note"), rows, left=5)


def searched(entry: Any) -> str:
    """An entry of a search space in words.

    >>> searched({"low": 0.0001, "high": 0.01, "log": True, "when": {"schedule": "cosine"}})
    '0.0001 to 0.01, by its logarithm, when schedule is cosine'
    """
    listed = choices(entry)
    if isinstance(entry, list):
        return " / ".join(map(shown, entry))
    words = [f"{shown(entry['low'])} to {shown(entry['high'])}"] if listed is None else [searched(listed)]
    words += ["by its logarithm"] if entry.get("log") else []
    words += [f"in steps of {shown(entry['step'])}"] if entry.get("step") else []
    for name, wanted in entry.get("when", {}).items():
        words.append(f"when {name} is {' or '.join(map(shown, wanted if isinstance(wanted, list) else [wanted]))}")
    return ", ".join(words)


def _value(trial: TrialRecord | None, key: str) -> str:
    return shown(trial.params[key]) if trial is not None and key in trial.params else "-"


def _note(facts: Facts, key: str, entry: Any) -> str:
    """What the table of parameters has to say of one beside its values."""
    taken = [trial.params[key] for trial in facts.trials if key in trial.params]
    if not taken:
        return "in no trial: its condition never held"
    if len(facts.trials) > 1 and all(same(value, taken[0]) for value in taken):
        return "never varied"
    winner = facts.winner
    if winner is None or winner.number == 0 or key not in winner.params or choices(entry) is not None:
        return ""
    share = _share(entry, winner.params[key])
    if EDGE <= share <= 1 - EDGE:
        return ""
    return f"the winner lies at the {'lower' if share < EDGE else 'upper'} end: the best may lie beyond"


def _share(entry: Mapping[str, Any], value: float) -> float:
    """Where in its range a value lies, from 0 to 1."""
    ends = (entry["low"], entry["high"], value)
    low, high, at = map(math.log, ends) if entry.get("log") else ends
    return (at - low) / (high - low)


def _best(facts: Facts) -> str:
    """The best trials' scores, then their parameters."""
    trials = facts.ranked[:TOP]
    if not trials:
        return ""
    scores = table(("trial", *HEADER), [[str(trial.number), *cells(facts, trial)] for trial in trials], left=0)
    params = [[str(trial.number), *(_value(trial, key) for key in facts.space)] for trial in trials]
    note = (
        "Differences are absolute and paired over the study's folds, their intervals corrected for the training rows "
        "that folds share. Neither they nor the intervals of the means allow for the choice of the best."
    )
    return f"{scores}\n\n{note}\n\n{table(('trial', *facts.space), params, left=0)}"


def _cost(facts: Facts) -> str:
    lines = {
        "trials": f"{len(facts.trials)}: {facts.states}",
        "fits": f"{spending(facts)}; a finished trial takes {len(facts.order)}",
        "time": f"{duration(facts.seconds)}, up to {facts.workers} worker{'' if facts.workers == 1 else 's'} at once",
        "order of folds": ", ".join(map(str, facts.order)),
        "kept in": f"`{facts.storage}`",
    }
    return "\n".join(f"- {name}: {text}" for name, text in lines.items())


def _pruned(facts: Facts) -> str:
    """Where trials were stopped, and one of each kind in its own words."""
    groups: dict[tuple[int, bool], list[TrialRecord]] = {}
    for trial in facts.of("pruned"):
        groups.setdefault(stopped(trial), []).append(trial)
    lines = []
    for (done, within), trials in sorted(groups.items()):
        where = (
            f"within fold {done + 1} of {len(facts.order)}" if within else f"after {done} of {len(facts.order)} folds"
        )
        lines.append(f"- {len(trials)} {where}; trial {trials[0].number}: {trials[0].reason}")
    return "\n".join(lines)


def _failed(facts: Facts) -> str:
    reasons: dict[str, list[str]] = {}
    for trial in facts.of("failed"):
        reasons.setdefault(trial.reason or "no reason is known", []).append(str(trial.number))
    return "\n".join(f"- {_trials(numbers)}: {reason}" for reason, numbers in reasons.items())


def _trials(numbers: Sequence[str]) -> str:
    shortened = [*numbers[:TOP], *([f"{len(numbers) - TOP} more"] if len(numbers) > TOP else [])]
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(shortened)}"
