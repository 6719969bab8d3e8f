"""Find what a config's teachers say to each fold, and keep it with the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import Experiment, fold_numbers
from goldfold.experiment.fits.lessons import NO_FOLD, Lessons, PseudoLabels
from goldfold.experiment.run_folders import run_name
from goldfold.experiment.teachers.checks import check_predictions, check_student, check_teacher
from goldfold.experiment.teachers.predictions import Asking, in_sample, nested, out_of_fold
from goldfold.experiment.teachers.runs import Teacher, open_teacher, together
from goldfold.io.files import read_arrays, read_json, write_arrays, write_json
from goldfold.optional_parts import LabelColumns

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Tables
    from goldfold.experiment.workspace import Workspace

ARRAYS = "teachers.npz"  # in a run's folder: what its teachers predicted
FACTS = "teachers.json"  # in a run's folder: which runs they are
IDS = "ids"  # name of the array of ids of the rows that teachers labeled
ROWS = "training_rows.json"  # in a run's folder: rows that train it beside those of its folds


@dataclass(frozen=True, kw_only=True)
class Search:
    """A student that looks for its lessons.

    name: of the competition's folder. recipe: of the student. drawn: the text of its `folds.csv`. rebuild: run folder
    -> the experiment that it was trained as.
    """

    workspace: Workspace
    name: str
    recipe: str
    experiment: Experiment
    drawn: str
    rebuild: Callable[[Path], Experiment]

    def teacher(self, wanted: str, folds: Sequence[int]) -> Teacher:
        """Open and check a teacher of these folds."""
        found = open_teacher(self.workspace, self.name, wanted, self.drawn, folds)
        check_teacher(self.experiment, found)
        return found

    def asking(self, teacher: Teacher) -> Asking:
        """The teacher with its weights."""
        return Asking(teacher, self.rebuild(teacher.folder), self.workspace.cache)


def taught_experiment(search: Search, kept: Path | None) -> Experiment:
    """The student's experiment with its lessons; the same if its config has no teacher.

    kept: the folder of a run that has kept its lessons, so that they need no teacher; None: of a new run.

    Raises:
        GoldfoldError: as `check_student`, `open_teacher`, `check_teacher`, `check_predictions` and `nested`.
    """
    experiment, protocol = search.experiment, search.experiment.protocol
    if protocol.pseudo_labels is None and protocol.distill is None:
        return experiment
    if kept is not None and (kept / FACTS).exists():
        return with_kept(experiment, search.recipe, kept)
    check_student(experiment, search.recipe)
    folds = fold_numbers(protocol, experiment.folds)
    guesses: dict[int, np.ndarray] = {}
    soft: dict[int, np.ndarray] = {}
    facts: dict[str, Any] = {}
    if protocol.pseudo_labels:
        guesses, facts["pseudo_labels"] = _guesses(search, protocol.pseudo_labels, folds)
    if protocol.distill:
        soft, facts["distill"] = _soft(search, folds)
    return replace(experiment, lessons=_lessons(experiment, guesses, soft, facts))


def with_kept(experiment: Experiment, recipe: str, run: Path) -> Experiment:
    """The experiment of a run with the lessons that it kept; the same if it kept none. recipe: its name."""
    if not (run / FACTS).exists():
        return experiment
    check_student(experiment, recipe)
    return replace(experiment, lessons=_read(experiment, run))


def _lessons(
    experiment: Experiment,
    guesses: Mapping[int, np.ndarray],
    soft: Mapping[int, np.ndarray],
    facts: Mapping[str, Any],
) -> Lessons:
    protocol = experiment.protocol
    return Lessons(
        pseudo=protocol.pseudo_labels,
        distill=protocol.distill,
        unlabeled=_unlabeled(experiment, protocol.pseudo_labels),
        guesses=guesses,
        soft=soft,
        several=isinstance(experiment.recipe.labels, LabelColumns),
        facts=facts,
    )


def _unlabeled(experiment: Experiment, asked: PseudoLabels | None) -> DataFrame | None:
    if asked is None:
        return None
    return experiment.tables.test if asked.rows == "test" else experiment.tables.extra


def _guesses(search: Search, asked: PseudoLabels, folds: Sequence[int]) -> tuple[dict[int, np.ndarray], dict[str, Any]]:
    """Fold -> predictions for the unlabeled rows by the teacher's fits of this fold alone."""
    experiment, teacher = search.experiment, search.teacher(asked.teacher, folds)
    combine = experiment.competition.recipes[str(teacher.config["recipe"])].combine
    rows = _unlabeled(experiment, asked)
    if asked.rows == "test":
        found = {fold: together(combine, [fit.test for fit in teacher.fits[fold]]) for fold in folds}
    else:
        asking = search.asking(teacher)
        assert rows is not None, "check_student refuses rows that are not there"
        found = {fold: asking.of_rows(fold, rows) for fold in folds}
    for predictions in found.values():
        check_predictions(experiment, teacher, predictions)
    return found | {NO_FOLD: together(combine, list(found.values()))}, teacher.facts()


def _soft(search: Search, folds: Sequence[int]) -> tuple[dict[int, np.ndarray], dict[str, Any]]:
    """Fold -> predictions for the train table, NaN where there are none."""
    experiment, asked = search.experiment, search.experiment.protocol.distill
    assert asked is not None, "only a config with the key distills"
    every = range(len(experiment.folds))
    held_out = asked.predictions == "out_of_fold"
    teacher = search.teacher(asked.teacher, every if held_out else folds)
    apart = out_of_fold(teacher, experiment, every if held_out else folds)
    if held_out:
        found = dict.fromkeys(folds, apart)
    else:
        asking = search.asking(teacher)
        if asked.predictions == "nested":
            found = nested(asking, experiment, folds)
        else:
            found = {fold: in_sample(asking, experiment, fold) for fold in folds}
    for predictions in [apart, *found.values()]:
        check_predictions(experiment, teacher, predictions)
    return found | {NO_FOLD: apart}, teacher.facts()  # a refit holds nothing out, so that nothing can leak into it


def keep(experiment: Experiment, loaded: Tables, run: Path) -> None:
    """Write the lessons of a run into its folder, and how many rows train it beside those of its folds.

    loaded: the tables as load() gave them. Nothing is written for a run without teachers and extra rows.
    """
    lessons, own = experiment.lessons, len(loaded.train)
    if lessons is None and loaded.extra is None:
        return
    folds = fold_numbers(experiment.protocol, experiment.folds)
    facts = {
        "extra": len(experiment.tables.train) - own,
        "extra_left_out": 0 if loaded.extra is None else len(loaded.extra) - len(experiment.tables.train) + own,
        "own": {str(fold): int((experiment.folds[fold].train < own).sum()) for fold in folds},
        "pseudo_labeled": {str(fold): len(lessons.sure(fold)) for fold in folds} if lessons else {},
    }
    write_json(run / ROWS, facts)
    if lessons is None:
        return
    arrays = {f"guesses_{fold}": each for fold, each in lessons.guesses.items()}
    if lessons.unlabeled is not None:
        arrays[IDS] = np.array([str(each) for each in lessons.unlabeled["id"]])
    write_arrays(run / ARRAYS, arrays | {f"soft_{fold}": each for fold, each in lessons.soft.items()})
    write_json(run / FACTS, lessons.facts)


def _read(experiment: Experiment, run: Path) -> Lessons:
    """The lessons that a run kept.

    Raises:
        GoldfoldError: `pseudo_labels_unusable`, the rows to be labeled are others now, as in a hidden test set.
    """
    parts: dict[str, dict[int, np.ndarray]] = {"guesses": {}, "soft": {}}
    arrays, rows = read_arrays(run / ARRAYS), _unlabeled(experiment, experiment.protocol.pseudo_labels)
    ids = arrays.pop(IDS, np.empty(0)).tolist()
    if rows is not None and [str(each) for each in rows["id"]] != ids:
        raise GoldfoldError(
            "pseudo_labels_unusable",
            f"run '{run_name(run)}' learned from labels of {len(ids):,} rows, and the {len(rows):,} rows of today are "
            "others, so its models cannot be built again: label rows that stay, such as unlabeled ones of Tables.extra",
        )
    for name, values in arrays.items():
        part, _, fold = name.rpartition("_")
        parts[part][int(fold)] = values
    return _lessons(experiment, parts["guesses"], parts["soft"], read_json(run / FACTS, dict))
