"""Format numbers, intervals, differences and durations as text, in one way for commands, reports and plots."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # a cell with this start is calculated
ROUNDING = 1e-12  # smaller differences of scores are rounding errors of float64


def number(value: float) -> str:
    """Format a score, loss or similarity: four decimals, an exponent if very small, one decimal if large.

    >>> [number(value) for value in (0.91234, -12.5, 0, 0.000123, 24563.12)]
    ['0.9123', '-12.5000', '0.0000', '1.230e-04', '24,563.1']
    """
    size = abs(value)
    if 0 < size < 0.001:
        return f"{value:.3e}"
    return f"{value:.4f}" if size < 100 else f"{value:,.1f}"


def interval(edges: Sequence[float]) -> str:
    """Format the lower and upper edge of an interval.

    >>> interval((0.9, 0.95))
    '[0.9000, 0.9500]'
    """
    return f"[{number(edges[0])}, {number(edges[1])}]"


def signed(value: float) -> str:
    """Format a difference with its sign: four decimals, an exponent if they would read as zero.

    >>> [signed(value) for value in (0.0123, -0.00001, 0, -1e-17, 1234.5)]
    ['+0.0123', '-1.00e-05', '+0.0000', '+0.0000', '+1,234.5']
    """
    size = abs(value)
    if size < ROUNDING:
        return "+0.0000"
    if size < 5e-5:
        return f"{value:+.2e}"
    return f"{value:+.4f}" if size < 100 else f"{value:+,.1f}"


def signed_interval(edges: Sequence[float] | None, none: str = "no interval") -> str:
    """Format the interval of a difference; return `none` if there is no interval.

    >>> signed_interval((-0.01, 0.02)), signed_interval(None)
    ('[-0.0100, +0.0200]', 'no interval')
    """
    return f"[{signed(edges[0])}, {signed(edges[1])}]" if edges else none


def relative_change(difference: float, reference: float) -> float | None:
    """A difference divided by the absolute value of its reference; None for a reference near 0, a tenth of it or less.

    >>> relative_change(-0.25, 0.5), relative_change(0.5, -2.0), relative_change(0.86, 0.01)
    (-0.5, 0.25, None)
    """
    return difference / abs(reference) if abs(difference) < 10 * abs(reference) else None


def change(mean: float, relative: float | None, bounds: Sequence[float]) -> str:
    """Format a difference, absolute and relative: percentage points (pp) for scores in [0, 1], and percent.

    mean: the difference. relative: as `relative_change` gives it. bounds: of the metric.

    >>> change(0.0123, 0.0135, (0, 1)), change(-1.5, -0.25, (0, float("inf")))
    ('+0.0123 (+1.23 pp, +1.4 %)', '-1.5000 (-25.0 %)')
    """
    both = [f"{100 * mean:+.2f} pp"] if list(bounds) == [0, 1] else []
    both += [f"{100 * relative:+.1f} %"] if relative is not None else []
    return f"{signed(mean)} ({', '.join(both)})" if both else signed(mean)


def difference(value: float, reference: float, name: str) -> str:
    """Say how far `value` is from `reference`, which is called `name`, in their unit.

    >>> difference(0.905, 0.912, "the mean")
    '0.0070 lower than the mean (absolute)'
    """
    if value == reference:
        return f"equal to {name}"
    return f"{number(abs(value - reference))} {'higher' if value > reference else 'lower'} than {name} (absolute)"


def duration(seconds: float) -> str:
    """Format a duration in seconds, minutes and seconds, or hours and minutes.

    >>> [duration(seconds) for seconds in (3.21, 184, 7384)]
    ['3.2 s', '3 min 4 s', '2 h 3 min']
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def count(number: int, noun: str, nouns: str = "") -> str:
    """Format a number with its noun; nouns: the plural if it is not `noun` with an s.

    >>> count(1, "fit"), count(2624, "image"), count(0, "query", "queries")
    ('1 fit', '2,624 images', '0 queries')
    """
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def digits(value: float) -> str:
    """Format with three significant digits, keeping trailing zeros, for columns too narrow for `number`.

    >>> [digits(value) for value in (0.98765, 1.4213e-11, 0, float("nan"))]
    ['0.988', '1.42e-11', '0.00', 'nan']
    """
    return f"{value:#.3g}".rstrip(".")


def shown(value: Any) -> str:
    """Format a parameter or another cell of a table; floats get four significant digits.

    >>> [shown(value) for value in (0.000123456, 64, True, "cosine", [1, 2])]
    ['0.0001235', '64', 'true', 'cosine', '[1, 2]']
    """
    return f"{value:.4g}" if isinstance(value, float) else plain(value)


def plain(value: Any) -> str:
    """Format a config value in full, in the flow style of YAML."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_text(cell: str) -> str:
    """Text of a CSV cell that no spreadsheet calculates: with an apostrophe before what it would take for a formula.

    >>> as_text("=1+1"), as_text("team 1")
    ("'=1+1", 'team 1')
    """
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def width(text: str) -> int:
    """Return the number of terminal columns; Chinese, Japanese and Korean characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def shortened(text: str, most: int) -> str:
    """Return `text` on one line, with its middle cut out if it is wider than `most` columns.

    >>> shortened("a long name of a class", 11), shortened("short", 11)
    ('a lon…class', 'short')
    """
    text = " ".join(text.split())
    if width(text) <= most:
        return text
    half = most * len(text) // width(text) // 2
    return f"{text[:half]}…{text[-half:]}"


def shortened_apart(texts: Sequence[str], shorten: Callable[[str], str]) -> list[str]:
    """Return `shorten` of each text; of texts that it cuts to the same, what they share is cut from the ends first.

    >>> shortened_apart(["patient_17_left_a_scan", "patient_17_left_b_scan"], lambda text: shortened(text, 11))
    ['…17_left_a…', '…17_left_b…']
    """
    short = [shorten(text) for text in texts]
    for cut in {each for each in short if short.count(each) > 1}:
        places = [place for place, each in enumerate(short) if each == cut]
        alike = [texts[place] for place in places]
        parts = _without_shared_ends(alike, shorten)
        if len(set(alike)) > 1 and max(map(len, parts)) < max(map(len, alike)):
            for place, part in zip(places, shortened_apart(parts, shorten), strict=True):
                short[place] = part
    return short


def _without_shared_ends(texts: Sequence[str], shorten: Callable[[str], str]) -> list[str]:
    """The texts without the start and end that all share, but with as much of the start as `shorten` leaves."""
    start = _shared_start(texts)
    rests = [text[start:] for text in texts]
    end = _shared_start([rest[::-1] for rest in rests])
    for kept in range(start):
        parts = [f"…{text[start - kept : len(text) - end]}{'…' if end else ''}" for text in texts]
        if kept and any(shorten(part) != part for part in parts):
            break
        found = parts
    return found if start else [f"{rest[: len(rest) - end]}…" for rest in rests]


def _shared_start(texts: Sequence[str]) -> int:
    """Number of first characters that all texts share."""
    columns = zip(*texts, strict=False)
    return next((place for place, each in enumerate(columns) if len(set(each)) > 1), min(map(len, texts)))
