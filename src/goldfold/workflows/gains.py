"""`gains`: what a finished run's scores gain from views, seeds and folds taken together, and what that costs."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Any

from goldfold.cli.progress import Bar
from goldfold.errors import unknown
from goldfold.experiment import run_folders as runs
from goldfold.experiment import views_and_seeds, workspace
from goldfold.experiment.fits import Experiment, Fit
from goldfold.experiment.setup import again, code_changed
from goldfold.io.files import read_json, write_bytes, write_json
from goldfold.io.formatting import change
from goldfold.report.run import gains as picture
from goldfold.submission import writing as submissions
from goldfold.trust.comparisons import Difference, difference, difference_text
from goldfold.workflows.conclude import note, submission_of
from goldfold.workflows.train import device_of

PLAIN = "none"  # the set of views that others are compared with: the image as it is
Measured = dict[str, Any]


def run(arguments: Namespace) -> None:
    folder = runs.find_run(workspace.RUNS, arguments.run)
    found = measure(folder, arguments.views, arguments.device, arguments.quiet, arguments.accept)
    write_json(folder / "gains.json", found)
    print("\n".join(table(runs.run_name(folder), found)))
    if any(found[part] for part in ("views", "seeds", "folds")):
        write_bytes(folder / "gains.png", picture.gains(found))
        print(f"{folder / 'gains.png'}: the differences with their intervals")


def measure(
    run: Path,
    views: Sequence[str] | None = None,
    device: str | None = None,
    quiet: bool = False,
    accept: Sequence[str] = (),
) -> Measured:
    """What a run gains, as `gains.json` has it: views, seeds, folds, and a sentence for what cannot be measured.

    views: names of sets; all the recipe knows by default. `none` is always among them.

    Raises:
        GoldfoldError: an unknown set of views, weights that are gone, or code or data that changed since.
    """
    found = again(run, device_of(device), accept)
    experiment = found.experiment
    metric = experiment.competition.metric
    known = views_and_seeds.view_options(experiment)
    for name in views or ():
        if known and name not in known:
            raise unknown("set of views", name, known)
    bar = Bar(1, metric.name, quiet)
    experiment = replace(experiment, runtime=replace(experiment.runtime, progress=bar.work))
    fits = views_and_seeds.load_fits(experiment, run)
    why_not = _not_measured(experiment, run, fits, known)
    wanted = [name for name in known if views is None or name in (PLAIN, *views)]
    measured = {
        "views": None if "views" in why_not else _views(experiment, run, fits, wanted),
        "seeds": None if "seeds" in why_not else _seeds(experiment, fits),
        "folds": None if "folds" in why_not else _folds(experiment, run, fits),
    }
    bar.close()
    note(run, code_changed(found.code_changes, "gains.json"))
    about = {"metric": metric.name, "higher_is_better": metric.higher_is_better, "bounds": list(metric.bounds)}
    return {**about, **measured, "not_measured": why_not}


def _not_measured(experiment: Experiment, run: Path, fits: Sequence[Fit], known: Sequence[str]) -> dict[str, str]:
    """What cannot be measured of this run -> why."""
    name, why = run.parent.name, {}
    if not known:
        why["views"] = "the recipe has no parameter for test-time views, it predicts each row in one way"
    elif fits[0].epoch is None:
        why["views"] = "the fits keep no weights to predict with again: train with other views, and compare the runs"
    if len(experiment.protocol.seeds) == 1:
        why["seeds"] = "the run has one seed a fold: train it with seeds=[0,1] to see what two give together"
    if experiment.competition.grade is None or not _solution(name).exists():
        why["folds"] = f"'{name}' keeps no hidden labels here, and no row is new to all folds: only Kaggle can tell"
    elif any(finding["code"] == "rule_broken" for finding in read_json(run / "findings.json")):
        why["folds"] = f"the run breaks a rule of '{name}': an exploration has no submission"
    elif len(fits) == 1:
        why["folds"] = "the run is one fit, with nothing to combine it with"
    return why


def _solution(name: str) -> Path:
    return workspace.data(name) / "private" / "solution.csv"


def _views(experiment: Experiment, run: Path, fits: Sequence[Fit], names: Sequence[str]) -> list[Measured]:
    """Each set of views with its scores, their differences to `none`, and its seconds."""
    seen = [views_and_seeds.score_views(experiment, run, fits, name) for name in names]
    plain = next(each for each in seen if each.views == PLAIN)
    trained_with = getattr(experiment.params, views_and_seeds.views_parameter(experiment))
    return [
        {
            "views": each.views,
            "own": each.views == trained_with,
            "seconds_per_1000_rows": 1000 * each.seconds,
            "cost": each.seconds / plain.seconds,
            "metrics": _compared(experiment, each.folds, plain.folds),
        }
        for each in seen
    ]


def _seeds(experiment: Experiment, fits: Sequence[Fit]) -> Measured:
    found = views_and_seeds.score_seed_ensemble(experiment, fits)
    alone = {metric: _summary(experiment, found.alone, metric) for metric in found.alone[fits[0].fold]}
    return {"members": found.members, "alone": alone, "metrics": _compared(experiment, found.together, found.alone)}


def _compared(experiment: Experiment, own: views_and_seeds.ByFold, reference: views_and_seeds.ByFold) -> Measured:
    """metric -> its folds, their mean, and the difference to the reference paired over folds."""
    compared = {}
    for metric in next(iter(own.values())):
        summary, other = (_summary(experiment, each, metric) for each in (own, reference))
        compared[metric] = {**summary, "difference": asdict(difference(summary, other))}
    return compared


def _summary(experiment: Experiment, by_fold: views_and_seeds.ByFold, metric: str) -> Measured:
    folds = {str(fold): scores[metric] for fold, scores in by_fold.items()}
    measured = {each.name: each for each in (experiment.competition.metric, *experiment.competition.also)}
    base = measured.get(metric, experiment.competition.metric)  # the metric of another field of the predictions
    return {"higher_is_better": base.higher_is_better, "folds": folds, "mean": fmean(folds.values())}


def _folds(experiment: Experiment, run: Path, fits: Sequence[Fit]) -> Measured:
    """Every fit's submission alone, and that of all fits together, by the hidden labels."""
    competition, sample = experiment.competition, experiment.tables.sample_submission
    solution = submissions.read(_solution(run.parent.name), sample)

    def graded(some: Sequence[Fit]) -> float:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "submission.csv"  # as the board would read it
            submissions.write(submission_of(experiment, some), path, {})
            return float(competition.grade(submissions.read(path, sample), solution))

    alone, together = [graded([fit]) for fit in fits], graded(fits)
    sign = 1 if competition.metric.higher_is_better else -1
    return {
        "members": len(fits),
        "alone": {f"fold{fit.fold}-seed{fit.seed}": score for fit, score in zip(fits, alone, strict=True)},
        "mean": fmean(alone),
        "sd_ddof1": stdev(alone),
        "together": together,
        "better": sum(sign * (together - score) > 0 for score in alone),
    }


def table(name: str, found: Measured) -> list[str]:
    """A line for each way to predict: its score by the competition's metric, what it gains, what it costs."""
    better = "higher" if found["higher_is_better"] else "lower"
    lines = [f"{name}  {found['metric']}, {better} is better; differences to the first line of a block, over folds"]
    for rows in (_view_rows(found), _seed_rows(found), _fold_rows(found)):
        lines += [f"  {what:28}  {score:.4f}  {gain:68}  {cost}".rstrip() for what, score, gain, cost in rows]
    lines += [f"  {what} not measured: {why}" for what, why in found["not_measured"].items()]
    if found["views"]:
        lines.append("what is best of several by these folds looks a little better here than it is")
    return lines


def _view_rows(found: Measured) -> list[tuple[str, float, str, str]]:
    rows = []
    for each in found["views"] or ():
        own = each["metrics"][found["metric"]]
        what = f"views {each['views']}{', as trained' if each['own'] else ''}"
        gain = "" if each["views"] == PLAIN else difference_text(Difference(**own["difference"]), found["bounds"])
        rows.append((what, own["mean"], gain, f"{each['seconds_per_1000_rows']:.3g} s per 1,000 rows"))
    return rows


def _seed_rows(found: Measured) -> list[tuple[str, float, str, str]]:
    if not (seeds := found["seeds"]):
        return []
    together, alone = (seeds[part][found["metric"]] for part in ("metrics", "alone"))
    several = f"seeds, {seeds['members']} together"
    gain = difference_text(Difference(**together["difference"]), found["bounds"])
    return [
        (f"seeds, one of {seeds['members']}", alone["mean"], "", "once"),
        (several, together["mean"], gain, f"{seeds['members']} times"),
    ]


def _fold_rows(found: Measured) -> list[tuple[str, float, str, str]]:
    if not (folds := found["folds"]):
        return []
    members, mean = folds["members"], folds["mean"]
    gain = change(folds["together"] - mean, folds["together"] / mean - 1 if mean else None, found["bounds"])
    told = f"{gain}, better than {folds['better']} of {members} fits"
    spread = f"sd {folds['sd_ddof1']:.4f} over fits"
    return [
        (f"hidden labels, one fit of {members}", mean, spread, "once"),
        (f"hidden labels, {members} together", folds["together"], told, f"{members} times"),
    ]
