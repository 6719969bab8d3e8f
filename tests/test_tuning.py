"""One trial of a study: its value is a run's, hopeless ones end early at either axis, a resumed one counts the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_stacked import experiment

from goldfold.engine import tuning
from goldfold.engine.crossval import cross_validate, together
from goldfold.engine.fits import Experiment, fit_folder, load
from goldfold.engine.loop import Loop
from goldfold.engine.outcome import outcome
from goldfold.engine.trials import TrialRecord
from goldfold.engine.tuning import Surroundings, carry_out

ORDER = (2, 0, 3, 1)
APART = Loop(stack="never")


def tried(given: Experiment, folder: Path, number: int = 0, earlier: tuple = (), **around) -> TrialRecord:
    noted = []
    surroundings = Surroundings(order=ORDER, earlier=lambda: earlier, note=noted.append, **around)
    ended = carry_out(given, folder, TrialRecord(number=number, state="running", params={}), surroundings)
    if ended.state != "failed" and together(given) == 1:
        assert [tuple(record.folds) for record in noted] == [ORDER[: count + 1] for count in range(len(ended.folds))]
    return ended


def good(folder: Path) -> tuple[TrialRecord, ...]:
    """Complete trials, of which some begin as badly as they end."""
    rates = (0.0005, 0.001, 0.002, 0.005, 0.006, 0.007, 0.008)
    return tuple(
        tried(experiment(folder, 400, loop=APART, learning_rate=rate), folder / str(rate), number, prune=False)
        for number, rate in enumerate(rates)
    )


@pytest.mark.parametrize("stack", ["auto", "never"])
def test_a_trials_value_is_that_of_the_run(tmp_path, stack):
    given = experiment(tmp_path, 96, loop=Loop(stack=stack))
    assert (together(given) > 1) == (stack == "auto")
    found = tried(given, tmp_path / "trial")
    facts = [load(fit_folder(tmp_path / "trial", fold, 0)).facts["head"] for fold in ORDER]
    assert ["stacked" in each for each in facts] == [stack == "auto"] * 4
    whole = outcome(given, list(cross_validate(given, tmp_path / "run"))).metrics["accuracy"]
    assert found.value == whole["mean"]
    assert {str(fold): score for fold, score in found.folds.items()} == whole["folds"]
    assert tuple(found.folds) == ORDER
    assert (found.state, found.fits) == ("complete", 4.0)
    assert all([share for share, _ in curve] == pytest.approx([1 / 3, 2 / 3, 1]) for curve in found.curves.values())


def test_a_bad_trial_is_ended_within_a_fold_and_goes_on_when_asked(tmp_path):
    earlier = good(tmp_path)
    bad = experiment(tmp_path, 400, loop=APART, learning_rate=0.0007)
    found = tried(bad, tmp_path / "bad", 9, earlier)
    assert found.state == "pruned"
    assert found.value is None
    assert "chance" in found.reason
    assert not found.folds
    assert [share for share, _ in found.curves[ORDER[0]]] == [pytest.approx(1 / 3)]
    assert found.fits == pytest.approx(1 / 3)
    finished = tried(bad, tmp_path / "bad", 9, earlier, prune=False)
    assert finished.state == "complete"
    assert finished.value < max(record.value for record in earlier)


def test_a_good_trial_is_finished(tmp_path):
    earlier = good(tmp_path)
    assert tried(experiment(tmp_path, 400, loop=APART, learning_rate=0.05), tmp_path / "ok", 9, earlier).state == (
        "complete"
    )


def test_a_trial_that_cannot_be_trained_ends_with_the_sentence(tmp_path):
    found = tried(experiment(tmp_path, learning_rate=1e30), tmp_path / "nan")
    assert found.state == "failed"
    assert "learning rate" in found.reason


def test_what_is_there_is_read_and_counts_alike(tmp_path):
    given = experiment(tmp_path, loop=APART)
    first = tried(given, tmp_path / "trial")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "trial").glob("*/fit.json")}
    again = tried(given, tmp_path / "trial")
    assert replace(again, curves={}) == replace(first, curves={})
    assert again.curves == {fold: [pytest.approx(point) for point in curve] for fold, curve in first.curves.items()}
    assert {path: path.stat().st_mtime_ns for path in times} == times
    tuning.tidy(tmp_path / "trial")
    assert not list((tmp_path / "trial").glob("*/checkpoints"))
    assert len(list((tmp_path / "trial").glob("*/fit.json"))) == 4
