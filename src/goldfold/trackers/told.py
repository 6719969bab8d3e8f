"""What a tracker is told of a run, all read from the run's folder, so that old and resumed runs are told alike.

A fit in training has its finished epochs in `epochs.jsonl`, one JSON object a line, and in its checkpoints; a complete
fit has them in `history.json`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import CHECKPOINTS
from goldfold.experiment.run_folders import FINISHED, run_name
from goldfold.io.files import read_json

JOURNAL = "epochs.jsonl"  # in the folder of a fit that is in training


@dataclass(frozen=True)
class Start:
    """A run, as trackers know it from its start.

    id: 16 hexadecimal digits, equal whenever the run is resumed or sent again. config: its resolved config.
    """

    folder: Path
    id: str
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        return run_name(self.folder)

    @property
    def competition(self) -> str:
        return self.folder.parent.name


@dataclass(frozen=True)
class Epoch:
    """One trained epoch of a fit.

    fit: name of its folder, such as fold0-seed0. number: 1-based, within the stage. values: name -> finite number.
    """

    fit: str
    stage: str
    number: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Result:
    """What a finished run came to.

    scores: such as `auroc/mean`, `auroc/sd`, `auroc/interval_low`. findings: as in findings.json. pictures: PNG files.
    """

    scores: Mapping[str, float]
    findings: list[dict[str, str]]
    pictures: list[Path]
    record: Path

    @property
    def codes(self) -> list[str]:
        """The codes of the findings, each once."""
        return sorted({finding["code"] for finding in self.findings})

    def findings_table(self) -> str:
        """The findings as a Markdown table."""
        rows = ["| level | code | where | message |", "|---|---|---|---|"]
        cells = [[each[key].replace("|", "\\|") for key in FINDING] for each in self.findings]
        return "\n".join(rows + ["| " + " | ".join(row) + " |" for row in cells]) if cells else "no findings"


FINDING = ("level", "code", "where", "message")


def start_of(run: Path) -> Start:
    """The run in a folder, as trackers know it."""
    known = read_json(run / "reproduce.json", dict)
    made_of = [run_name(run), known.get("identity"), known.get("started")]
    return Start(run, hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16], read_json(run / "config.json"))


def epoch_of(fit: str, row: Mapping[str, Any]) -> Epoch:
    """A row of the history as an epoch."""
    return Epoch(fit, row["stage"], int(row["epoch"]), dict(_values(row)))


def _values(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The finite numbers of a row: the total loss first, then its terms, scores, rates, norms and seconds."""
    terms = row.get("loss") or {}
    groups = {
        "score": row.get("scores"),
        "monitored": {name: each["value"] for name, each in (row.get("monitored") or {}).items()},
        **{name: row.get(name) for name in ("learning_rate", "gradient_norm", "group_gradient_norm")},
    }
    numbers: list[tuple[str, Any]] = [("loss", sum(terms.values()))]
    numbers += [(f"loss_terms/{term}", value) for term, value in terms.items() if len(terms) > 1]
    numbers += [(f"{group}/{name}", value) for group, own in groups.items() for name, value in (own or {}).items()]
    numbers += [("seconds", row.get("seconds"))]
    yield from ((name, float(value)) for name, value in numbers if _is_finite(value))


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def epochs_of(place: Path) -> list[Epoch]:
    """The epochs of the fit in a folder, in order, each once; those of a fit in training as far as they are known."""
    rows = _journal(place) + [each["row"] for each in _read_all(place / CHECKPOINTS)]
    if (place / "fit.json").exists():
        with suppress(GoldfoldError):  # a damaged fit is made again, and then told
            rows = read_json(place / "history.json", list)
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    last = {(row["stage"], row["epoch"]): row for row in rows}  # an epoch that was trained again is told as it is now
    ordered = sorted(last, key=lambda each: (stages.index(each[0]), each[1]))
    return [epoch_of(place.name, last[each]) for each in ordered]


def _journal(place: Path) -> list[dict[str, Any]]:
    """The rows that `write_row` wrote; a line that a killed process left torn is skipped."""
    rows = []
    with suppress(OSError, UnicodeDecodeError):
        for line in (place / JOURNAL).read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):
                rows += [json.loads(line)] if line else []
    return rows


def _read_all(folder: Path) -> list[dict[str, Any]]:
    """The facts of the checkpoints that a fit keeps, in order of their epochs."""
    found = []
    for path in folder.glob("*.json"):
        with suppress(GoldfoldError):
            found.append(read_json(path, dict))
    return sorted((each for each in found if "row" in each), key=lambda each: each["order"])


def write_row(place: Path, row: Mapping[str, Any]) -> None:
    """Add a row to the journal of a fit in training. A line begins with its line break: the last one may be torn."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / JOURNAL).open("a", encoding="utf-8") as file:
        file.write("\n" + json.dumps(row))


def scores_of_fit(place: Path) -> dict[str, float]:
    """The scores of a complete fit; empty for one that is not."""
    with suppress(GoldfoldError):
        return {name: value for name, value in read_json(place / "fit.json")["scores"].items() if _is_finite(value)}
    return {}


def result_of(run: Path) -> Result | None:
    """What a finished run came to; None if it is not finished."""
    if not (run / FINISHED).exists():
        return None
    scores: dict[str, Any] = {}
    for metric, own in read_json(run / "metrics.json", dict).items():
        low, high = own.get("interval_95") or (None, None)
        named = {"mean": own["mean"], "sd": own.get("sd_ddof1"), "interval_low": low, "interval_high": high}
        named |= {"chance": own.get("chance"), "pooled": own.get("pooled")}
        scores |= {f"{metric}/{name}": value for name, value in named.items() if _is_finite(value)}
    return Result(scores, read_json(run / "findings.json", list), sorted(run.glob("*.png")), run / FINISHED)


def fits_of(run: Path) -> list[Path]:
    """The folders of a run's fits, by fold and seed."""
    numbers = {place: [int(word) for word in place.name[4:].split("-seed")] for place in run.glob("fold*-seed*")}
    return sorted(numbers, key=numbers.__getitem__)
