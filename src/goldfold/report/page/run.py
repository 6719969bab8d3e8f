"""The page of a run: its verdict and its score on a scale, then the record's sections with their pictures inside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goldfold.experiment.identity import intact
from goldfold.experiment.run_folders import FINISHED
from goldfold.io.files import read_json
from goldfold.io.formatting import count
from goldfold.report.anomaly import heat_maps
from goldfold.report.drift import page as drift
from goldfold.report.masks import page as masks
from goldfold.report.page import markup, reliability, scale
from goldfold.report.page.embedded import embedding
from goldfold.report.page.layout import document
from goldfold.report.page.twin import section
from goldfold.report.page.verdict import verdict
from goldfold.report.retrieval import hash_curves
from goldfold.report.retrieval import page as retrieval

SHOWN = 8  # earlier runs on the scale, the newest ones
PLACES = {  # picture -> section in which it stands; others stand in "Pictures"
    "fold_scores.png": "Folds",
    "learning_curves.png": "Learning curves",
    "classes.png": "Classes",
    "confusion.png": "Classes",
    "hard_examples.png": "Hard examples",
    heat_maps.MISSES: "Most wrong",
    heat_maps.FALSE_ALARMS: "Most wrong",
    heat_maps.TEST: "Most wrong",
    "most_wrong.png": "Most wrong",
    masks.PICTURE: "Most wrong",
    "blend.png": "Blend",
    hash_curves.PICTURE: "Retrieval",
    **dict.fromkeys(retrieval.PICTURES, "Retrieval"),
}
ORDER = (  # of the sections; others stand before "Budget"
    "Findings",
    "Train against test",
    "Imported predictions",
    "Blend",
    "Hidden labels and refit",
    "Folds",
    "Metrics",
    "Learning curves",
    "Classes",
    "Defect sizes",
    "Hard examples",
    "Most wrong",
    "Calibration",
    "Retrieval",
    "Pictures",
    "Budget",
    "Config",
    "How to reproduce",
    "Files",
)


def page(run: Path, others: Sequence[Path]) -> str:
    """The text of a run's report.html, made from its folder alone.

    others: folders of the competition's runs, oldest first; those before `run` are drawn beside it.

    Raises:
        GoldfoldError: a file of the folder is missing or damaged.
    """
    title, before, parts = markup.sections((run / FINISHED).read_text(encoding="utf-8"))
    name, summary = next(iter(read_json(run / "metrics.json").items()))
    told = verdict(name, summary, read_json(run / "findings.json"))
    bodies = _bodies(run, parts)
    ordered = sorted(bodies, key=lambda heading: ORDER.index(heading) if heading in ORDER else ORDER.index("Budget"))
    body = [
        f'<p class="verdict">{markup.inline(told)}</p>',
        _contents(["Score", *ordered]),
        section("Score", _score(run, name, summary, others) + markup.html(before, lambda *_: "")),
        *(section(heading, bodies[heading]) for heading in ordered),
    ]
    return document(title, "\n".join(body))


def _bodies(run: Path, parts: dict[str, str]) -> dict[str, str]:
    """Heading -> HTML: the record's sections, each followed by its pictures, and the calibration."""
    listed = dict(parts)
    shown = markup.pictures(listed.pop("Pictures", ""))
    figure = embedding(run, [name for _, name in shown])
    bodies = {heading: markup.html(text, figure) for heading, text in listed.items()}
    for caption, name in shown:
        place = PLACES.get(name, "Pictures")
        bodies[place] = bodies.get(place, "") + figure(caption, name)
    curve, told = reliability.section(run)
    if told:
        bodies["Calibration"] = curve + markup.html(told, figure)
    if compared := drift.section(run):
        bodies["Train against test"] = markup.html(compared, figure)
    return bodies


def _contents(headings: Sequence[str]) -> str:
    links = "".join(f'<a href="#{markup.anchor(heading)}">{markup.inline(heading)}</a>' for heading in headings)
    return f"<nav>{links}</nav>"


def _score(run: Path, name: str, summary: dict[str, Any], others: Sequence[Path]) -> str:
    """The scale, with a note on how many earlier runs it leaves out."""
    earlier, unlike = _earlier(run, name, summary["protocol"], others)
    kept = dict(list(earlier.items())[-SHOWN:])
    notes = [f"{count(len(earlier) - len(kept), 'older run')} not drawn"] if len(earlier) > len(kept) else []
    notes += [f"{count(unlike, 'earlier run')} of another metric or protocol not drawn"] if unlike else []
    drawn = scale.svg(scale.marks(run.name, summary, kept))
    note = "Dots: mean over folds; lines: 95 % interval" + "".join(f"; {each}" for each in notes)
    return f'{drawn}\n<p class="note">{note}.</p>\n'


def _earlier(run: Path, name: str, protocol: str, others: Sequence[Path]) -> tuple[dict[str, Any], int]:
    """Earlier run -> its summary of the same metric by the same protocol, and the number of finished ones without."""
    places = list(others)
    before = places[: places.index(run)] if run in places else places
    found: dict[str, Any] = {}
    finished = [each for each in before if (each / FINISHED).exists()]
    for each in finished:
        if intact.fault(each):
            continue
        summary = read_json(each / "metrics.json").get(name)
        if summary and summary["protocol"] == protocol:
            found[each.name] = summary
    return found, len(finished) - len(found)
