"""Probe a config's capacity: predict the memory of a training step, verify in child processes, find the knee."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import build_plan, fold_numbers
from goldfold.report.capacity import Entry, memory_text
from goldfold.training.capacity.predicted import Predicted, predict
from goldfold.training.capacity.search import Bounds, Search, find_knee, find_largest
from goldfold.training.capacity.trials import Trial
from goldfold.workflows.capacity.probed import Probed, limit_of_a_step, tried

NOT_TRACED = "predictions are not traced"


def predicted(probed: Probed) -> tuple[Predicted, int]:
    """The predicted memory, and the cap: the most samples that a batch can have."""
    experiment = probed.found.experiment
    fold = fold_numbers(experiment.protocol, experiment.folds)[0]
    most = min(len(each.train) for each in experiment.folds)
    most = min(most, probed.limits.cap or most)
    lengths: dict[int, int] = {}

    def build(batch: int) -> Any:
        config = probed.sized(batch)
        plan, _ = build_plan(replace(experiment, params=config.params), fold, experiment.protocol.seeds[0])
        if not any(stage.epochs for stage in plan.stages):
            raise GoldfoldError(
                "nothing_to_probe",
                f"config '{config.name}' trains nothing with these values: choose a config with a training stage",
            )
        lengths[batch] = max(len(stage.batches(0)) * batch for stage in plan.stages)
        return replace(plan, stages=[stage for stage in plan.stages if stage.epochs])

    told = predict(build, probed.config.loop, probed.device, most, probed.least)
    return told, max(probed.least, min(most, max(lengths.values())))


def search_of(
    probed: Probed, told: Predicted, cap: int, changed: Callable[[int], Mapping[str, Any]] = lambda batch: {}
) -> Search:
    """A search over batch sizes, each tried in a child process. changed: batch -> other values of the config."""
    limit = limit_of_a_step(probed)
    bounds = Bounds(cap=cap, limit=limit, margin=probed.limits.margin, least=probed.least)
    return Search(partial(try_batch, probed, told, limit, changed), bounds, told.line)


def try_batch(
    probed: Probed, told: Predicted, limit: float, changed: Callable[[int], Mapping[str, Any]], batch: int
) -> Trial:
    """Try one batch size in a child process, and report it. changed: batch -> other values of the config."""
    return tried(probed, batch, probed.sized(batch, **changed(batch)), limit, told.scaled)


def probe(probed: Probed, variant: str = "") -> Entry:
    """Find the largest batch that fits and the knee.

    Raises:
        GoldfoldError: the least batch does not fit (`batch_does_not_fit`), or trials fail for another reason.
    """
    told, cap = predicted(probed)
    search = search_of(probed, told, cap)
    if told.line is None:
        probed.found.workspace.observer.line(f"  no trace ({told.why}): predicted from two small trials instead")
    largest = find_largest(search)
    if not largest:
        raise does_not_fit(probed, search)
    to_limit = len(search.trials)
    best = find_knee(search)
    return _entry(probed, variant, probed.parameter, search, best or largest, to_limit, told.why)


def probe_predictions(probed: Probed, variant: str = "") -> Entry:
    """Find the largest prediction batch that fits and the smallest of the fastest, with the weights of the start.

    Raises:
        GoldfoldError: as `probe`.
    """
    cap = len(probed.found.experiment.tables.test)
    cap = min(cap, probed.limits.cap or cap)
    limit = limit_of_a_step(probed)
    bounds = Bounds(cap=cap, limit=limit, margin=probed.limits.margin)
    search = Search(lambda batch: try_prediction(probed, search, batch), bounds, None)
    largest = find_largest(search)
    if not largest:
        raise does_not_fit(probed, search)
    to_limit = len(search.trials)
    best = find_knee(search)
    return _entry(probed, variant, f"{probed.parameter}, predicting", search, best or largest, to_limit, NOT_TRACED)


def try_prediction(probed: Probed, search: Search, batch: int) -> Trial:
    """Try one prediction batch, unless the rates so far say that a trial would take too long."""
    rate = max((trial.rate for trial in search.trials), default=0.0)
    if rate and batch / rate > probed.limits.seconds / 2:
        seconds = f"{batch / rate:.0f} s at the rate so far"
        return Trial(batch=batch, status="too_slow", code="too_slow", message=f"not tried, since it takes {seconds}")
    return tried(probed, batch, probed.sized(max(batch, probed.least)), search.bounds.limit, (), True)


def _entry(probed: Probed, variant: str, parameter: str, search: Search, best: int, to_limit: int, why: str) -> Entry:
    return Entry(
        variant=variant,
        parameter=parameter,
        own=probed.own,
        best=best,
        largest=search.largest,
        limit=search.bounds.limit,
        cap=search.bounds.cap,
        line=search.predicted,
        why=why,
        trials=tuple(search.trials),
        foreseen=search.foreseen,
        to_limit=to_limit,
    )


def does_not_fit(probed: Probed, search: Search) -> GoldfoldError:
    """The error for a search without a size that fits."""
    last = min(search.trials, key=lambda trial: trial.batch)
    if last.status in ("failed", "single_row"):
        return GoldfoldError(last.code, last.message)
    if last.status == "too_slow":
        return GoldfoldError(
            "trial_too_slow",
            f"at {probed.parameter}={last.batch} {last.message}: raise SECONDS",
        )
    peak = memory_text(last.peak) if last.peak else "more than it may"
    told = f", and {memory_text(search.predicted.at(last.batch))} are predicted" if search.predicted else ""
    return GoldfoldError(
        "batch_does_not_fit",
        f"{probed.parameter}={last.batch} does not fit: a step took {peak} before memory ran out{told}, and the limit "
        f"is {memory_text(search.bounds.limit)}. Raise MEMORY, or take smaller images or a smaller model",
    )
