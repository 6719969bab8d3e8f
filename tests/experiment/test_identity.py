"""The identity of a run: what changes it, what does not, and what becomes of old runs where the code has changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from shipped import SHIPPED

from goldfold.cli.main import main
from goldfold.errors import GoldfoldError
from goldfold.experiment.cross_validation import cross_validate
from goldfold.experiment.identity import fingerprint
from goldfold.experiment.setup import sources
from goldfold.experiment.workspace import Workspace
from goldfold.io.files import read_json, write_json

FILES = {
    "house/__init__.py": '"""A package."""\n',
    "house/losses.py": '''"""Losses."""
from __future__ import annotations
from typing import TYPE_CHECKING
import math
if TYPE_CHECKING:
    from house.reports import Page
from house import greedy

WEIGHT = 0.5  # of the second term


def loss(value: float, page: Page) -> float:
    """The loss."""
    return greedy.chosen(value) + WEIGHT * math.exp(value)
''',
    "house/greedy.py": '''def chosen(value):
    from house.deep.inner import half, limit as most
    return min(half(value), most)
''',
    "house/deep/__init__.py": "",
    "house/deep/inner.py": "from ..greedy import chosen\nlimit = 3\ndef half(value):\n    return value / 2 or chosen\n",
    "house/reports.py": "import house.unread\n\n\nclass Page:\n    pass\n",
    "house/unread.py": "",
    "house/metrics/__init__.py": "from house.metrics.areas import area\nfrom house.metrics.words import word as said\n"
    "__all__ = ['area', 'said']\n\n\ndef __getattr__(name):\n    raise AttributeError(name)\n",
    "house/metrics/areas.py": "def area(value):\n    return value\n",
    "house/metrics/words.py": "def word(value):\n    return str(value)\n",
}  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def code(root: Path, *entries: str) -> dict[str, str]:
    return fingerprint.code_hashes(entries or ("house.losses",), {"house": root / "house"})


def edit(path: Path, *changes: tuple[str, str]) -> None:
    """Replace text in a file, and let its time differ from before on any disk."""
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    before = path.stat().st_mtime_ns
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(before + 10**9, before + 10**9))


def test_imports_are_followed_wherever_they_are_but_not_those_for_type_checkers(house: Path) -> None:
    assert list(code(house)) == ["house.deep.inner", "house.greedy", "house.losses"]
    assert "house.unread" in code(house, "house.reports")


@pytest.mark.parametrize(
    "changes",
    [
        [('"""The loss."""', '"""Another\n\n    docstring."""\n    "and a string"')],
        [('    """The loss."""\n', "")],
        [("  # of the second term", ""), ("\n\n\ndef", "\n# of the second term\n\ndef")],
        [("(value: float, page: Page)", "(\n    value: float,\n    page: Page,\n)")],
        [
            (
                "    from house.reports import Page\n",
                "    from house.reports import Page\n    from house import unread\n",
            )
        ],
        [("import math\n", ""), ("from house import greedy\n", "import math\nfrom house import greedy\n")],
        [("from house import greedy", "from . import greedy")],
        [("from house import greedy", "import house.greedy as choice"), ("greedy.chosen", "choice.chosen")],
    ],
)
def test_what_has_no_meaning_changes_no_hash(house: Path, changes: list[tuple[str, str]]) -> None:
    before = code(house)
    edit(house / "house" / "losses.py", *changes)
    assert code(house) == before


@pytest.mark.parametrize(
    ("change", "file", "named"),
    [
        (("WEIGHT = 0.5", "WEIGHT = 0.6"), "losses", "changed house.losses"),
        (("+ WEIGHT", "- WEIGHT"), "losses", "changed house.losses"),
        (("value / 2", "value / 4"), "deep/inner", "changed house.deep.inner"),
        (("limit as most", "half as most"), "greedy", "changed house.greedy"),
        (("import math", "import numpy as math"), "losses", "changed house.losses"),
        (("import math\n", "import math\nfrom house import unread\n"), "losses", "added house.unread"),
    ],
)
def test_what_has_a_meaning_names_its_module(house: Path, change: tuple[str, str], file: str, named: str) -> None:
    before = code(house)
    edit(house / "house" / f"{file}.py", change)
    after = code(house)
    assert fingerprint.describe_code_changes(before, after) == named
    assert fingerprint.code_hash(before) != fingerprint.code_hash(after)


def test_a_moved_and_renamed_module_with_its_importers_rewritten_is_the_same_code(house: Path) -> None:
    before = code(house)
    (house / "house" / "rooms" / "k_center").mkdir(parents=True)
    (house / "house" / "rooms" / "__init__.py").write_text('"""Rooms."""\n')
    shutil.move(house / "house/greedy.py", house / "house/rooms/k_center/__init__.py")
    shutil.move(house / "house/deep/inner.py", house / "house/middle.py")
    edit(house / "house/rooms/k_center/__init__.py", ("house.deep.inner", "house.middle"))
    edit(house / "house/middle.py", ("..greedy", ".rooms.k_center"))
    losses = house / "house/losses.py"
    edit(losses, ("from house import greedy", "from house.rooms import k_center"), ("greedy.chosen", "k_center.chosen"))
    after = code(house)
    assert list(after) == ["house.losses", "house.middle", "house.rooms.k_center"]
    assert fingerprint.code_hash(after) == fingerprint.code_hash(before)
    assert fingerprint.describe_code_changes(before, after) == ""
    edit(house / "house/middle.py", ("value / 2", "value / 4"))
    assert fingerprint.describe_code_changes(before, code(house)) == "added house.middle; removed house.deep.inner"


def test_a_name_taken_from_another_module_is_a_change_of_the_one_that_takes_it(house: Path) -> None:
    (house / "house" / "other.py").write_text("def chosen(value):\n    return -value\n")
    edit(house / "house/greedy.py", ("from house.deep", "from house import other\n    from house.deep"))
    edit(house / "house/deep/inner.py", ("..greedy", "house.greedy"))
    before = code(house)
    edit(house / "house/deep/inner.py", ("house.greedy", "house.other"))
    after = code(house)
    assert fingerprint.describe_code_changes(before, after) == "changed house.deep.inner"
    assert fingerprint.code_hash(before) != fingerprint.code_hash(after)


def test_a_local_name_like_that_of_a_module_is_not_renamed_with_it(house: Path) -> None:
    path = house / "house" / "greedy.py"
    path.write_text("from house import deep\n\n\ndef chosen(value, deep):\n    return deep\n")
    before = code(house, "house.greedy")
    edit(path, ("value, deep", "deep, value"))
    assert fingerprint.describe_code_changes(before, code(house, "house.greedy")) == "changed house.greedy"


def test_of_a_package_that_only_imports_the_wanted_modules_count_alone(house: Path) -> None:
    path = house / "house" / "user.py"
    path.write_text("from house.metrics import said\n")
    before = code(house, "house.user")
    assert list(before) == ["house.metrics.words", "house.user"]
    path.write_text("from house.metrics.words import word as said\n")
    assert (
        fingerprint.describe_code_changes(before, code(house, "house.user")) == "changed house.user"
    )  # another name in it
    path.write_text("from house import metrics\n")
    assert {"house.metrics", "house.metrics.areas"} <= code(house, "house.user").keys()
    with (house / "house/metrics/__init__.py").open("a") as file:
        file.write("DEFAULT = area\n")
    path.write_text("from house.metrics.words import word\n")
    assert {"house.metrics", "house.metrics.areas"} <= code(house, "house.user").keys()


def test_other_packages_are_left_out_and_missing_or_broken_files_told(house: Path) -> None:
    assert code(house, "torch.nn", "house.greedy") == code(house, "house.greedy")
    with pytest.raises(GoldfoldError) as error:
        code(house, "house.nowhere")
    assert error.value.code == "module_without_source"
    assert "house.nowhere" in str(error.value)
    (house / "house" / "greedy.py").write_text("def (:\n")
    with pytest.raises(GoldfoldError) as error:
        code(house)
    assert error.value.code == "invalid_python"
    assert "greedy.py line 1" in str(error.value)


def test_of_many_modules_the_first_are_named_and_of_unknown_ones_none() -> None:
    now = {f"m{number}": f"{number}-0" for number in range(7)}
    assert fingerprint.describe_code_changes({"m": "a-0"}, now) == "added m0, m1, m2, m3, m4 and 2 more; removed m"
    assert fingerprint.describe_code_changes({}, now) == ""


@pytest.mark.parametrize("name", SHIPPED)
def test_a_run_depends_on_its_competition_and_on_no_room_that_only_shows_or_sends(name: str) -> None:
    modules = fingerprint.code_hashes((f"competitions.{name}", cross_validate.__module__), sources(Workspace()))
    assert {f"competitions.{name}.recipes", f"competitions.{name}.data", "goldfold.training.loop"} <= modules.keys()
    rooms = {module.split(".")[1] for module in modules}
    assert not rooms & {"cli", "workflows", "report", "kaggle", "board", "trust"}
    assert not [module for module in modules if module.startswith("goldfold.tuning.studies")]


BLOBS = Path("competitions/blobs/__init__.py")
RUN = Path("runs/blobs/perceptron-r1")
DOCSTRING = ('"""An autoencoder of the normal rows', '"""A bank of the normal rows')
LOSS = ("F.binary_cross_entropy_with_logits(model(batch[0])[:, 0], batch[1])", "model(batch[0]).square().mean()")
CHANGED = "(changed competitions.blobs)"


def train(*arguments: str) -> None:
    main(["train", "--comp", "blobs", "--config", "perceptron", "epochs=3", *arguments])


def unfinish(run: Path) -> None:
    """As if the run had been interrupted in its last fit."""
    (run / "record.md").unlink()
    shutil.rmtree(run / "fold2-seed0")


def findings(run: Path) -> list[tuple[str, str]]:
    return [
        (each["message"], each["where"]) for each in read_json(run / "findings.json") if each["code"] == "code_changed"
    ]


def refused(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    with pytest.raises(SystemExit):
        main(arguments)
    return capsys.readouterr().err


def test_a_run_records_its_code_by_module(toy: Path) -> None:
    train("folds=[0]")
    recorded = read_json(RUN / "reproduce.json")
    assert list(recorded["code"]) == sorted(recorded["code"])
    assert {"competitions.blobs", cross_validate.__module__} <= recorded["code"].keys()
    assert recorded["code_hash"] == fingerprint.code_hash(recorded["code"])


def test_a_docstring_lets_old_runs_be_picked_and_resumed(toy: Path, capsys: pytest.CaptureFixture) -> None:
    train("--debug")
    edit(BLOBS, DOCSTRING)
    main(["pick", "--run", "latest", "--epoch", "2"])
    unfinish(RUN)
    train("--debug")
    assert f"resuming {RUN}" in capsys.readouterr().out
    assert findings(RUN) == findings(RUN.with_name("perceptron-r2")) == []


def test_an_accepted_finding_does_not_make_it_another_run(toy: Path, capsys: pytest.CaptureFixture) -> None:
    train()
    unfinish(RUN)
    train("--accept", "anything", "accept=[other]")
    assert f"resuming {RUN}" in capsys.readouterr().out
    assert read_json(RUN / "config.json")["accept"] == ["other", "anything"]


def test_another_loss_starts_anew_and_is_told_and_resumes_where_accepted(toy: Path, capsys) -> None:
    train()
    unfinish(RUN)
    kept = (RUN / "fold0-seed0" / "fit.json").stat().st_mtime_ns
    edit(BLOBS, LOSS)
    train()
    told = capsys.readouterr().out
    assert f"run blobs/perceptron-r1 is unfinished and was started with other code {CHANGED}" in told
    assert "perceptron-r2 is started anew; to resume perceptron-r1 instead: ACCEPT=code_changed with make" in told
    train("--accept", "code_changed")
    assert f"resuming {RUN}" in capsys.readouterr().out
    assert (RUN / "fold0-seed0" / "fit.json").stat().st_mtime_ns == kept
    ((message, where),) = findings(RUN)
    assert (CHANGED in message, where) == (True, "all folds")
    assert "**warning** `code_changed` (all folds): the code changed after the run was started" in (
        RUN / "record.md"
    ).read_text(encoding="utf-8")
    assert findings(RUN.with_name("perceptron-r2")) == []


@pytest.mark.slow
def test_what_is_mixed_stays_told_after_a_second_interruption(toy: Path, capsys) -> None:
    train("--debug")
    unfinish(RUN)
    edit(BLOBS, LOSS)
    train("--debug", "--accept", "code_changed")
    unfinish(RUN)
    train("--debug")
    assert capsys.readouterr().out.count(f"resuming {RUN}") == 2
    assert len(findings(RUN)) == 1
    main(["pick", "--run", "perceptron-r1", "--epoch", "2"])
    assert findings(RUN.with_name("perceptron-r2")) == findings(RUN)


def test_a_picked_epoch_of_other_code_is_told_in_the_new_run_alone(toy: Path, capsys) -> None:
    train("--debug")
    edit(BLOBS, LOSS)
    told = refused(capsys, "pick", "--run", "latest", "--epoch", "2")
    assert f"the code changed since run 'blobs/perceptron-r1' was trained {CHANGED}" in told
    assert "--accept code_changed" in told
    main(["pick", "--run", "latest", "--epoch", "2", "--accept", "code_changed"])
    assert f"warning  code_changed: the code changed since run 'blobs/perceptron-r1' was trained {CHANGED}" in (
        capsys.readouterr().out
    )
    picked = RUN.with_name("perceptron-r2")
    assert findings(picked) == [
        (f"the code changed since run 'blobs/perceptron-r1' was trained {CHANGED}", "all folds")
    ]
    assert "`code_changed`" in (picked / "record.md").read_text(encoding="utf-8")
    assert findings(RUN) == []


@pytest.mark.parametrize(
    ("verb", "where"),
    [
        ("epochs", "epochs-fold0-seed0"),
        ("gains", "gains.json"),
        pytest.param("notebook", "notebook", marks=pytest.mark.slow),
    ],
)
def test_what_other_code_made_of_a_run_is_told_in_its_record(toy: Path, capsys, verb: str, where: str) -> None:
    train("--debug")
    edit(BLOBS, LOSS)
    assert CHANGED in refused(capsys, verb, "--run", "latest")
    assert findings(RUN) == []
    for _ in range(2):
        main([verb, "--run", "latest", "--accept", "code_changed"])
    ((message, place),) = findings(RUN)
    assert (CHANGED in message, place) == (True, where)
    assert f"`code_changed` ({where})" in (RUN / "record.md").read_text(encoding="utf-8")


def test_what_a_query_finds_by_other_code_is_told_in_the_record(toy: Path, capsys) -> None:
    main(["train", "--comp", "twins", "--config", "baseline", "epochs=1", "folds=[0]"])
    edit(Path("competitions/twins/__init__.py"), ("shift: float = 0.0", "shift: float = 0.1"))
    ask = ("query", "--run", "latest", "--ids", "帧4-2")
    assert "(changed competitions.twins)" in refused(capsys, *ask)
    main([*ask, "--accept", "code_changed"])
    assert [where for _, where in findings(Path("runs/twins/baseline-r1"))] == ["queries"]


def test_other_data_is_refused_whatever_is_accepted(toy: Path, capsys) -> None:
    train("--debug")
    path = Workspace().data("blobs") / "public" / "train.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    told = refused(capsys, "pick", "--run", "latest", "--epoch", "2", "--accept", "code_changed")
    assert "the data and the folds changed since run 'blobs/perceptron-r1'" in told


@pytest.mark.slow
def test_a_run_that_recorded_no_modules_is_told_without_them(toy: Path, capsys) -> None:
    train("--debug")
    old = {key: value for key, value in read_json(RUN / "reproduce.json").items() if key not in ("code", "inputs_hash")}
    old |= {"identity": "of bytes", "code_hash": "of bytes"}
    (RUN / "manifest.json").unlink()
    write_json(RUN / "reproduce.json", old)
    told = refused(capsys, "pick", "--run", "latest", "--epoch", "2")
    assert "the code changed since run 'blobs/perceptron-r1' was trained, so its models may predict differently" in told
    main(["pick", "--run", "latest", "--epoch", "2", "--accept", "code_changed"])
    assert len(findings(RUN.with_name("perceptron-r2"))) == 1
    unfinish(RUN)
    train("--debug")
    assert "run runs/blobs/perceptron-r3" in capsys.readouterr().out
