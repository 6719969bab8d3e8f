"""Print the ledger: every submission with its CV, public and private score, and which two to select."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from goldfold.errors import unknown
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import write_bytes, write_text
from goldfold.kaggle.ledger import Attempt, export, read_attempts
from goldfold.kaggle.upload import outcome
from goldfold.report.delivery import ledger as report
from goldfold.report.delivery.ledger import Point
from goldfold.report.page import twin
from goldfold.report.plotting import markdown
from goldfold.workflows.delivery import confirm

if TYPE_CHECKING:
    from pandas import DataFrame

HOW = (
    "Spearman's rho; interval by Fisher's z with the standard error of Bonett and Wright (2000)",
    "both: smallest mean of the ranks by CV and by public score, ties by CV",
)


@dataclass(frozen=True)
class Ledger:
    """Submissions of one or all competitions. text: output of the command. pictures: plots of CV against scores."""

    attempts: Sequence[Attempt]
    text: str
    pictures: Sequence[Path] = field(default_factory=list)

    @property
    def table(self) -> DataFrame:
        """One row per attempt to submit, with all columns of the ledger."""
        import pandas as pd

        return pd.DataFrame([asdict(attempt) for attempt in self.attempts])

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return f"```\n{self.text}\n```"


def ledger(workspace: Workspace, competition: str | None = None) -> Ledger:
    """List the submissions of a competition, or of all; plots CV against leaderboard scores for each.

    Raises:
        GoldfoldError: there is no such competition (`unknown_competition`).
    """
    attempts = read_attempts(workspace.ledger)
    known = {attempt.competition for attempt in attempts}
    if competition and competition not in known | set(workspace.names()):
        raise unknown("competition", competition, workspace.names(), code="unknown_competition")
    wanted = [attempt for attempt in attempts if competition in (None, attempt.competition)]
    if not wanted:
        return Ledger([], "nothing was submitted yet: make submit RUN=latest TO=local")
    lines: list[str] = []
    pictures: list[Path] = []
    page = ["# Ledger"]
    for name, own in groupby(sorted(wanted, key=lambda each: each.competition), lambda each: each.competition):
        told, picture = _told(workspace, name, list(own))
        lines += told
        pictures += [picture] if picture else []
        page += [f"## {name}", markdown.code("\n".join(told).rstrip())]
        page += [f"![CV against leaderboard of {name}]({picture.name})"] if picture else []
    file = workspace.submissions / (f"ledger-{competition}.md" if competition else "ledger.md")
    write_text(file, "\n\n".join([*page, *HOW]) + "\n")
    lines += [*HOW, f"all columns {export(workspace.ledger)}", f"page {twin.write(file)}"]
    return Ledger(wanted, "\n".join(lines), pictures)


def _told(workspace: Workspace, name: str, attempts: Sequence[Attempt]) -> tuple[list[str], Path | None]:
    """A competition's tables, one per service, and its plot if there is a score."""
    metric, higher = attempts[-1].metric, attempts[-1].higher_is_better
    lines: list[str] = []
    boards: dict[str, list[Point]] = {}
    for service in sorted({attempt.service for attempt in attempts}):
        own = [attempt for attempt in attempts if attempt.service == service]
        points = points_of([attempt for attempt in own if attempt.metric == metric])
        lines += [f"{name} on {service}, {metric}, {'higher' if higher else 'lower'} is better", *_table(own)]
        lines += [f"  {line}" for line in _conclusions(points, higher)] if points else []
        lines += [f"  {finding}" for finding in confirm.unconfirmed(workspace, own)]
        boards |= {f"{name} on {service}": points} if points else {}
    if not boards:
        return [*lines, ""], None
    path = workspace.submissions / f"ledger-{name}.png"
    write_bytes(path, report.cv_against_leaderboard(boards, metric, higher))
    return [*lines, f"picture {path}", ""], path


def points_of(attempts: Sequence[Attempt]) -> list[Point]:
    """Scored attempts; if the same file was sent several times, only the last."""
    last = {attempt.sha256: attempt for attempt in attempts if attempt.state == "scored"}
    return [
        Point(
            each.run, each.cv, *(nan if value is None else value for value in (each.cv_sd, each.public, each.private))
        )
        for each in last.values()
    ]


def _table(attempts: Sequence[Attempt]) -> list[str]:
    wide = max(len("run"), *(len(attempt.run) for attempt in attempts))
    names = f"  {'began, UTC':16}  {'run':{wide}}  {'CV ± sd (ddof=1)':17}  {'public':>8}  {'private':>8}"
    head = f"{names}  {'outcome':8}  {'ref':>9}  tag"
    return [head, *(_row(attempt, wide) for attempt in attempts)]


def _row(attempt: Attempt, wide: int) -> str:
    cv = f"{attempt.cv:.4f}" + ("" if attempt.cv_sd is None else f" ± {attempt.cv_sd:.4f}")
    public, private = ("-" if value is None else f"{value:.5g}" for value in (attempt.public, attempt.private))
    facts = f"{outcome(attempt):8}  {attempt.ref or '-':>9}  {attempt.tag}"
    said = f"  {attempt.said}" if attempt.state in ("failed", "unknown") and attempt.said else ""
    began = attempt.began[:16].replace("T", " ")
    return f"  {began}  {attempt.run:{wide}}  {cv:17}  {public:>8}  {private:>8}  {facts}{said}"


def _conclusions(points: Sequence[Point], higher_is_better: bool) -> list[str]:
    lines = []
    for part in ("public", "private"):
        scores = [getattr(point, part) for point in points]
        known = sum(score == score for score in scores)
        if part == "public" or known:
            lines.append(report.agreement_text(report.agreement([point.cv for point in points], scores), part, known))
    chosen = report.two_to_select(points, higher_is_better)
    lines.append("two to select " + "; ".join(f"by {rule}: {', '.join(names)}" for rule, names in chosen.items()))
    return lines
