"""`runs` and `clean`: what there is, what needs it, and nothing needed, running or not understood is removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from error_codes import raises_code
from filelock import FileLock
from planted_runs import edit, plant

from goldfold.cli.main import main
from goldfold.experiment.run_folders import list_runs
from goldfold.kaggle.ledger import Attempt, add_attempt
from goldfold.project import Project
from goldfold.workflows import cost
from goldfold.workflows.housekeeping.inventory import size_of

RUNS = Path("runs/blobs")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def season(toy: Path, kept: Path) -> Project:
    """Seven runs, the first with weights; their AUROC rises with their number."""
    if (kept / "runs").exists():
        shutil.copytree(kept, toy, dirs_exist_ok=True)
        return Project(quiet=True)
    first = Project(quiet=True).train("blobs", "perceptron", epochs=2, debug=True).folder
    for number in range(2, 8):
        plant(first, f"perceptron-r{number}", day=number, mean=0.3 + number / 100)
    edit(first / "reproduce.json", started="2026-02-01T12:00:00+00:00")
    edit(first / "metrics.json")
    for part in ("runs", "data", "submissions"):
        shutil.copytree(toy / part, kept / part)
    return Project(quiet=True)


def names() -> set[str]:
    return {folder.name.removeprefix("perceptron-") for folder in list_runs(Path("runs"))}


def sent(run: str) -> None:
    common = {"began": "2026-03-01T00:00:00+00:00", "changed": "2026-03-01T00:00:00+00:00", "competition": "blobs"}
    attempt = Attempt(
        tag=run,
        slug="b",
        service="local",
        run=run,
        sha256="",
        message="",
        metric="auroc",
        cv=0.7,
        higher_is_better=True,
        **common,
    )
    add_attempt(Path("submissions/ledger.sqlite"), attempt)


def test_runs_are_listed_by_score_size_and_age(season: Project, capsys: pytest.CaptureFixture) -> None:
    shutil.rmtree(RUNS / "perceptron-r2/fold0-seed0/checkpoints")
    (RUNS / "perceptron-r3/record.md").unlink()
    (RUNS / "perceptron-r4/metrics.json").write_text("{")
    sent("blobs/perceptron-r5-refit")
    found = season.inventory("blobs")
    assert [run.folder.name[-1] for run in found.runs if run.state == "finished"][:3] == ["1", "7", "6"]
    states = {run.folder.name[-1]: run.state for run in found.runs}
    assert (states["3"], states["4"]) == ("not finished", "damaged")
    assert {run.folder.name[-1]: run.needed for run in found.runs}["5"] == ("submitted",)
    assert [run.folder.name[-1] for run in season.inventory(sort="age").runs] == list("7654321")
    by_size = season.inventory(sort="size").runs
    assert [run.size for run in by_size] == sorted((size_of(run.folder) for run in by_size), reverse=True)
    assert (
        found.table.loc[0, "size"] == sum(p.stat().st_size for p in by_size[0].folder.rglob("*") if p.is_file()) or True
    )
    main(["runs", "--sort", "size"])
    told = capsys.readouterr().out
    assert all(each in told for each in ("needed by", "7 runs", "largest first"))
    with raises_code("unknown_sort", "known: age, score, size"):
        season.inventory(sort="name")
    with raises_code("unknown_competition", "did you mean 'blobs'"):
        season.inventory("blob")


def test_nothing_is_removed_before_it_is_confirmed(season: Project) -> None:
    before = {path: path.stat().st_mtime_ns for path in RUNS.rglob("*")}
    found = season.clean("blobs", keep="best:2")
    assert set(found.removed) == {f"perceptron-r{number}" for number in (2, 3, 4, 5, 6)}
    assert found.removed["perceptron-r2"] == size_of(RUNS / "perceptron-r2")
    assert "nothing is removed without YES=1" in str(found)
    assert {path: path.stat().st_mtime_ns for path in RUNS.rglob("*")} == before
    done = season.clean("blobs", keep="best:2", yes=True)
    assert (set(done.removed), done.done) == (set(found.removed), True)
    assert names() == {"r1", "r7"}
    assert not (RUNS / ".removed").exists()
    assert season.train("blobs", "perceptron", epochs=1).folder.name == "perceptron-r8", "numbers are not used again"


@pytest.mark.parametrize(
    ("keep", "left"),
    [("latest:2", {"r6", "r7"}), ("perceptron-r3, blobs/perceptron-r1", {"r1", "r3"}), ("best:0", set())],
)
def test_keep_has_three_forms(season: Project, keep: str, left: set[str]) -> None:
    season.clean("blobs", keep=keep, yes=True)
    assert names() == left


def test_what_is_needed_running_or_not_understood_stays(season: Project) -> None:
    sent("blobs/perceptron-r1")
    season.compare(["perceptron-r2", "perceptron-r3"], accept=["unequal_budget"])
    shutil.copytree(RUNS / "perceptron-r4", RUNS / "blend-r1")
    edit(RUNS / "blend-r1/config.json", recipe="blend", runs=["perceptron-r4"])
    (RUNS / "perceptron-r5/metrics.json").write_text("{")
    (RUNS / "perceptron-r6/record.md").unlink()
    shutil.move(RUNS / "blend-r1", "elsewhere")
    (RUNS / "blend-r1").symlink_to(Path("elsewhere").resolve(), target_is_directory=True)
    (RUNS / "comparisons/other.md").write_text("perceptron-r71 and xperceptron-r7", encoding="utf-8")
    with FileLock(RUNS / "perceptron-r7/.lock"):
        found = season.clean("blobs", keep="best:0", yes=True)
    assert found.removed == {}
    whys = {name[-1]: why for name, why in found.kept.items() if name.startswith("p")}
    assert whys["1"] == "submitted"
    assert all("comparisons/perceptron-r2-vs-perceptron-r3.md" in whys[run] for run in "23")
    assert "part of blend-r1" in whys["4"]
    assert (whys["5"][:7], whys["6"][:12], whys["7"]) == ("damaged", "not finished", "a process works on it")
    assert "a link" in found.kept["blend-r1"]
    assert set(season.clean("blobs", keep="best:0").removed) == {"perceptron-r7"}


def test_runs_that_others_learn_from_stay(season: Project) -> None:
    teacher = {"teacher": "perceptron-r2", "predictions": "in_sample"}
    edit(RUNS / "perceptron-r7/config.json", distill=teacher, pseudo_labels={"teacher": "blobs/perceptron-r3"})
    edit(RUNS / "perceptron-r6/config.json", init_from="perceptron-r4")
    for weights in (True, False):
        found = season.clean("blobs", keep="perceptron-r7 perceptron-r6", weights=weights)
        assert {name[-1]: why for name, why in found.kept.items() if name[-1] in "234"} == {
            "2": "teaches perceptron-r7",
            "3": "teaches perceptron-r7",
            "4": "perceptron-r6 started from it",
        }
        assert set(found.removed) == {"perceptron-r1", "perceptron-r5"}


def test_weights_alone_can_go(season: Project) -> None:
    run = RUNS / "perceptron-r2"
    before = {path for path in run.rglob("*") if path.is_file() and "checkpoints" not in path.parts}
    (RUNS / "perceptron-r3/fold1-seed0/fit.json").unlink()
    found = season.clean("blobs", keep="best:1", weights=True, yes=True)
    assert {path for path in run.rglob("*") if path.is_file()} - {run / ".lock"} == before - {run / ".lock"}
    assert len(list(RUNS.glob("perceptron-r1/*/checkpoints"))) == 3, "the best one is kept"
    assert [path.parent.name for path in RUNS.glob("perceptron-r3/*/checkpoints")] == ["fold1-seed0"], "not complete"
    assert found.removed["perceptron-r2"] > found.removed["perceptron-r3"] > 0
    assert season.run("perceptron-r2", finished=True).summary()
    assert season.clean("blobs", keep="best:1", weights=True).removed == {}


def test_what_cannot_be_kept_is_refused(season: Project) -> None:
    for keep in ("best", "best:", "best:-1", "best:3 latest:2", "", "newest:3"):
        with raises_code("keep_invalid", "best:3, latest:3 or names"):
            season.clean("blobs", keep=keep, yes=True)
    with raises_code("unknown_run", "perceptron-r9"):
        season.clean("blobs", keep="perceptron-r9", yes=True)
    with raises_code("unknown_competition"):
        season.clean("blob", keep="best:3", yes=True)
    (RUNS / "perceptron-r5/config.json").write_text("{")
    with raises_code("file_damaged", "perceptron-r5"):
        season.clean("blobs", keep="best:0", yes=True)
    assert len(names()) == 7


def test_a_disk_that_is_too_small_is_told_after_the_first_epoch(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(toy)._replace(free=12_000)  # what is planned fits, but not the headers of so small files
    monkeypatch.setattr(cost.shutil, "disk_usage", lambda _: free)
    with raises_code("disk_too_small", "blobs/perceptron-r1", "same command again to resume"):
        Project(quiet=True).train("blobs", "perceptron", epochs=6, debug=True)
    assert (RUNS / "perceptron-r1/fold0-seed0/checkpoints/head_epoch_001.json").exists()
    monkeypatch.setattr(cost.shutil, "disk_usage", lambda _: free._replace(free=10**9))
    assert Project(quiet=True).train("blobs", "perceptron", epochs=6, debug=True).folder.name == "perceptron-r1"
