"""What the words around a claim make of it: a negation, a guess, a plan, or talk of something else than a score."""

from __future__ import annotations

import re
from collections.abc import Sequence

from goldfold.trust.experiment_log import words

LITERAL = "higher|lower|höher|niedriger"  # directions that often describe a parameter


def negated(before: str, after: str) -> bool:
    """Whether a claim is denied, with nothing but filling words between: `not the best`."""
    adjacent = rf"{words.START}(?:{words.NOT})(?: (?:{words.FILLERS}))* ?$|{words.NOT_BEFORE} ?$"
    only = re.search(r"not only$", before.strip(), re.IGNORECASE)
    return not only and bool(
        re.search(adjacent, before, re.IGNORECASE) or re.match(words.NOT_AFTER, after, re.IGNORECASE)
    )


def supposed(clause: str, before: str) -> bool:
    """Whether a claim is a guess, a wish or a condition: `should be better`, `try a better one`, `if it helps`."""
    near = rf"{words.START}(?:(?:{words.PERHAPS})(?: not)?(?: (?:{words.FILLERS}))*|{words.WISHES}) ?$"
    condition = rf"(?:[\w’']+ ){{0,2}}(?:{words.CONDITIONS})(?![a-z])"
    return bool(re.search(near, before, re.IGNORECASE) or re.match(condition, clause, re.IGNORECASE))


def elsewhere(word: str, before: str, after: str, keys: Sequence[str]) -> bool:
    """Whether a word is about the config or about another thing than a run.

    `higher dropout`, `the dropout is lower`, `best epoch`, `top-5`, `lower loss`, `worse than the best`.
    """
    if words.pattern(words.NOUNS).match(after.lstrip()) or re.match(r"[ -]?\d", after):
        return True
    if re.search(rf"{words.START}{words.OF_OTHERS} $", before, re.IGNORECASE):
        return True
    following = after.lstrip().lower().replace("_", " ")
    named = [key.replace("_", " ").lower() for key in keys if key not in words.GENERAL]
    if any(re.match(rf"{re.escape(name)}(?!\w)", following) for name in named):
        return True
    subject = any(re.search(rf"(?<!\w){re.escape(name)} (?:is |was )?$", _spaced(before)) for name in named)
    return subject and re.fullmatch(LITERAL, word, re.IGNORECASE) is not None


def rank(before: str) -> int:
    """1, or that of an ordinal right before a superlative: `second best`."""
    found = re.search(rf"{words.START}({'|'.join(words.ORDINALS)})[ -]?$", before, re.IGNORECASE)
    return words.ORDINALS[found[1].lower()] if found else 1


def so_far(clause: str, sentence: str) -> bool:
    """Whether a claim is limited to the runs before: in its clause, or at the start of its sentence."""
    known = words.pattern(words.SO_FAR)
    return bool(known.search(clause) or known.match(sentence))


def parameter_value(before: str, keys: Sequence[str]) -> bool:
    """Whether a number follows a config key, as in `dropout +0.3`."""
    named = [key.replace("_", " ").lower() for key in keys if key not in words.GENERAL]
    return any(re.search(rf"(?<!\w){re.escape(name)}(?: of| to| is| by)? ?$", _spaced(before)) for name in named)


def _spaced(text: str) -> str:
    return text.lower().replace("_", " ")
