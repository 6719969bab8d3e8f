"""Open a run as a teacher: one of the same competition and folds, with the fits of its folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import Fit, fit_folder, load_fit
from goldfold.experiment.fits.same_folds import refuse_other_folds, seen_of_scored_folds
from goldfold.experiment.run_folders import BLEND, open_run, run_name
from goldfold.io.files import read_json

if TYPE_CHECKING:
    from goldfold.experiment.workspace import Workspace


@dataclass(frozen=True)
class Teacher:
    """A finished run that teaches.

    fits: fold -> its fits, one per seed. config: every key with its value. identity: of the run.
    """

    folder: Path
    config: Mapping[str, Any]
    identity: str
    fits: Mapping[int, Sequence[Fit]]

    def facts(self) -> dict[str, Any]:
        """What the student's record tells: name, identity, its own teachers, what it learned of scored folds."""
        own = [(self.config.get(key) or {}).get("teacher") for key in ("pseudo_labels", "distill")]
        return {
            **seen_of_scored_folds(self.folder),
            "identity": self.identity,
            "teachers": [each for each in own if each],
        }


def open_teacher(workspace: Workspace, name: str, wanted: str, drawn: str, folds: Sequence[int]) -> Teacher:
    """Open the run `wanted` of competition `name` as the teacher of these folds.

    drawn: the text of the student's `folds.csv`.

    Raises:
        GoldfoldError: as `open_run`; `teacher_unnamed`, "latest" is another run every time; `teacher_of_other_task`,
            it is of another competition; `teacher_folds_differ`; `teacher_without_fits`, it is a blend, it was
            imported, or it lacks the fit of a fold.
    """
    if wanted == "latest":
        raise GoldfoldError(
            "teacher_unnamed",
            "a teacher is named for good, and 'latest' is another run tomorrow: write baseline-r1, say",
        )
    folder = open_run(workspace, wanted if "/" in wanted else f"{name}/{wanted}")
    if folder.parent.name != name:
        raise GoldfoldError(
            "teacher_of_other_task",
            f"a teacher must be of the student's competition '{name}', and run '{run_name(folder)}' is of "
            f"'{folder.parent.name}': name a run of {name}",
        )
    if (folder / BLEND).exists():
        raise GoldfoldError(
            "teacher_without_fits",
            f"a blend has no fits that teach, since its weights were learned on rows that score other folds, and run "
            f"'{run_name(folder)}' is one: name one of its runs, "
            f"{', '.join(read_json(folder / 'config.json')['runs'])}",
        )
    refuse_other_folds(folder, drawn, "teacher_folds_differ", "teacher")
    config = read_json(folder / "config.json", dict)
    fits = {fold: _fits(folder, fold, config.get("seeds") or (0,)) for fold in folds}
    return Teacher(folder, config, read_json(folder / "reproduce.json", dict)["identity"], fits)


def _fits(folder: Path, fold: int, seeds: Sequence[int]) -> list[Fit]:
    """The fits of a fold, which say themselves that they are of it."""
    places = [fit_folder(folder, fold, seed) for seed in seeds]
    absent = next((place for place in places if not (place / "fit.json").exists()), None)
    if absent is not None:
        raise GoldfoldError(
            "teacher_without_fits",
            f"fold {fold} is taught by the teacher's fit of fold {fold}, and run '{run_name(folder)}' has no "
            f"{absent.name}/fit.json: name a run that was trained here on all these folds, not an imported one",
        )
    fits = [load_fit(place) for place in places]
    for fit, place in zip(fits, places, strict=True):
        if fit.fold != fold:
            raise GoldfoldError(
                "teacher_without_fits",
                f"{place} holds a fit of fold {fit.fold}, which was trained on the rows that score fold {fold}: train "
                "the teacher again",
            )
    return fits


def together(combine: Any, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Predictions of several fits for the same rows as one, by the recipe's `combine`."""
    return parts[0] if len(parts) == 1 else combine(np.stack(parts))
