"""Compare runs of one competition: differences to the first run, paired over folds; for embeddings also by query."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from goldfold.errors import GoldfoldError
from goldfold.experiment import run_folders as runs
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import write_text
from goldfold.report.page import twin
from goldfold.report.plotting import markdown
from goldfold.report.retrieval import comparison as by_query
from goldfold.report.retrieval.page import of_first_split
from goldfold.report.run import comparison
from goldfold.trust.query_comparisons import compare_queries, other_data
from goldfold.trust.run_comparison import compare_runs
from goldfold.trust.untrained_baselines import ComparedRuns, embedding_competition, with_baselines

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.trust.audits import Finding
    from goldfold.trust.comparisons import Difference

PLACE = "comparisons"  # folder beside a competition's runs
LONGEST_NAME = 150  # bytes of a file's name; file systems allow 255


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs of one competition and their differences to the first.

    runs: names, the first one the reference. added: the untrained baselines among them that were not named.
    tables: metric -> a row per run, as `report.run.comparison.table` describes it, the competition's metric first.
    differences: metric -> run -> its difference to the first run, with its interval.
    queries: run -> a row per query, its change from the first run; only of embeddings.
    files: pages that were written; of embeddings also tables and pictures.
    """

    runs: tuple[str, ...]
    added: tuple[str, ...]
    tables: Mapping[str, DataFrame]
    differences: Mapping[str, Mapping[str, Difference]]
    findings: tuple[Finding, ...]
    text: str
    queries: Mapping[str, DataFrame]
    files: tuple[Path, ...]

    @property
    def table(self) -> DataFrame:
        """The table of the competition's own metric."""
        return next(iter(self.tables.values()))

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return markdown.code(self.text)


def compare(workspace: Workspace, wanted: Sequence[str], accept: Sequence[str] = ()) -> Comparison:
    """Compare two or more finished runs, the first one the reference.

    wanted: their names. accept: codes of findings that do not refuse the comparison.

    Raises:
        GoldfoldError: a run is unknown, unfinished or named twice; folds, protocols or the metric to rank by differ;
            or a finding is an error and not accepted, such as unequal training budgets.
    """
    folders = [runs.open_run(workspace, name) for name in wanted]
    if len(set(folders)) < max(2, len(folders)):
        named = ", ".join(map(runs.run_name, folders))
        raise GoldfoldError(
            "too_few_runs", f"a comparison needs two or more different runs, got {named}: see make list"
        )
    competition = embedding_competition(workspace, folders)
    if competition is None:
        return _comparison(ComparedRuns(folders), accept)
    rows = with_baselines(workspace, folders)
    data = workspace.load(folders[0].parent.name)
    changed = other_data(competition, data, rows.folders)
    found = _comparison(replace(rows, findings=[*rows.findings, *changed]), accept)
    if changed:
        return found
    queries, files, lines = {}, [], [found.text]
    for each in compare_queries(competition, data, rows.folders):
        first, other = each.compared.first, each.compared.other
        folder = folders[0].parent / PLACE / f"{first}-vs-{other}"
        private, split = competition.private_images, of_first_split(competition.metric.retrieval)
        page, *rest = by_query.write(each, competition.targets[:1], folder, private_images=private, split=split)
        written = [page, twin.write(page), *rest]
        queries[f"{folders[0].parent.name}/{other}"] = by_query.per_query(each.compared)
        lines += [f"{by_query.told(each.compared)}{split}", f"  {folder}: {', '.join(path.name for path in written)}"]
        files += written
    return replace(found, text="\n".join(lines), queries=queries, files=(*found.files, *files))


def _comparison(rows: ComparedRuns, accept: Sequence[str]) -> Comparison:
    found = compare_runs(rows, accept)
    place = rows.folders[0].parent / PLACE / f"{page_name([each.name for each in rows.folders])}.md"
    write_text(place, comparison.page(found))
    html = twin.write(place)
    return Comparison(
        runs=found.runs,
        added=found.added,
        tables={metric: comparison.table(found, metric) for metric in found.metrics},
        differences={metric: own.differences for metric, own in found.metrics.items()},
        findings=found.findings,
        text=f"{comparison.text(found)}\npage {html}",
        queries={},
        files=(place, html),
    )


def page_name(runs: Sequence[str]) -> str:
    """The name of the page that compares runs; of many, their number and a hash of their names.

    >>> page_name(["baseline-r1", "wide-r1"])
    'baseline-r1-vs-wide-r1'
    """
    name = f"{runs[0]}-vs-{'-'.join(runs[1:])}"
    if len(name.encode()) <= LONGEST_NAME:
        return name
    known = hashlib.sha256("\n".join(runs).encode()).hexdigest()
    return f"{len(runs)}-runs-{known[:12]}"
