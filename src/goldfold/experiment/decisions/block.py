"""Read a config's block `decide:`: which parameters of which metric's decision are fitted, among which values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from goldfold.competition import Competition, Metric
from goldfold.errors import GoldfoldError, unknown
from goldfold.optional_parts import Decision, DecisionParameter

METRIC = "metric"  # key of the block that is no parameter
ROUNDS = 3  # times that every parameter is looked at
MOST_TRIED = 5000  # values of one fit


class Coordinate(NamedTuple):
    """One number to fit. column: of a label or class; None: one for all. candidates: without the plain value."""

    name: str
    column: int | None
    candidates: tuple


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What is fitted, by which metric.

    coordinates: the numbers that candidates are tried for, in order. searched: parameters whose own search finds the
        value.
    """

    metric: Metric
    decision: Decision
    coordinates: tuple[Coordinate, ...]
    searched: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """The value of every parameter at which predictions stay what they are."""
        columns = len(self.decision.columns)
        return {
            name: (own.plain,) * columns if own.per_column and columns else own.plain
            for name, own in self.decision.parameters.items()
        }


def choose(competition: Competition, block: Any, folds: int) -> Chosen | None:
    """What `decide:` asks for; None for a config without the block. folds: number of folds that are fitted.

    Raises:
        GoldfoldError: `decision_without_folds`; the metric, a parameter or a class does not exist; the metric decides
            nothing (`decision_unused_by_metric`); candidates are wrong (`decision_candidates`), the plain value alone
            (`decision_without_choice`) or too many (`decision_search_too_large`).
    """
    if block in ({}, None):
        return None
    if not isinstance(block, Mapping):
        raise _not_read("decide", block)
    metric = _metric(competition, block.get(METRIC))
    decision = _decision(competition, metric)
    names = [str(name) for name in block if name != METRIC]
    for name in names:
        if name not in decision.parameters:
            raise unknown(f"decision of metric {metric.name}", name, decision.parameters, code="unknown_decision")
    if not names:
        raise GoldfoldError(
            "decision_without_choice",
            f"`decide:` names nothing to fit: add one of {', '.join(decision.parameters)}, such as "
            f"`decide: {{{next(iter(decision.parameters))}: true}}`",
        )
    if folds < 2:
        raise GoldfoldError(
            "decision_without_folds",
            f"a decision without folds has no score that can be trusted, since it is fitted on other folds than it is "
            f"scored on, and {folds} is fitted: fit two or more `folds`, or remove `decide:`",
        )
    columns = decision.columns
    coordinates, searched = [], []
    for name in (each for each in decision.parameters if each in names):  # in the order in which they are applied
        own, asked = decision.parameters[name], block[name]
        if asked is True and own.search:
            searched.append(name)
        else:
            coordinates += _coordinates(name, own, asked, columns)
    _refuse_too_many(coordinates)
    return Chosen(metric=metric, decision=decision, coordinates=tuple(coordinates), searched=tuple(searched))


def _metric(competition: Competition, name: Any) -> Metric:
    known = {each.name: each for each in (competition.metric, *competition.also)}
    if name is None:
        return competition.metric
    if name not in known:
        raise unknown("metric of the competition", str(name), known, code="unknown_metric")
    return known[name]


def _decision(competition: Competition, metric: Metric) -> Decision:
    if metric.options.decision is not None:
        return metric.options.decision
    others = [each.name for each in competition.also if each.options.decision is not None]
    way = f"fit for another metric with `metric: {others[0]}`" if others else "remove `decide:`"
    raise GoldfoldError(
        "decision_unused_by_metric",
        f"metric {metric.name} takes predictions as they are, so that no decision changes its score: {way}",
    )


def _coordinates(name: str, own: DecisionParameter, asked: Any, columns: Sequence[str]) -> list[Coordinate]:
    if not (own.per_column and columns):
        return [Coordinate(name, None, _candidates(name, own, asked, columns))]
    if not isinstance(asked, Mapping):
        found = _candidates(name, own, asked, columns)
        return [Coordinate(name, at, found) for at in range(len(columns))]
    for each in asked:
        if str(each) not in columns:
            raise unknown(f"class for decide.{name}", str(each), columns, code="unknown_class")
    wanted = {str(each): value for each, value in asked.items()}
    return [
        Coordinate(name, at, _candidates(f"{name}.{each}", own, wanted[each], columns))
        for at, each in enumerate(columns)
        if each in wanted
    ]


def _candidates(name: str, own: DecisionParameter, asked: Any, columns: Sequence[str]) -> tuple:
    """The values to try, without the plain one, which always is."""
    if asked is not True and (not isinstance(asked, Sequence) or isinstance(asked, str) or not asked):
        raise _not_read(f"decide.{name}", asked)
    given = own.candidates if asked is True else tuple(_frozen(each) for each in asked)
    for each in given:
        fault = own.wrong(each) or _too_many_labels(name, each, columns)
        if fault:
            raise GoldfoldError(
                "decision_candidates", f"decide.{name} has {_told(each)}, which the search never reaches: {fault}"
            )
    if len({_told(each) for each in given}) < len(given):
        raise GoldfoldError("decision_candidates", f"decide.{name} lists a value twice, {_told(given)}: list it once")
    found = tuple(each for each in given if each != own.plain)
    if not found:
        raise GoldfoldError(
            "decision_without_choice",
            f"decide.{name} lists only {_told(own.plain)}, the value without a decision, so that there is nothing to "
            "choose: list another value",
        )
    return found


def _too_many_labels(name: str, value: Any, columns: Sequence[str]) -> str:
    return f"there are {len(columns)} labels" if name == "top_k" and value and value > len(columns) > 0 else ""


def _refuse_too_many(coordinates: Sequence[Coordinate]) -> None:
    tried = ROUNDS * sum(len(each.candidates) for each in coordinates)
    if tried > MOST_TRIED:
        raise GoldfoldError(
            "decision_search_too_large",
            f"`decide:` may try {MOST_TRIED:,} values, and this is up to {tried:,} ({ROUNDS} rounds over "
            f"{len(coordinates)} numbers): list fewer values, or fewer classes",
        )


def _not_read(key: str, value: Any) -> GoldfoldError:
    way = "a mapping such as `decide: {threshold: true}`" if key == "decide" else "true, or a list of values to try"
    return GoldfoldError("invalid_value", f"{key} is {value!r}, and it must be {way}: change it")


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _told(value: Any) -> str:
    return json.dumps(value)
