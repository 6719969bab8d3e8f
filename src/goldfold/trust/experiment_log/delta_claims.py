"""Check differences that a remark gives in numbers, such as `+2.3 pp`, against those of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from goldfold.io.formatting import ROUNDING, change, signed_interval
from goldfold.trust.comparisons import Difference, difference
from goldfold.trust.experiment_log.claims import Claim, Verdict
from goldfold.trust.experiment_log.rows import Pair, sign

UNITS = {"pp": "pp", "%": "%", "": "absolute"}


def checked(claim: Claim, pairs: Mapping[str, Pair], reference: str) -> tuple[Verdict, str]:
    """Whether a number is the difference of a metric, within the rounding of its digits.

    pairs: the metrics it may be of, the most important first. reference: name of the run compared with. A number
    without a unit may be in pp, in % or absolute.
    """
    if not pairs:
        return "unchecked", f"the metric cannot be compared with {reference}"
    for metric, (own, other) in pairs.items():
        found = difference(own, other)
        if any(_equal(claim, value, own) for unit, value in _values(found, own["bounds"]).items() if _may(claim, unit)):
            return "true", f"{_told(metric, found, own, reference)}, interval {signed_interval(found.interval)}"
    metric, (own, other) = next(iter(pairs.items()))
    found = difference(own, other)
    units = [unit for unit, value in _values(found, own["bounds"]).items() if _equal(claim, value, own)]
    why = f", so {claim.text} has the wrong unit" if units else ""
    return "untrue", f"{_told(metric, found, own, reference)}{why}; true would be '{_right(found, own['bounds'])}'"


def _values(found: Difference, bounds: Sequence[float]) -> dict[str, float]:
    """Unit -> the difference in it."""
    values = {"pp": 100 * found.mean} if list(bounds) == [0, 1] else {}
    values |= {"%": 100 * found.relative} if found.relative is not None else {}
    return values | {"": found.mean}


def _may(claim: Claim, unit: str) -> bool:
    return claim.unit in ("", unit)


def _equal(claim: Claim, value: float, summary: Mapping) -> bool:
    """Whether a value rounds to the claimed number; of an unsigned one, also whether it is better or worse as said."""
    half = 0.5 * 10.0**-claim.digits * (1 + 1e-9) + ROUNDING
    if claim.signed:
        return abs(claim.value - value) <= half
    turn = {"better": sign(summary), "worse": -sign(summary)}.get(claim.sense, 0)
    return abs(claim.value - abs(value)) <= half and turn * value >= 0


def _told(metric: str, found: Difference, own: Mapping, reference: str) -> str:
    return f"{metric} {change(found.mean, found.relative, own['bounds'])} against {reference}"


def _right(found: Difference, bounds: Sequence[float]) -> str:
    """The difference in each unit, as one may write it."""
    values = _values(found, bounds)
    parts = [f"{values['pp']:+.2f} pp"] if "pp" in values else []
    parts += [f"{values['%']:+.1f} %"] if "%" in values else []
    return ", ".join(parts or [f"{values['']:+.4g}"])
