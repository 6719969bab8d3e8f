"""`record.md` of a study: the best trial, its gain and re-evaluation, the search space, costs, and next steps."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from goldfold.io.formatting import duration, shown, signed, signed_interval
from goldfold.io.formatting import number as score
from goldfold.report.plotting.markdown import code, table
from goldfold.report.study.figures import history, slices, timeline
from goldfold.report.study.importances import importances
from goldfold.report.study.numbers import (
    HEADER,
    TOP,
    Facts,
    Gain,
    Reestimate,
    cells,
    choices,
    same,
    stopped,
)
from goldfold.tuning.trials import TrialRecord

EDGE = 0.02  # share of a range; a best value this close to an end gets a note
PICTURES = {
    "history.png": (history, "Scores of complete trials and the best so far"),
    "importances.png": (importances, "Importance of each parameter, with its chance level"),
    "slices.png": (slices, "Scores by the value of each parameter"),
    "timeline.png": (timeline, "When each trial ran and how it ended"),
}


def pictures(facts: Facts) -> dict[str, bytes]:
    """File name -> PNG, without the pictures that need more trials."""
    drawn = {name: draw(facts) for name, (draw, _) in PICTURES.items()}
    return {name: picture for name, picture in drawn.items() if picture is not None}


def page(facts: Facts, *, train: str, go_on: str, drawn: Collection[str]) -> str:
    """The text of the study's `record.md`.

    train: the command that trains the best trial, unless that is trial 0. go_on: the command that adds trials to the
    study. drawn: names of the pictures to show.
    """
    sections = {
        "Is the best trial better than the config?": _optimism(facts),
        "Search space": _space(facts),
        f"Best {TOP} trials" if len(facts.ranked) > TOP else "Complete trials": _best(facts),
        "Cost": _cost(facts),
        "Pruned trials": _pruned(facts),
        "Failed trials": _failed(facts),
        "Next steps": _go_on(facts, train, go_on),
        "Pictures": "\n\n".join(f"![{told}]({name})" for name, (_, told) in PICTURES.items() if name in drawn),
    }
    parts = [f"# {facts.competition} / study {facts.name}\n\nConfig `{facts.config}`.", _result(facts)]
    parts += [f"**Warning: {facts.code_warning}**"] if facts.code_changes else []
    parts += [f"## {heading}\n\n{text}" for heading, text in sections.items() if text]
    return "\n\n".join(parts) + "\n"


def _go_on(facts: Facts, train: str, go_on: str) -> str:
    more = f"Add trials to this study:\n\n{code(go_on, 'sh')}"
    if facts.winner is None or facts.winner.number == 0:
        return more
    return f"Train the best trial as a run, with a submission and a record:\n\n{code(train, 'sh')}\n\n{more}"


def _result(facts: Facts) -> str:
    winner, scale = facts.winner, f"chance level {score(facts.chance)}, {facts.better} is better"
    if winner is None:
        return f"No trial is complete ({facts.states}), so there is no best trial yet."
    if winner.number == 0:
        return f"**No trial is better than the config (trial 0), {facts.metric} {score(winner.mean)}**; {scale}."
    best = f"**Best: trial {winner.number}, {facts.metric} {score(winner.mean)} in the study**; {scale}."
    if not facts.reestimate:
        return f"{best}\n\nIt was not re-evaluated on newly drawn folds, so this score is optimistic."
    found = facts.reestimate
    return f"{best}\n\nOn newly drawn folds: **{score(found.score)}**, {_against(found.gain)}."


def _against(gain: Gain) -> str:
    interval = f"95 % interval {signed_interval(gain.interval)}" if gain.interval else "no interval"
    return f"{signed(gain.mean)} (absolute; {interval}) against the config"


def _optimism(facts: Facts) -> str:
    """How optimistic the best trial's score is, from newly drawn folds and from leaving folds out."""
    winner = facts.winner
    if winner is None or winner.number == 0:
        return ""
    sentences = [
        f"{score(winner.mean)} is the best score of {len(facts.ranked)} complete trials (of {len(facts.trials)}). "
        "The trial was selected on the same folds, so its score is optimistic."
    ]
    if facts.reestimate:
        sentences += _reestimated(facts, winner, facts.reestimate)
    if (free := facts.left_out) is not None:
        sentences.append(
            f"A check without new fits: select the best trial on all folds but one, and score it on that fold. The "
            f"mean over folds is {score(free)}. It is still a little optimistic: the sampler has seen every fold."
        )
    return "\n\n".join(sentences)


def _reestimated(facts: Facts, winner: TrialRecord, found: Reestimate) -> list[str]:
    sign = 1 if facts.higher_is_better else -1
    seeds = [str(seed) for seed in found.winner]
    draws = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(seeds[:-1])} and {seeds[-1]}"
    rows = [
        [f"trial {winner.number}", score(found.study), score(found.score), signed(found.score - found.study)],
        ["trial 0, the config", *_baseline_row(facts, found)],
    ]
    lost = sign * (found.study - found.score)
    low, high = (sign * edge for edge in found.gain.interval) if found.gain.interval else (math.nan, math.nan)
    if min(low, high) > 0:
        verdict = "The best trial is better than the config."
    elif max(low, high) < 0:
        verdict = "The best trial is worse than the config."
    else:
        verdict = "The difference is not significant."
    return [
        table(("", "in the study", "on new folds", "new less study"), rows),
        f"The new folds are drawn with {draws}, {found.folds} each. The best trial's score in the study is "
        f"{score(abs(lost))} {'better' if lost > 0 else 'worse'} than on the new folds. There its difference is "
        f"{_against(found.gain)}, paired over folds and corrected for training rows that folds share. {verdict}",
    ]


def _baseline_row(facts: Facts, found: Reestimate) -> list[str]:
    new, old = found.baseline_score, facts.baseline.value if facts.baseline else None
    return ["-", score(new), "-"] if old is None else [score(old), score(new), signed(new - old)]


def _space(facts: Facts) -> str:
    """Every searched parameter with the values of the config and of the best trial."""
    rows = []
    for key, entry in facts.space.items():
        own, won = (_value(trial, key) for trial in (facts.baseline, facts.winner))
        rows.append([f"`{key}`", searched(entry), own, won, _note(facts, key, entry)])
    winner = f"trial {facts.winner.number}" if facts.winner and facts.winner.number else "best trial"
    return table(("parameter", "searched", "config", winner, "note"), rows, left=5)


def searched(entry: Any) -> str:
    """An entry of a search space in words.

    >>> searched({"low": 0.0001, "high": 0.01, "log": True, "when": {"schedule": "cosine"}})
    '0.0001 to 0.01, log scale, when schedule is cosine'
    """
    listed = choices(entry)
    if isinstance(entry, list):
        return " / ".join(map(shown, entry))
    words = [f"{shown(entry['low'])} to {shown(entry['high'])}"] if listed is None else [searched(listed)]
    words += ["log scale"] if entry.get("log") else []
    words += [f"in steps of {shown(entry['step'])}"] if entry.get("step") else []
    for name, wanted in entry.get("when", {}).items():
        words.append(f"when {name} is {' or '.join(map(shown, wanted if isinstance(wanted, list) else [wanted]))}")
    return ", ".join(words)


def _value(trial: TrialRecord | None, key: str) -> str:
    return shown(trial.params[key]) if trial is not None and key in trial.params else "-"


def _note(facts: Facts, key: str, entry: Any) -> str:
    """Whether a parameter never varied, or the best trial has a value at the end of its range."""
    taken = [trial.params[key] for trial in facts.trials if key in trial.params]
    if not taken:
        return "in no trial: its condition was never met"
    if len(facts.trials) > 1 and all(same(value, taken[0]) for value in taken):
        return "never varied"
    winner = facts.winner
    if winner is None or winner.number == 0 or key not in winner.params or choices(entry) is not None:
        return ""
    share = _share(entry, winner.params[key])
    if EDGE <= share <= 1 - EDGE:
        return ""
    return f"best value at the {'lower' if share < EDGE else 'upper'} end: try a wider range"


def _share(entry: Mapping[str, Any], value: float) -> float:
    """Position of a value in its range, from 0 to 1."""
    ends = (entry["low"], entry["high"], value)
    low, high, at = map(math.log, ends) if entry.get("log") else ends
    return (at - low) / (high - low)


def _best(facts: Facts) -> str:
    """Two tables of the best trials: scores and parameters."""
    trials = facts.ranked[:TOP]
    if not trials:
        return ""
    scores = table(("trial", *HEADER), [[str(trial.number), *cells(facts, trial)] for trial in trials], left=0)
    params = [[str(trial.number), *(_value(trial, key) for key in facts.space)] for trial in trials]
    note = (
        "Differences are absolute and paired over the study's folds. Their intervals are corrected for training rows "
        "that folds share. No interval corrects for having selected the best of many trials."
    )
    return f"{scores}\n\n{note}\n\n{table(('trial', *facts.space), params, left=0)}"


def _cost(facts: Facts) -> str:
    lines = {
        "trials": f"{len(facts.trials)}: {facts.states}",
        "fits of one fold": f"{_spending(facts)}; a complete trial takes {len(facts.order)}",
        "time": f"{duration(facts.seconds)}, up to {facts.workers} worker{'' if facts.workers == 1 else 's'} at once",
        "trials by worker": ", ".join(f"{worker} {count}" for worker, count in facts.shares.items()),
        "order of folds": ", ".join(map(str, facts.order)),
        "storage": f"`{facts.storage}`",
    }
    return "\n".join(f"- {name}: {text}" for name, text in lines.items())


def _spending(facts: Facts) -> str:
    spent, saved = (f"{count:,.1f}".removesuffix(".0") for count in (facts.spent, facts.saved))
    if facts.saved <= 0:
        return f"{spent}, none saved by pruning"
    return f"{spent}, pruning saved {saved} ({100 * facts.saved / (facts.spent + facts.saved):.0f} %)"


def _pruned(facts: Facts) -> str:
    """How many trials were pruned where, each with the reason of the first."""
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
        reasons.setdefault(trial.reason or "reason unknown", []).append(str(trial.number))
    return "\n".join(f"- {_trials(numbers)}: {reason}" for reason, numbers in reasons.items())


def _trials(numbers: Sequence[str]) -> str:
    shortened = [*numbers[:TOP], *([f"{len(numbers) - TOP} more"] if len(numbers) > TOP else [])]
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(shortened)}"
