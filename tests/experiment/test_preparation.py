"""Prepared data follows its raw files and its code, and stays where nothing changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from goldfold.errors import GoldfoldError
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json
from goldfold.io.progress import Observer
from goldfold.project import Project

READS_RAW = """
def prepare(raw: Path, public: Path, private: Path) -> None:
    shutil.copy(raw / "train.csv", public / "train.csv")
    test = pd.read_csv(raw / "train.csv").drop(columns="label")
    test.to_csv(public / "test.csv", index=False)
    test[["id"]].assign(label=0.5).to_csv(public / "sample_submission.csv", index=False)


def load(public"""


class Lines(Observer):
    def __init__(self) -> None:
        self.told: list[str] = []

    def line(self, text: str) -> None:
        self.told.append(text)


@pytest.fixture
def workspace(toy: Path) -> Workspace:
    """The toy competition with raw files, prepared once."""
    source = toy / "competitions" / "blobs" / "__init__.py"
    text = source.read_text(encoding="utf-8")
    text = text.replace("def prepare(", "def _unused(").replace("def load(public", READS_RAW.strip())
    source.write_text(text.replace("import numpy as np", "import shutil\n\nimport numpy as np"), encoding="utf-8")
    raw = toy / "data" / "blobs" / "raw"
    raw.mkdir(parents=True)
    rows = ["id,a,b,c,d,label", *(f"{number},{number},1,2,3,{number % 2}" for number in range(20))]
    (raw / "train.csv").write_text("\n".join(rows))
    (raw / "中.txt").write_text("notes")
    workspace = Workspace(Path(), Lines())
    workspace.prepare("blobs")
    return workspace


def told(workspace: Workspace) -> str:
    workspace.observer.told.clear()
    workspace.prepare("blobs")
    return "\n".join(workspace.observer.told)


RAW = Path("data/blobs/raw")
PUBLIC = Path("data/blobs/public/train.csv")
PREPARED = Path("data/blobs/prepared.json")


def test_nothing_changed_prepares_nothing(workspace):
    assert told(workspace) == ""
    os.utime(RAW / "train.csv", ns=(10**18, 10**18))  # as copying a project does
    assert told(workspace) == ""
    assert read_json(PREPARED)["raw"]["train.csv"][1] == 10**18  # so that it is hashed once


def test_a_raw_file_edited_in_place_is_noticed(workspace):
    """Of equal size, so that only its hash differs."""
    text = (RAW / "train.csv").read_text()
    (RAW / "train.csv").write_text(text.replace("19,19,", "19,18,"))
    assert workspace.changed_inputs("blobs") == "1 of its raw files changed, first train.csv"
    assert "prepared again: 1 of its raw files changed, first train.csv" in told(workspace)
    assert "19,18," in PUBLIC.read_text()
    assert workspace.changed_inputs("blobs") == ""


def test_a_raw_file_edited_in_a_linked_folder_is_noticed(workspace, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "more.txt").write_text("one")
    (RAW / "folder").symlink_to(linked)
    told(workspace)
    (linked / "more.txt").write_text("two, edited")
    assert workspace.changed_inputs("blobs") == "1 of its raw files changed, first folder/more.txt"


def test_equal_results_stay_where_they_are(workspace):
    """A process that trains may be reading them."""
    before = PUBLIC.stat().st_ino
    (RAW / "中.txt").unlink()
    assert "first 中.txt" in told(workspace)
    assert PUBLIC.stat().st_ino == before
    assert workspace.changed_inputs("blobs") == ""


def test_raw_files_that_are_gone_leave_the_data(workspace):
    shutil.rmtree(RAW)
    assert told(workspace) == ""
    source = Path("competitions/blobs/__init__.py")
    source.write_text(source.read_text(encoding="utf-8").replace("label=0.5", "label=0.4"), encoding="utf-8")
    assert "not prepared again (the code of data.py changed), since data/blobs/raw is gone" in told(workspace)
    assert PUBLIC.exists()
    assert workspace.changed_inputs("blobs")  # for the finding


def test_force_prepares_again(workspace):
    workspace.observer.told.clear()
    workspace.prepare("blobs", force=True)
    assert "prepared again: asked for" in "\n".join(workspace.observer.told)


def test_an_edited_competition_is_imported_again(workspace):
    """A notebook edits a file and goes on in the same process."""
    source = Path("competitions/blobs/__init__.py")
    source.write_text(source.read_text(encoding="utf-8").replace('slug="blobs"', 'slug="bubbles"'), encoding="utf-8")
    assert workspace.competition("blobs").slug == "blobs"
    assert workspace.competition("blobs", edited=True).slug == "bubbles"


def test_an_edit_while_a_run_trains_does_not_reach_it(toy):
    """Hours of training must not end with the import of a file that is half written."""
    source = toy / "competitions" / "blobs" / "__init__.py"

    class Edits(Observer):
        def fit_ended(self, text: str = "") -> None:
            source.write_text("def half(", encoding="utf-8")

    run = Project(toy, observer=Edits()).train("blobs", "estimator")
    assert run.finished
    with pytest.raises(GoldfoldError) as error:
        Project(toy).train("blobs", "estimator")
    assert error.value.code == "competition_import"
