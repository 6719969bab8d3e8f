"""Cross-validation: every fit of an experiment, one by one, or several small ones trained as one stacked model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch.distributed as dist

from goldfold.engine import checkpoints, stacked
from goldfold.engine.fits import (
    CHECKPOINTS,
    Built,
    Experiment,
    Fit,
    FitObserver,
    Key,
    build,
    fit,
    fit_folder,
    fits_of,
    is_whole,
    remove_cut_off,
    validation_of,
)
from goldfold.engine.stacked_models import StackError, kind


def cross_validate(experiment: Experiment, folder: Path, observe: FitObserver | None = None) -> Iterator[Fit]:
    """Fit every fold from every seed in `folder/fold<k>-seed<s>`; what is there whole is read, not fitted again.

    Where it is faster, several fits are trained as one stacked model, with the same result within rounding.
    """
    built: dict[Key, Built] = {}
    for part in _parts(experiment, folder, built):
        if len(part) > 1:
            _train_together(experiment, folder, part, built, observe)
        for fold, seed in part:
            yield fit(experiment, folder, fold, seed, observe, built.pop((fold, seed), None))


def _parts(experiment: Experiment, folder: Path, built: dict[Key, Built]) -> Iterator[list[Key]]:
    """Which fits are trained together; not a matter of which are there already, so that a run taken up again agrees."""
    wanted, size = fits_of(experiment), 1
    if _may_stack(experiment) and not all(is_whole(fit_folder(folder, *key)) for key in wanted):
        built[wanted[0]] = build(experiment, *wanted[0])
        size = _at_once(experiment, built[wanted[0]])
    for part in np.array_split(np.arange(len(wanted)), -(-len(wanted) // size)):
        yield [wanted[number] for number in part]


def together(experiment: Experiment) -> int:
    """How many fits `cross_validate` trains as one stack; 1 where it makes them one by one."""
    return _at_once(experiment, build(experiment, *fits_of(experiment)[0])) if _may_stack(experiment) else 1


def _may_stack(experiment: Experiment) -> bool:
    return len(fits_of(experiment)) > 1 and experiment.loop.stack != "never" and not dist.is_initialized()


def _at_once(experiment: Experiment, first: Built) -> int:
    return stacked.at_once(first.plan, experiment.loop, experiment.runtime.device, len(fits_of(experiment)))


def _train_together(
    experiment: Experiment, folder: Path, part: list[Key], built: dict[Key, Built], observe: FitObserver | None
) -> None:
    """Train those fits of a part that are alike as one, unless none has to be trained any more.

    Fits that are there already are trained once more with the others, since rounding depends on how many there are.
    """
    if all(is_whole(fit_folder(folder, *key)) for key in part):
        return
    alike: dict[tuple, list[Key]] = {}
    for key in part:
        built[key] = built.get(key) or build(experiment, *key)
        alike.setdefault(kind(built[key].plan), []).append(key)
    for keys in (keys for keys in alike.values() if len(keys) > 1):
        members = [_member(experiment, folder, key, built[key], observe) for key in keys]
        if not any(member.folder for member in members):
            continue
        higher, debug = experiment.competition.metric.higher_is_better, experiment.protocol.debug
        how = {"loop": experiment.loop, "device": experiment.runtime.device}
        try:
            stacked.train(members, **how, keep_every=debug, higher_is_better=higher)
        except StackError:
            for key in keys:
                del built[key]  # one by one they start afresh
            continue
        for key, member in zip(keys, members, strict=True):
            built[key].trained = member.history, member.facts


def _member(
    experiment: Experiment, folder: Path, key: Key, built: Built, observe: FitObserver | None
) -> stacked.Member:
    """A fit as part of a stack, which writes nothing where its checkpoints are there already."""
    place, plan = fit_folder(folder, *key), built.plan
    newest = checkpoints.newest_state(place / CHECKPOINTS)
    there = is_whole(place) or (newest is not None and newest[0].order == (0, plan.stages[0].epochs))
    remove_cut_off(place)
    return stacked.Member(
        plan=plan,
        random=built.random,
        folder=None if there else place / CHECKPOINTS,
        validate=validation_of(experiment, built),
        observe=partial(observe, *key) if observe else None,
    )
