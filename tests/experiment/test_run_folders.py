"""Run folders are numbered, never overwritten, resumed while unfinished, and found by every name they go by."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from goldfold.errors import GoldfoldError
from goldfold.experiment import run_folders as runs
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json, write_json, write_text


def begin(
    root: Path, identity: str = "a", competition: str = "digits", config: str = "baseline", finished: bool = True
):
    facts = {"command": "make train", "started": datetime.now(UTC).isoformat()}
    with runs.start_run(Workspace(root), competition, config, identity, facts) as run:
        if finished:
            write_text(run.folder / runs.FINISHED, "done")
    return run


def test_runs_are_numbered_and_listed_in_the_order_they_began(tmp_path):
    begun = [begin(tmp_path, config=config).folder for config in ["baseline"] * 12 + ["tuned"] * 3]
    assert [folder.name for folder in begun[:12]] == [f"baseline-r{number}" for number in range(1, 13)]
    assert runs.list_runs(tmp_path / "runs") == begun
    assert runs.find_run(tmp_path / "runs", "latest") == begun[-1]
    facts = [read_json(folder / "reproduce.json") for folder in begun]
    assert {(each["identity"], each["command"]) for each in facts} == {("a", "make train")}


def test_configs_of_similar_names_are_numbered_apart(tmp_path):
    names = ["baseline", "baseline-r1", "base.ine", "基线"]
    assert [begin(tmp_path, config=name).name for name in names] == [f"{name}-r1" for name in names]
    assert begin(tmp_path).name == "baseline-r2"


def test_a_number_is_not_given_twice(tmp_path):
    first, _ = begin(tmp_path), begin(tmp_path)
    shutil.rmtree(first.folder)
    assert begin(tmp_path).name == "baseline-r3"


def test_the_number_of_a_deleted_run_is_not_given_again(tmp_path):
    """Its submission would be overwritten, and the ledger would have two runs of one name."""
    shutil.rmtree(begin(tmp_path).folder)
    assert begin(tmp_path).name == "baseline-r2"
    shutil.rmtree(tmp_path / "runs")
    write_text(tmp_path / "submissions" / "digits" / "baseline-r7.csv", "id,label")
    write_text(tmp_path / "submissions" / "digits" / "base-r9.csv", "id,label")
    assert begin(tmp_path).name == "baseline-r8"


def test_latest_does_not_depend_on_file_times(tmp_path):
    """Copying a project gives its files new times, in any order."""
    first, last = begin(tmp_path), begin(tmp_path)
    os.utime(first.folder / "reproduce.json")
    assert runs.find_run(tmp_path / "runs", "latest") == last.folder


def test_a_run_interrupted_in_this_process_is_resumed_by_it(tmp_path):
    workspace = Workspace(tmp_path)
    with pytest.raises(KeyboardInterrupt), runs.start_run(workspace, "digits", "baseline", "a", {}):
        raise KeyboardInterrupt
    with runs.start_run(workspace, "digits", "baseline", "a", {}) as run:
        assert (run.name, run.resumed) == ("baseline-r1", True)


def test_a_folder_with_something_in_it_is_never_taken(tmp_path):
    """Even where the file that tells whose it is got lost."""
    (begin(tmp_path).folder / "reproduce.json").unlink()
    assert begin(tmp_path).name == "baseline-r2"


def test_a_folder_left_empty_by_a_killed_process_does_no_harm(tmp_path):
    (tmp_path / "runs" / "digits" / "baseline-r1").mkdir(parents=True)
    begun = begin(tmp_path)
    assert begun.name in ("baseline-r1", "baseline-r2")
    assert (begun.resumed, runs.find_run(tmp_path / "runs", "latest")) == (False, begun.folder)


def test_an_unfinished_run_of_equal_identity_is_taken_up(tmp_path):
    begin(tmp_path, "a")
    interrupted = begin(tmp_path, "a", finished=False)
    begin(tmp_path, "b", finished=False)
    again = begin(tmp_path, "a", finished=False)
    assert (again.folder, again.resumed) == (interrupted.folder, True)
    done = begin(tmp_path, "a")
    assert done.folder == interrupted.folder
    fresh = begin(tmp_path, "a")
    assert (fresh.name, fresh.resumed) == ("baseline-r4", False)


def test_a_run_is_not_taken_up_for_another_competition_or_config(tmp_path):
    begin(tmp_path, "a", finished=False)
    assert not begin(tmp_path, "a", competition="titanic").resumed
    assert not begin(tmp_path, "a", config="tuned").resumed


HOLD = """
import sys
from pathlib import Path
from goldfold.experiment import run_folders as runs
from goldfold.experiment.workspace import Workspace
with runs.start_run(Workspace(Path(sys.argv[1])), "digits", "baseline", "a", {}) as run:
    print(run.name, run.resumed, flush=True)
    sys.stdin.read()
"""


def test_a_run_another_process_works_on_is_left_alone(tmp_path):
    interrupted = begin(tmp_path, "a", finished=False)
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline().split() == ["baseline-r1", "True"]
        beside = begin(tmp_path, "a", finished=False)
        assert (beside.name, beside.resumed) == ("baseline-r2", False)
        other.kill()
    assert begin(tmp_path, "a", finished=False).folder == interrupted.folder


def test_a_run_is_found_by_each_of_its_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = Path("runs")
    folder = begin(Path()).folder
    begin(Path(), competition="titanic", config="tree")
    absolute = tmp_path / folder
    for name in (
        "baseline-r1",
        "digits/baseline-r1",
        "runs/digits/baseline-r1",
        "./runs/digits/baseline-r1/",
        absolute,
    ):
        assert runs.find_run(place, str(name)).resolve() == absolute
    assert runs.find_run(place, "latest").name == "tree-r1"


def test_a_run_is_found_without_its_number_while_it_is_the_only_one(tmp_path):
    place, first = tmp_path / "runs", begin(tmp_path).folder
    tree = begin(tmp_path, competition="titanic", config="tree").folder
    assert runs.find_run(place, "digits/baseline") == runs.find_run(place, "baseline") == first
    begin(tmp_path, "b", competition="titanic", config="tree")
    assert runs.find_run(place, "tree-r1") == tree
    for name in ("tree", "titanic/tree"):
        with pytest.raises(GoldfoldError, match=r"choose one of titanic/tree-r1, titanic/tree-r2") as error:
            runs.find_run(place, name)
        assert error.value.code == "run_name_ambiguous"


def test_latest_is_the_last_that_finished(tmp_path):
    finished = begin(tmp_path)
    begin(tmp_path, "b", finished=False)
    assert runs.find_run(tmp_path / "runs", "latest") == finished.folder


def test_what_cannot_be_found_says_what_can(tmp_path):
    with pytest.raises(GoldfoldError) as error:
        runs.find_run(tmp_path / "runs", "latest")
    assert error.value.code == "no_finished_run"
    assert "make train" in str(error.value)
    with pytest.raises(GoldfoldError) as error:
        runs.find_run(tmp_path / "runs", "baseline-r1")
    assert error.value.code == "unknown_run"
    assert "known: none" in str(error.value)
    begin(tmp_path)
    begin(tmp_path, competition="titanic")
    begin(tmp_path, "b", finished=False)
    with pytest.raises(GoldfoldError) as error:
        runs.find_run(tmp_path / "runs", "digits/baseline-r9")
    assert error.value.code == "unknown_run"
    assert "did you mean 'digits/baseline-r" in str(error.value)
    with pytest.raises(GoldfoldError) as error:
        runs.find_run(tmp_path / "runs", "baseline-r1")
    assert error.value.code == "run_name_ambiguous"
    assert "'baseline-r1'" in str(error.value)
    assert "titanic/baseline-r1" in str(error.value)
    with pytest.raises(GoldfoldError) as error:
        runs.find_run(tmp_path / "runs", "baseline-r2")
    assert error.value.code == "run_not_finished"
    assert "'baseline-r2'" in str(error.value)
    assert runs.find_run(tmp_path / "runs", "baseline-r2", finished=False).name == "baseline-r2"


def test_equal_times_are_told_apart_by_number(tmp_path):
    """Coarse clocks give many runs one time."""
    begun = [begin(tmp_path).folder for _ in range(11)]
    for folder in begun:
        facts = read_json(folder / "reproduce.json")
        write_json(folder / "reproduce.json", facts | {"started": "2026-01-01T00:00:00+00:00"})
    assert runs.list_runs(tmp_path / "runs") == begun
