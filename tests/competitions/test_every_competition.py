"""The contract that every competition folder keeps, behaviour included; it runs over all folders found."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import made_coco
import made_defects
import made_hands
import made_recordings
import made_windows
import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from shipped import SHIPPED

from goldfold.cli import parser
from goldfold.competition import Competition, Fold, Runtime, Tables
from goldfold.data import fields, tables
from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment.cross_validation import combine_fits, cross_validate
from goldfold.experiment.early_checks import check_recipe, class_order
from goldfold.experiment.fits import Experiment
from goldfold.experiment.workspace import Workspace
from goldfold.params import Role, names
from goldfold.project import Project
from goldfold.submission import writing as submissions
from goldfold.workflows.new import kinds, scaffold

ROOT = Path(__file__).parents[2]
NAMES = Workspace().names()
FEW = 48  # train rows of the short training
LARGE = (
    "frames",
    "hands",
    "magnetic_tiles",
    "nuclei",
    "road_segments",
)  # whose short training takes ten seconds and more
LAYOUTS = made_coco.LAYOUTS | made_defects.LAYOUTS | made_hands.LAYOUTS | made_recordings.LAYOUTS
LAYOUTS |= made_windows.LAYOUTS
FOUR_FILES = ("__init__.py", "data.py", "recipes.py", "submission.py")


class Prepared:
    """A competition with its data made ready in a folder of the test session."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.competition = name, Workspace().competition(name)
        self.public, self.private = folder / "public", folder / "private"
        self.public.mkdir(parents=True)
        self.private.mkdir()
        raw = Workspace().raw(name)
        if name in LAYOUTS:
            raw = LAYOUTS[name](folder / "raw")
        if self.competition.sample_data and not raw.exists():
            pytest.skip(f"{name} needs Kaggle's files in {raw}, or GOLDFOLD_SAMPLE_DATA")
        try:
            self.competition.prepare(raw, self.public, self.private)
        except GoldfoldError as error:
            if error.code != "package_missing":
                raise
            pytest.skip(error.message)
        self.tables = self.competition.load(self.public)


@pytest.fixture(scope="module", params=NAMES)
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(request.param, tmp_path_factory.mktemp(request.param))


def test_tables_are_sound(prepared: Prepared) -> None:
    competition = prepared.competition
    tables.check(competition, prepared.tables)
    for name, recipe in competition.recipes.items():
        check_recipe(competition, name, recipe.params(), prepared.tables)
    assert len(prepared.tables.sample_submission) > 0


def test_folds_part_the_rows_and_repeat_for_a_seed(prepared: Prepared) -> None:
    train, competition = prepared.tables.train, prepared.competition
    for split in (competition.split, *competition.other_splits.values()):
        folds, again = (split(train, 0) for _ in range(2))
        assert len(folds) >= 2
        for fold, same in zip(folds, again, strict=True):
            assert not np.intersect1d(fold.train, fold.validation).size
            assert np.array_equal(fold.train, same.train)
            assert np.array_equal(fold.validation, same.validation)
        validated = np.concatenate([fold.validation for fold in folds])
        assert len(np.unique(validated)) == len(validated)


def test_gold_submission_is_perfect_and_the_sample_is_known(prepared: Prepared) -> None:
    competition, sample = prepared.competition, prepared.tables.sample_submission
    if competition.grade is None or not (prepared.private / "solution.csv").exists():
        pytest.skip("only Kaggle grades this competition")
    solution = submissions.read(prepared.private / "solution.csv", sample)
    gold = solution[list(sample.columns)]
    submissions.check(gold, sample, prepared.tables.test, competition.submission)
    best = competition.metric.bounds[1 if competition.metric.higher_is_better else 0]
    assert competition.grade(gold, solution) == pytest.approx(best)
    chance = competition.grade(sample, solution)
    low, high = competition.metric.bounds
    assert low <= chance <= high
    assert chance != pytest.approx(best)


def test_private_answers_stay_private(prepared: Prepared) -> None:
    assert not set(prepared.competition.targets) & set(prepared.tables.test.columns)
    assert not list(prepared.public.rglob("solution*"))


def recipes() -> list:
    """Every recipe of every competition; all but the first of each are slow, and those of `LARGE` ones."""
    found = []
    for name in NAMES:
        first, *others = Workspace().competition(name).recipes
        slow = [first, *others] if name in LARGE else others
        quick = [] if name in LARGE else [(name, first)]
        found += [*quick, *(pytest.param(name, each, marks=pytest.mark.slow) for each in slow)]
    return found


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory):
    """name -> Prepared, each made once."""
    made: dict[str, Prepared] = {}

    def get(name: str) -> Prepared:
        if name not in made:
            made[name] = Prepared(name, tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.mark.parametrize(("name", "recipe"), recipes())
def test_two_epochs_make_a_valid_submission(name: str, recipe: str, ready, tmp_path: Path) -> None:
    prepared = ready(name)
    competition = prepared.competition
    own = competition.recipes[recipe].params
    short = dict.fromkeys(names(own, Role.EPOCHS), 2) | dict.fromkeys(names(own, Role.PRETRAINED), False)
    sides = own.model_fields.keys() & {"image_size", "crop"}
    short |= {side: min(64, np.min(own.model_fields[side].default or 64).item()) for side in sides}
    config = configs.resolve_config("contract", {"recipe": recipe, "folds": [0], **short}, competition.recipes)
    few, folds = trimmed(competition, prepared.tables)
    experiment = Experiment(
        competition=competition,
        recipe=competition.recipes[recipe],
        params=config.params,
        loop=config.loop,
        protocol=config.protocol,
        tables=few,
        folds=folds,
        runtime=Runtime(seed=0, device=torch.device("cpu"), cache=tmp_path / "cache"),
    )
    try:
        fits = list(cross_validate(experiment, tmp_path / "run"))
    except GoldfoldError as error:
        if error.code != "package_missing":
            raise
        pytest.skip(error.message)
    predicted_as_the_example_says(experiment, fits[0].validation)
    whole = combine_fits(experiment, fits)
    assert len(whole.test) == len(few.test)
    frame = competition.submission.write(few.test, whole.test)
    submissions.check(frame, few.sample_submission, few.test, competition.submission)
    submissions.write(frame, tmp_path / "submission.csv", {})
    read = submissions.read(tmp_path / "submission.csv", few.sample_submission)
    submissions.check(read, few.sample_submission, few.test, competition.submission)


def predicted_as_the_example_says(experiment: Experiment, predictions: np.ndarray) -> None:
    recipe, train = experiment.recipe, experiment.tables.train
    if recipe.example is None:
        return
    classes = class_order(experiment.competition, recipe, train)
    example = recipe.example(experiment.params, len(predictions), classes)
    assert example.dtype.names == predictions.dtype.names
    for shown, real in zip(fields.parts(example), fields.parts(predictions), strict=True):
        assert (shown.dtype, shown.ndim, len(shown)) == (real.dtype, real.ndim, len(real))
        assert recipe.labels is None or shown.shape == real.shape


def trimmed(competition: Competition, whole: Tables) -> tuple[Tables, list[Fold]]:
    """A few rows of the tables with their fold 0, so that a short training is short."""
    fold = competition.split(whole.train, 0)[0]
    kept_train, kept_validation = (
        fold.train[:: max(1, len(fold.train) // FEW)],
        fold.validation[:: max(1, len(fold.validation) // FEW)],
    )
    rows = np.sort(np.concatenate([kept_train, kept_validation]))
    train, test = whole.train.iloc[rows].reset_index(drop=True), whole.test[: FEW // 4].reset_index(drop=True)
    key = whole.sample_submission.columns[0]
    sample = whole.sample_submission[whole.sample_submission[key].isin(test["id"])].reset_index(drop=True)
    folds = [Fold(np.flatnonzero(np.isin(rows, kept_train)), np.flatnonzero(np.isin(rows, kept_validation)))]
    return Tables(train=train, test=test, sample_submission=sample), folds


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_competition_reads_on_one_page(name: str) -> None:
    folder = ROOT / "competitions" / name
    for file in FOUR_FILES:
        assert len((folder / file).read_text(encoding="utf-8").splitlines()) < 100, file
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for word in ("Metric", "Data", "make train", "CV"):
        assert word in readme, f"{name}/README.md does not say: {word}"


@pytest.mark.parametrize("kind", kinds())
def test_a_new_competition_keeps_the_contract(kind: str, toy: Path) -> None:
    fresh = scaffolded(kind, toy)
    test_tables_are_sound(fresh)
    test_folds_part_the_rows_and_repeat_for_a_seed(fresh)
    test_gold_submission_is_perfect_and_the_sample_is_known(fresh)
    test_private_answers_stay_private(fresh)
    baseline = configs.read_config(Workspace().config_path("my_first", "baseline"), (), fresh.competition.recipes)
    assert baseline.recipe == next(iter(fresh.competition.recipes))


def recipes_of_kinds() -> list:
    """Kinds with the number of a recipe; all are slow but one of each kind that trains in a second."""
    counts = {"tabular": 1, "text": 3, "audio": 1, "segmentation": 1, "retrieval": 1}
    found = [(kind, number) for kind in kinds() for number in range(counts.get(kind, 2))]
    quick = {(kind, 0) for kind in ("tabular", "text", "image", "multilabel", "sequence")}
    return [each if each in quick else pytest.param(*each, marks=pytest.mark.slow) for each in found]


@pytest.mark.parametrize(("kind", "number"), recipes_of_kinds())
def test_a_new_competition_can_be_trained(kind: str, number: int, toy: Path) -> None:
    fresh = scaffolded(kind, toy)
    recipe = list(fresh.competition.recipes)[number]
    test_two_epochs_make_a_valid_submission("my_first", recipe, lambda name: fresh, toy / "short")


def scaffolded(kind: str, project: Path) -> Prepared:
    scaffold(Workspace(), "my_first", kind)
    return Prepared("my_first", project / "fresh")


def test_new_competitions_are_formatted_and_free_of_findings_of_the_linter(toy: Path) -> None:
    for kind in kinds():
        scaffold(Workspace(), f"my_{kind}", kind)
    shutil.copy(ROOT / "pyproject.toml", toy)
    made = [f"competitions/my_{kind}" for kind in kinds()]
    ours = 'lint.isort.known-first-party = ["goldfold", "competitions"]'  # as in a clone
    for command in (["check", "--config", ours], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, *made], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_what_cannot_be_scaffolded_is_refused(toy: Path) -> None:
    scaffold(Workspace(), "my_first")
    assert "tabular.recipe" in (toy / "competitions/my_first/recipes.py").read_text(encoding="utf-8")
    with pytest.raises(GoldfoldError, match="nothing is overwritten"):
        scaffold(Workspace(), "my_first")
    with pytest.raises(GoldfoldError, match="Python identifier"):
        scaffold(Workspace(), "2nd try")
    with raises_code("unknown_kind", "segmentations", "did you mean 'segmentation'", *kinds()):
        scaffold(Workspace(), "my_second", "segmentations")


def test_every_kind_is_named_where_it_is_asked_for() -> None:
    asked = [line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if line.startswith("new:")]
    for place in (*asked, str(Project.new.__doc__), inspect.getsource(parser)):
        assert [kind for kind in kinds() if kind not in place] == []


def test_toys_keep_the_contract(toy: Path) -> None:
    for name in Workspace().names():
        fresh = Prepared(name, toy / "fresh" / name)
        test_tables_are_sound(fresh)
        test_private_answers_stay_private(fresh)
        for recipe in fresh.competition.recipes:
            test_two_epochs_make_a_valid_submission(
                name, recipe, lambda name, it=fresh: it, toy / "short" / name / recipe
            )
    assert pd.read_csv(toy / "fresh" / "blobs" / "public" / "train.csv")["id"][0] == "点0"
