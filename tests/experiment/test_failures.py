"""An error in a competition's own code ends in one message that names the competition, the file and the line."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

import goldfold as gf
from goldfold.errors import GoldfoldError
from goldfold.experiment.failures import explained

IMPORT = "from sklearn.model_selection import KFold\n"
FAULTS = {  # a place of the toy's code -> the same place with a fault
    "build": ("    from sklearn.linear_model", "    rows['nothing']\n    from sklearn.linear_model"),
    "finish": (".fit(rows[FEATURES], rows[", ".fit(rows[FEATURES], rows[:5]["),
    "predict": ("fitted.predict_proba(rows[FEATURES])", "fitted.predict_proba(rows[FEATURES[1:]])"),
    "batches": ("order.split(size)", "order.split(str(size))"),
    "losses": ("model(batch[0])[:, 0], batch[1]", "model(batch[1])[:, 0], batch[1]"),
    "write": ('"label": predictions})', '"label": predictions[1:]})'),
}


@pytest.mark.parametrize("where", FAULTS)
def test_a_fault_in_a_competition_is_told_with_its_line(toy, where):
    source = toy / "competitions" / "blobs" / "__init__.py"
    before, after = FAULTS[where]
    text = source.read_text(encoding="utf-8")
    assert text.count(before) == 1
    source.write_text(text.replace(before, after), encoding="utf-8")
    config = "perceptron" if where in ("batches", "losses") else "estimator"
    with pytest.raises(GoldfoldError) as error:
        gf.Project(".", quiet=True).train("blobs", config)
    told = str(error.value)
    assert "blobs" in told
    assert "\n" not in told
    assert error.value.code == "competition_failed"
    assert re.search(r"competitions/blobs/__init__\.py line \d+", told), told


SPLIT = 'splits.stratified(train["label"], folds=3, seed=seed)'


@pytest.mark.parametrize("kind", ["list(KFold(3).split(train))", "KFold(3).split(train)"])
def test_folds_of_scikit_learn_are_folds(toy, kind):
    source = toy / "competitions" / "blobs" / "__init__.py"
    text = (
        source.read_text(encoding="utf-8").replace(SPLIT, kind).replace("import torch\n", "import torch\n" + IMPORT, 1)
    )
    source.write_text(text, encoding="utf-8")
    run = gf.Project(".", quiet=True).train("blobs", "estimator")
    assert run.folds["fold"].value_counts().to_dict() == {0: 40, 1: 40, 2: 40}


@pytest.mark.parametrize("wrong", ["[train.index]", "[(train, train)]", "[(train.index > 5, train.index < 5)]", "[3]"])
def test_what_are_no_folds_is_refused(toy, wrong):
    source = toy / "competitions" / "blobs" / "__init__.py"
    source.write_text(source.read_text(encoding="utf-8").replace(SPLIT, wrong), encoding="utf-8")
    with pytest.raises(GoldfoldError) as error:
        gf.Project(".", quiet=True).train("blobs", "estimator")
    assert error.value.code == "folds_malformed"
    assert "element 0" in str(error.value)
    assert not list(Path("runs").glob("*/*"))


@pytest.mark.slow
def test_the_traceback_is_printed_on_demand(toy, goldfold):
    source = toy / "competitions" / "blobs" / "__init__.py"
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace(*FAULTS["predict"]), encoding="utf-8")
    silent = goldfold("train", "--comp", "blobs", "--config", "estimator", expect=2)
    assert "GOLDFOLD_TRACEBACK=1" in silent.stderr
    with pytest.raises(AssertionError, match="Traceback"):  # the fixture refuses tracebacks
        goldfold("train", "--comp", "blobs", "--config", "estimator", expect=2, GOLDFOLD_TRACEBACK="1")


@pytest.mark.parametrize(
    "said",
    [
        "DataLoader worker (pid 12) is killed by signal: Bus error. Workers may be out of shared memory",
        "unable to write to file </torch_12_0>: No space left on device (28), shm",
        "received 0 items of ancdata",
        "[Errno 24] Too many open files",
    ],
)
def test_processes_that_cannot_load_data_are_told_how_to_do_without(said):
    with pytest.raises(GoldfoldError) as error, explained("fold 0", "blobs"):
        raise RuntimeError(said)
    assert error.value.code == "data_workers_failed"
    assert "--data-workers 0" in str(error.value)


def test_a_full_disk_is_no_fault_of_the_competition():
    with pytest.raises(OSError, match="No space"), explained("fold 0", "blobs"):
        raise OSError(errno.ENOSPC, "No space left on device", "x.npy")


def test_an_error_outside_of_a_competition_names_the_file_of_goldfold():
    with pytest.raises(GoldfoldError, match=r"test_failures\.py line \d+|failures\.py line \d+"), explained("x", "y"):
        Path(3)  # type: ignore[arg-type]
