"""A run whose files were changed by hand is refused by every verb that reads it, and its CV is computed again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from error_codes import raises_code
from planted_runs import edit

from goldfold.cli.main import main
from goldfold.errors import GoldfoldError
from goldfold.experiment.fits import load_fit
from goldfold.experiment.identity import manifest
from goldfold.io import files
from goldfold.project import Project
from goldfold.run import Run
from goldfold.workflows.delivery.submit import submission_request


@pytest.fixture
def run(toy: Path) -> Run:
    return Project(quiet=True).train("blobs", "estimator")


def raise_mean(folder: Path) -> None:
    own = json.loads((folder / "metrics.json").read_text())["auroc"]
    edited = {"auroc": own | {"mean": 1.0, "folds": dict.fromkeys(own["folds"], 1.0)}}
    (folder / "metrics.json").write_text(json.dumps(edited))


def reverse(folder: Path) -> None:
    np.save(folder / "oof.npy", np.load(folder / "oof.npy")[::-1])


def cut(folder: Path) -> None:
    np.save(folder / "oof.npy", np.load(folder / "oof.npy")[:-7])


CHANGES: dict[str, Callable[[Path], None]] = {"metrics.json": raise_mean, "oof.npy": reverse, "oof.npy was": cut}
VERBS = {
    "score": ["score", "--run", "latest"],
    "grade": ["grade", "--run", "latest"],
    "submit": ["submit", "--run", "latest", "--to", "local"],
    "report": ["report", "--run", "latest"],
    "compare": ["compare", "blobs/estimator-r1", "blobs/estimator-r2"],
    "blend": ["blend", "blobs/estimator-r1", "blobs/estimator-r2"],
}


@pytest.mark.parametrize("named", CHANGES)
def test_a_changed_file_is_named_by_every_verb(run: Run, named: str, capsys: pytest.CaptureFixture) -> None:
    second = Project(quiet=True).train("blobs", "estimator", strength=0.5).folder
    CHANGES[named](second)
    for arguments in VERBS.values():
        with pytest.raises(SystemExit):
            main(arguments)
        told = capsys.readouterr().err
        assert "run 'blobs/estimator-r2' is not as it was concluded" in told, told
        assert named in told
    log = Project(quiet=True).log("blobs")  # it reads no arrays
    assert list(log.left_out) == (["estimator-r2"] if named == "metrics.json" else [])


def test_what_goldfold_adds_to_a_run_is_no_change(run: Run) -> None:
    run.grade()
    run.refit()
    run.gains()
    run.report()
    run.remark("it is quick")
    assert manifest.changes(run.folder) == []
    assert {"grade.json", "refit.json", "gains.json"} <= json.loads((run.folder / "manifest.json").read_text()).keys()


def test_files_that_are_gone_or_were_added_are_changes(run: Run) -> None:
    (run.folder / "test.npy").unlink()
    (run.folder / "grade.json").write_text('{"score": 1.0}')
    assert manifest.changes(run.folder) == ["test.npy is gone", "grade.json was added"]
    with raises_code("run_changed", "test.npy is gone", "record.md"):
        Project(quiet=True).run("latest")


@pytest.mark.parametrize("step", ["write_bytes", "write_json"])
def test_a_process_killed_between_a_file_and_its_manifest_leaves_no_change(
    run: Run, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the file is written, and between the file and the second time that the manifest is."""
    whole, calls = getattr(manifest, step), []

    def stops(*arguments: object, **options: object) -> None:
        calls.append(arguments)
        if len(calls) == (1 if step == "write_bytes" else 2):
            raise KeyboardInterrupt
        whole(*arguments, **options)

    for name in ("grade.json", "findings.json"):
        calls.clear()
        monkeypatch.setattr(manifest, step, stops)
        with pytest.raises(KeyboardInterrupt):
            manifest.write_value(run.folder, name, ["other"])
        monkeypatch.setattr(manifest, step, whole)
        assert manifest.changes(run.folder) == []
    (run.folder / "findings.json").write_text("{}")
    assert manifest.changes(run.folder) == ["findings.json was changed"]


def test_a_run_of_an_older_version_is_read_and_its_cv_computed_again(run: Run, capsys: pytest.CaptureFixture) -> None:
    (run.folder / "manifest.json").unlink()
    main(["score", "--run", "latest"])
    assert "no manifest.json" in "".join(capsys.readouterr())
    raise_mean(run.folder)
    with raises_code("cv_not_repeated", "auroc 1.0", "fold 0"):
        submission_request(run.workspace, run.folder)


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_the_cv_of_a_run_is_that_of_its_predictions(toy: Path, seeds: list[int]) -> None:
    run = Project(quiet=True).train("blobs", "perceptron", seeds=seeds, epochs=1)
    request = submission_request(run.workspace, run.folder)
    assert request.cv == run.metrics["auroc"]["mean"]
    (run.folder / "manifest.json").unlink()
    spoilt = run.folder / ("oof.npy" if len(seeds) == 1 else "fold1-seed1/validation.npy")
    np.save(spoilt, np.load(spoilt)[::-1])
    with raises_code("cv_not_repeated"):
        submission_request(run.workspace, run.folder)


def test_a_blend_has_the_cv_of_its_predictions(run: Run) -> None:
    project = Project(quiet=True)
    blend = project.blend([run, project.train("blobs", "perceptron", epochs=1)])
    assert submission_request(blend.workspace, blend.folder).cv == blend.metrics["auroc"]["mean"]


def test_a_changed_submission_is_refused_without_its_json_too(run: Run) -> None:
    csv = run.submission_path
    csv.write_bytes(csv.read_bytes().replace(b"0.1", b"0.2"))
    with raises_code("submission_changed"):
        submission_request(run.workspace, run.folder)
    csv.with_name(f"{csv.name}.json").unlink()
    with raises_code("submission_without_provenance", "baseline-r1|estimator-r1"):
        submission_request(run.workspace, run.folder)


def test_a_submission_of_another_run_is_refused(run: Run) -> None:
    other = Project(quiet=True).train("blobs", "estimator", strength=0.5)
    for end in ("", ".json"):
        source = run.submission_path
        other.submission_path.with_name(other.submission_path.name + end).write_bytes(
            source.with_name(source.name + end).read_bytes()
        )
    with raises_code("submission_changed", "blobs/estimator-r2"):
        submission_request(other.workspace, other.folder)


@pytest.mark.parametrize("file", ["validation.npy", "test.npy", "history.json", "fit.json"])
def test_a_fit_with_a_changed_file_is_made_again(run: Run, file: str) -> None:
    """The record is deleted, as the message says, so that the same command resumes the run."""
    place, scores = run.folder / "fold0-seed0", run.metrics["auroc"]["folds"]
    if file == "fit.json":
        edit(place / file, scores={"auroc": 1.0})
    elif file == "history.json":
        (place / file).write_text('[{"stage": "x"}]')
    else:
        np.save(place / file, np.zeros((3, 2), np.int8))
    with pytest.raises(GoldfoldError) as error:
        load_fit(place)
    assert error.value.code == "fit_changed"
    (run.folder / "record.md").unlink()
    again = Project(quiet=True).train("blobs", "estimator")
    assert (again.name, again.metrics["auroc"]["folds"]) == (run.name, scores)
    assert manifest.changes(again.folder) == []


def test_a_folder_of_submissions_that_cannot_be_written_is_noticed_before_training(toy: Path) -> None:
    (toy / "submissions").write_text("a file")
    with raises_code("folder_not_writable", "submissions"):
        Project(quiet=True).train("blobs", "estimator")
    assert not list((toy / "runs").glob("*/*"))


def test_a_competition_whose_name_python_keeps_for_itself_is_not_made(toy: Path) -> None:
    with raises_code("not_an_identifier", "__init__"):
        Project(quiet=True).new("__init__")
    assert not (toy / "competitions" / "__init__").exists()


def test_a_damaged_epoch_that_is_picked_leaves_no_run(toy: Path) -> None:
    run = Project(quiet=True).train("blobs", "perceptron", debug=True, epochs=2)
    (weights,) = run.folder.glob("fold1-seed0/checkpoints/*_001.safetensors")
    weights.write_bytes(weights.read_bytes()[:-9])
    with raises_code("checkpoint_damaged", weights.name):
        run.pick(1)
    assert [path.name for path in run.folder.parent.glob("*-r*")] == [run.folder.name]


def test_temporary_files_of_processes_that_are_gone_are_removed(run: Run) -> None:
    machine = files._machine()
    own, gone = f"a.json.{machine}-{os.getpid()}.partial", f"a.json.{machine}-{2**22 + 1}.partial"
    for name in (own, gone, f"a.json.{2**22 + 1}.partial", "a.json.ffffff-1.partial", "files.partial"):
        (run.folder / name).write_text("half")
    (run.folder / "record.md").unlink()
    Project(quiet=True).train("blobs", "estimator")
    assert {path.name for path in run.folder.glob("*.partial")} == {own, "a.json.ffffff-1.partial", "files.partial"}
