"""Find the claims about scores and changes in a remark: superlatives, directions, differences, and what was changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from goldfold.trust.experiment_log import context, words

Kind = Literal["superlative", "direction", "delta", "config"]
Verdict = Literal["true", "untrue", "not_shown", "unchecked"]
SENTENCES = re.compile(r"(?<!\d)\.(?=\s|$)|\.(?=\s+\D|\s*$)|[!;\n。！；]|(?<=\?)|(?<=？)")
CLAUSES = re.compile(r",(?!\d)|[，、：]|\s[-–—]\s|(?<![\w-])(?:and|but|while|whereas|und|aber|y|pero|et|mais)(?![\w-])")
DELTA = re.compile(
    r"(?P<by>(?<!\w)(?:by|um|de) )?(?<![\w.,@/=\[+\-−–])(?P<sign>[+\-−–＋－])?"
    r"(?P<digits>\d[\d,]*(?:\.\d+)?|\.\d+)(?P<exponent>[eE][+-]?\d{1,2}(?!\d))?"
    r"\s?(?P<unit>pp|p\.p\.|percentage points?|points?|%|％|percent|per cent)?(?![\w%\]])",
    re.IGNORECASE,
)
MINUS = "-−–－"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of a remark.

    text: its words. sense: best, worst, highest, lowest, better, worse, higher, lower; of a delta better, worse or
    nothing. sentence, clause: the text around it. place: of the claim in the clause. negated, so_far: what the clause
    says. rank: 2 of `second best`.
    value, digits, unit, signed: of a delta; digits after the point, unit pp, % or nothing. named: what a config claim
    lists as changed; None if it says that nothing changed.
    """

    kind: Kind
    text: str
    clause: str
    sentence: str = ""
    place: int = 0
    sense: str = ""
    negated: bool = False
    so_far: bool = False
    rank: int = 1
    value: float = 0.0
    digits: int = 0
    unit: str = ""
    signed: bool = True
    named: str | None = None


def find_claims(text: str, keys: Sequence[str] = ()) -> list[Claim]:
    """The claims of a remark, in order.

    keys: config keys; a word such as `higher` before one of them, and a number after it, describe the config.

    >>> [(claim.kind, claim.text) for claim in find_claims("Best so far, +2.3 pp; only dropout changed.")]
    [('superlative', 'Best'), ('delta', '+2.3 pp'), ('config', 'only dropout changed')]
    """
    found: list[Claim] = []
    for sentence in filter(None, (each.strip() for each in SENTENCES.split(text))):
        if sentence.endswith(("?", "？")):
            continue
        own: list[Claim] = []
        for clause in _clauses(sentence):
            own += sorted([*_words(clause, keys), *_deltas(clause, keys)], key=lambda claim: claim.place)
        for claim in (*own, *_config_claims(sentence)):
            found.append(replace(claim, sentence=sentence, so_far=context.so_far(claim.clause, sentence)))
    return found


def _clauses(sentence: str) -> Iterator[str]:
    yield from (clause.strip() for clause in CLAUSES.split(sentence) if clause and clause.strip())


def _words(clause: str, keys: Sequence[str]) -> list[Claim]:
    """Superlatives and directions of a clause."""
    found: list[Claim] = []
    taken: list[range] = []
    for kind, senses in (("superlative", words.SUPERLATIVES), ("direction", words.DIRECTIONS)):
        for sense, known in senses.items():
            for match in words.pattern(known).finditer(clause):
                if any(match.start() in span for span in taken):
                    continue
                taken.append(range(*match.span()))
                found += _word(kind, sense, match, clause, keys)
    return found


def _word(kind: str, sense: str, match: re.Match[str], clause: str, keys: Sequence[str]) -> list[Claim]:
    before, after = clause[: match.start()], clause[match.end() :]
    if context.supposed(clause, before) or context.elsewhere(match[0], before, after, keys):
        return []
    if kind == "direction" and words.pattern(words.EVERY_OTHER).match(after.lstrip()):
        kind, sense = "superlative", {"better": "best", "worse": "worst", "higher": "highest", "lower": "lowest"}[sense]
    claim = Claim(
        kind=kind,  # type: ignore[arg-type]
        text=match[0],
        clause=clause,
        place=match.start(),
        sense=sense,
        negated=context.negated(before, after),
        rank=context.rank(before),
    )
    return [claim]


def _deltas(clause: str, keys: Sequence[str]) -> list[Claim]:
    """Signed numbers of a clause, and unsigned ones in pp or after `by`."""
    return [claim for match in DELTA.finditer(clause) if (claim := _delta(match, clause, keys))]


def _delta(match: re.Match[str], clause: str, keys: Sequence[str]) -> Claim | None:
    before, after = clause[: match.start()], clause[match.end() :]
    if context.parameter_value(before, keys) or context.supposed(clause, before) or re.match(r"[.,]?\d", after):
        return None
    if before.rstrip().endswith("±") or re.match(r"\s*(?:below|behind|short of) the best", after, re.IGNORECASE):
        return None
    unit = _unit(match["unit"])
    if not match["sign"] and not (unit == "pp" or (unit and match["by"])):
        return None  # a count or a share, as in `divided by 3` and `a 95 % interval`
    digits = match["digits"].replace(",", "")
    value = float(digits + (match["exponent"] or ""))
    senses = [sense for sense in ("better", "worse") if words.pattern(words.DIRECTIONS[sense]).search(clause)]
    return Claim(
        kind="delta",
        text=match[0].strip(),
        clause=clause,
        place=match.start(),
        sense=senses[0] if senses and not match["sign"] else "",
        value=-value if match["sign"] and match["sign"] in MINUS else value,
        digits=len(digits.partition(".")[2]) - int((match["exponent"] or "e0")[1:]),
        unit=unit,
        signed=bool(match["sign"]),
    )


def _unit(text: str | None) -> str:
    """pp, % or nothing; `points` are pp."""
    if not text:
        return ""
    return "%" if text.lower() in ("%", "％", "percent", "per cent") else "pp"


def _config_claims(sentence: str) -> list[Claim]:
    """Claims about what was changed: `only X changed`, `unchanged`, `same as v2 except X`."""
    for form in (words.ONLY_BEFORE, words.ONLY_AFTER):
        if found := re.search(rf"{words.START}{form}{words.END}", sentence, re.IGNORECASE):
            return [Claim(kind="config", text=found[0], clause=sentence, named=found[1])]
    same = re.search(rf"{words.START}(?:{words.SAME}){words.END}", sentence, re.IGNORECASE)
    if not same:
        return []
    before, rest = sentence[: same.start()], sentence[same.end() :]
    if context.supposed(sentence, before) or context.negated(before, rest):
        return []
    but = re.search(rf"{words.START}(?:{words.EXCEPT}){words.END}\s*(?:the )?(.+)", rest, re.IGNORECASE)
    if but:
        return [Claim(kind="config", text=sentence[same.start() :], clause=sentence, named=but[1])]
    if same[0].lower().endswith("same") and not re.match(r"\s+(?:as|config|settings?|param|hyperparam)", rest):
        return []
    return [Claim(kind="config", text=same[0], clause=sentence, named=None)]
