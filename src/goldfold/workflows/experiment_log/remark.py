"""Add a remark to a run: checked against the experiment log, refused if that contradicts it, never edited later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldfold.errors import GoldfoldError, unknown
from goldfold.experiment.run_folders import run_name
from goldfold.experiment.workspace import Workspace
from goldfold.trust.audits import refuse_errors
from goldfold.trust.experiment_log import remarks
from goldfold.trust.experiment_log.checks import check
from goldfold.trust.experiment_log.claims import find_claims
from goldfold.trust.experiment_log.log import Entry, Log, read_log
from goldfold.trust.experiment_log.rows import check_pair
from goldfold.trust.experiment_log.runs import LoggedRun
from goldfold.trust.experiment_log.standing import TEXT_OF, Standing, findings

LABELS = ("name", "category")  # fields of one line, which say what a run is
LONGEST_LABEL = 80  # characters


@dataclass(frozen=True)
class Remarked:
    """A remark that was stored. path: of the file. texts: what was written, with what the table says of it."""

    run: str
    path: Path
    texts: tuple[Standing, ...]

    def __str__(self) -> str:
        told = [f"{TEXT_OF[each.field]}: {each.told}" for each in self.texts]
        return "\n".join([*told, f"stored in {self.path}; make log COMP={self.run.partition('/')[0]} shows it"])


def remark(workspace: Workspace, run: Path, fields: Mapping[str, str], accept: Sequence[str] = ()) -> Remarked:
    """Check and store a remark on a finished run.

    fields: of `trust.experiment_log.remarks.FIELDS`, those that are not empty. accept: `remark_untrue` stores a text
    that the table contradicts; the log shows it struck through.

    Raises:
        GoldfoldError: `remark_untrue`; there is nothing to store; a name or category is too long, taken, or claims a
            score; or the run cannot be compared with the one in `against`.
    """
    given = {name: value.strip() for name, value in fields.items() if value and value.strip()}
    if not given:
        raise GoldfoldError(
            "remark_empty", "a remark needs text: add TEXT, CONCLUSION, NEXT, NAME, CATEGORY or AGAINST"
        )
    if foreign := given.keys() - set(remarks.FIELDS):
        raise unknown("field of a remark", min(foreign), remarks.FIELDS, code="unknown_field")
    before = read_log(workspace, run.parent.name)
    own, runs = _entry(before, run).row.run, before.runs
    if "against" in given:
        given["against"] = _reference(given["against"], own, runs)
    _check_labels(given, own, runs)
    entry = _entry(read_log(workspace, run.parent.name, run, given), run)
    written = tuple(each for each in entry.standings if each.field in given)
    fresh = [Standing(each.field, each.text, each.checks, {}) for each in written]
    refuse_errors(findings(run.name, fresh), accept)
    verdicts = {each.field: {one.claim: one.verdict for one in each.checks} for each in written}
    remarks.add(run, given, verdicts)
    return Remarked(run_name(run), run / remarks.REMARKS, tuple(fresh))


def check_message(workspace: Workspace, run: Path, message: str, accept: Sequence[str] = ()) -> None:
    """Check a text on a run that is to be sent elsewhere; raises as `remark` where the table contradicts it."""
    if not find_claims(message):
        return
    log = read_log(workspace, run.parent.name)
    own = Standing("message", message, check(message, _entry(log, run).row, log.runs), {})
    refuse_errors(findings(run.name, [own]), accept)


def _entry(log: Log, run: Path) -> Entry:
    """The run's entry in the log; GoldfoldError `run_not_logged` if it has none."""
    for entry in log.entries:
        if entry.row.run.folder == run:
            return entry
    why = log.left_out.get(run.name, "it is no run folder")
    raise GoldfoldError("run_not_logged", f"run '{run_name(run)}' has no row in the log, since {why}: train it again")


def _reference(wanted: str, run: LoggedRun, runs: Sequence[LoggedRun]) -> str:
    """The folder's name of the run to compare with; it must be another one that can be compared."""
    known = {
        name: each
        for each in runs
        if each is not run
        for name in (each.name, run_name(each.folder), each.id, each.remarks.name)
        if name
    }
    if wanted not in known:
        raise unknown(f"finished run to compare {run.name} with", wanted, known, code="unknown_run")
    check_pair(run, known[wanted])
    return known[wanted].name


def _check_labels(given: Mapping[str, str], run: LoggedRun, runs: Sequence[LoggedRun]) -> None:
    """Refuse a name or category that is no short label, claims a score, or names another run."""
    for field in (field for field in LABELS if field in given):
        value = given[field]
        if len(value.splitlines()) > 1 or len(value) > LONGEST_LABEL:
            raise GoldfoldError(
                "label_too_long",
                f"{field.upper()} must be one line of at most {LONGEST_LABEL} characters, and it has {len(value)}: "
                "write the rest into TEXT",
            )
        if find_claims(value) or find_claims(value.replace("-", " ").replace("_", " ")):
            raise GoldfoldError(
                "label_claims_score",
                f"{field.upper()} says what a run is, and '{value}' claims a score: write that into TEXT, where it is "
                "checked",
            )
    taken = {name for each in runs if each is not run for name in (each.name, each.remarks.name) if name}
    if given.get("name") in taken:
        raise GoldfoldError("name_taken", f"another run is called '{given['name']}': choose another NAME")
