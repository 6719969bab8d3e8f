"""Check what a remark says was changed, such as `only dropout changed`, against the configs of both runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from goldfold.trust.experiment_log import words
from goldfold.trust.experiment_log.changes import Changes, changes
from goldfold.trust.experiment_log.claims import Claim, Verdict
from goldfold.trust.experiment_log.mentions import THE_REFERENCE, mentioned
from goldfold.trust.experiment_log.rows import Row
from goldfold.trust.experiment_log.runs import LoggedRun

SHORT = {"lr": "learning rate", "wd": "weight decay", "bs": "batch size"}
DATA = "data"
SHORTEST = 4  # letters by which a word of a text may name a key that has more words


def checked(claim: Claim, row: Row, runs: Sequence[LoggedRun]) -> tuple[Verdict, str]:
    """Whether what changed is what the remark lists, compared with the run it names, else with that of the row."""
    named = mentioned(claim.sentence, row.run, runs)
    alike = re.search(r"(?<!\w)(?:same as|identical to|unchanged from)\s+(\S.*)", claim.sentence, re.IGNORECASE)
    if alike and not named and not re.match(THE_REFERENCE, alike[1], re.IGNORECASE):
        return "unchecked", f"no run of the log is called '{alike[1].split()[0]}'"
    reference = named or row.reference
    if reference is None:
        return "unchecked", "there is no run to compare with"
    found = changes(reference, row.run)
    told = f"compared with {reference.name}, changed: {found.text}"
    if claim.named is None:
        return _unchanged(claim, found, row.run, told)
    text = _spelled(claim.named)
    changed = [*found.keys, *([DATA] if found.data else [])]
    missing = [key for key in changed if not _names(text, key)]
    wrong = [key for key in row.run.config if key not in changed and _in_full(text, key) and not _covers(text, changed)]
    unknown = [item for item in _items(text) if not any(_names(item, key) for key in (*row.run.config, DATA))]
    if missing and len(unknown) >= len(missing) and not wrong:
        return "unchecked", f"'{unknown[0].strip()}' is no config key; {told}"
    if missing or wrong or not changed:
        return "untrue", f"{told}; true would be '{_right(reference.name, changed)}'"
    return "true", told


def _unchanged(claim: Claim, found: Changes, run: LoggedRun, told: str) -> tuple[Verdict, str]:
    """A claim that nothing changed, or that the keys which it names did not."""
    text = _spelled(claim.sentence)
    named = [key for key in run.config if key not in words.GENERAL and _in_full(text, key)]
    changed = [key for key in found.keys if not named or key in named]
    if changed or (found.data and not named):
        return "untrue", f"{told}; true would be '{', '.join(found.names)} changed'"
    return "true", told


def _spelled(text: str) -> str:
    """Lower case, words apart by spaces, usual abbreviations written out."""
    plain = re.sub(r"[_-]", " ", text.lower())
    return re.sub(r"\w+", lambda word: SHORT.get(word[0], word[0]), plain)


def _items(text: str) -> list[str]:
    """The things that a list in words names."""
    parts = re.split(r",|/|&|\+|(?<!\w)(?:and|und|y|et)(?!\w)", text)
    return [part for part in parts if part.strip()]


def _names(text: str, key: str) -> bool:
    """Whether a text names a key: in full, or by one of its longer words, as `scheduler` names `schedule`."""
    if _in_full(text, key):
        return True
    own = [word for word in key.lower().split("_") if len(word) >= SHORTEST]
    said = [word for word in re.findall(r"\w+", text) if len(word) >= SHORTEST]
    return any(word.startswith(each) or each.startswith(word) for word in own for each in said)


def _in_full(text: str, key: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(key.lower().replace('_', ' '))}(?!\w)", text) is not None


def _covers(text: str, changed: Iterable[str]) -> bool:
    """Whether each item of a list names something that changed."""
    return all(any(_names(item, key) for key in changed) for item in _items(text))


def _right(reference: str, changed: Sequence[str]) -> str:
    return f"same as {reference} except {' and '.join(changed)}" if changed else f"same as {reference}"
