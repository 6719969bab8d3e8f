"""Every file that a run, a study, the submissions and the caches keep, damaged in every way, before every verb.

Each combination ends in one sentence that names the file or its run, or in success since the file is made again or not
read: never in a traceback. The files are found by listing a project in which everything was done once.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from goldfold.cli.main import main
from goldfold.project import Project

SEARCH = "search: {dropout: [0.0, 0.2]}\n"
RUN, OTHER = "blobs/perceptron-r1", "blobs/estimator-r1"
NOT_KEPT = (".lock", ".png", ".html", ".md", ".partial", ".alone")  # endings of files that nothing reads as results


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(255 - byte for byte in data[middle : middle + 8]) + data[middle + 8 :]


def other_shape(path: Path, data: bytes) -> bytes | None:
    if path.suffix != ".npy":
        return None
    np.save(path, np.zeros((3, 2), np.int8))
    return path.read_bytes()


def other_type(path: Path, data: bytes) -> bytes | None:
    if path.suffix == ".json":
        return b"{}" if data.lstrip().startswith(b"[") else b"[]"
    return b"[]"


DAMAGES: dict[str, Callable[[Path, bytes], bytes | None]] = {
    "empty": lambda path, data: b"",
    "cut": lambda path, data: data[: len(data) // 2],
    "other type": other_type,
    "flipped": lambda path, data: flipped(data),
    "other shape": other_shape,
}
FINISHED = {
    "list": ["list"],
    "log": ["log", "--comp", "blobs"],
    "site": ["site"],
    "score": ["score", "--run", RUN],
    "grade": ["grade", "--run", RUN],
    "report": ["report", "--run", RUN],
    "submit": ["submit", "--run", RUN, "--to", "local"],
    "compare": ["compare", RUN, OTHER, "--accept", "unequal_budget"],
    "ledger": ["ledger"],
}
TRAIN = ["train", "--comp", "blobs", "--config", "perceptron", "--quiet", "epochs=2"]
TUNE = ["tune", "--comp", "blobs", "--config", "perceptron", "--trials", "2", "--redraws", "0", "--quiet", "epochs=1"]


def outcome(arguments: list[str]) -> str:
    """How a verb ends: `done`, `told` for a sentence, or the name of the exception that it lets through."""
    try:
        main(arguments)
    except SystemExit as end:
        return "done" if not end.code else "told"
    except Exception as error:
        return f"TRACEBACK {type(error).__name__}: {error}"
    return "done"


@pytest.fixture
def project(toy: Path) -> Path:
    config = toy / "configs" / "blobs" / "perceptron.yaml"
    config.write_text(config.read_text() + SEARCH)
    main(["train", "--comp", "blobs", "--config", "estimator", "--quiet"])
    main(TRAIN)
    main(["grade", "--run", RUN])
    main(["host-add", "--comp", "blobs"])
    Project(quiet=True).run(RUN).remark("first")
    main(["site"])
    return toy


def kept(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file() and not path.name.endswith(NOT_KEPT))


def damaged(
    files: list[Path], verbs: dict[str, list[str]], prepare: Callable[[], None]
) -> dict[tuple[str, str, str], str]:
    """(file, damage, verb) -> how it ended; the whole project is restored from a copy after each."""
    found: dict[tuple[str, str, str], str] = {}
    for path in files:
        whole = path.read_bytes()
        for how, damage in DAMAGES.items():
            for verb, arguments in verbs.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                if (content := damage(path, whole)) is None:
                    continue
                path.write_bytes(content)
                found[path.as_posix(), how, verb] = outcome(arguments)
                if found[path.as_posix(), how, verb] == "done":
                    prepare()
                else:
                    path.write_bytes(whole)
    return found


def assert_no_traceback(found: dict[tuple[str, str, str], str], capsys: pytest.CaptureFixture) -> None:
    with capsys.disabled():
        table = Counter((file.rpartition("/")[2], told.split(":")[0]) for (file, *_), told in found.items())
        for (file, told), count in sorted(table.items()):
            print(f"{file:32} {told:28} {count}", file=sys.stderr)
    assert not {key: told for key, told in found.items() if told.startswith("TRACEBACK")}


def restoring(root: Path, *parts: str) -> Callable[[], None]:
    """A function that puts folders of the project back as they are now."""
    copy = root.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    for part in parts:
        if (root / part).exists():
            shutil.copytree(root / part, copy / part)

    def restore() -> None:
        for part in parts:
            shutil.rmtree(root / part, ignore_errors=True)
            if (copy / part).exists():
                shutil.copytree(copy / part, root / part)

    return restore


@pytest.mark.slow
@pytest.mark.parametrize("manifest", [True, False], ids=["manifest", "older version"])
def test_a_finished_run_with_a_damaged_file(project: Path, capsys: pytest.CaptureFixture, manifest: bool) -> None:
    if not manifest:
        for path in project.glob("runs/*/*/manifest.json"):
            path.unlink()
    run = Path("runs") / RUN
    files = [path for path in kept(run) if "checkpoints" not in path.parts and "fold1" not in str(path)]
    files += [*kept(Path("submissions")), Path("runs/blobs/numbers.json")]
    files = [path for path in files if "fold2" not in str(path)]
    found = damaged(files, FINISHED, restoring(project, "runs", "submissions"))
    assert_no_traceback(found, capsys)
    told = Counter(verb for (file, how, verb), end in found.items() if file.endswith("metrics.json") and end == "told")
    assert {"score", "grade", "report", "submit", "compare"} <= told.keys()
    assert not {"list", "log", "site"} & told.keys(), "one damaged run stops the lists of all"


@pytest.mark.slow
def test_an_interrupted_run_with_a_damaged_file_is_finished(project: Path, capsys: pytest.CaptureFixture) -> None:
    """What is damaged is made again, with the same scores; only a damaged grade is named instead."""
    run = Path("runs") / RUN
    scores = (run / "metrics.json").read_bytes()
    (run / "record.md").unlink()
    for name in ("fit.json", "validation.npy"):
        (run / "fold2-seed0" / name).unlink()
    restore = restoring(project, "runs", "submissions")
    found = {}
    for path in [each for each in kept(run) if "fold1" not in str(each)]:
        for how, ended in damaged([path], {"train": TRAIN}, lambda: None).items():
            latest = max((path for path in run.parent.glob("perceptron-r*/metrics.json")), key=str)
            same = latest.read_bytes() == scores
            found[how] = ended if ended != "done" or same else "TRACEBACK other scores"
            restore()
    assert_no_traceback(found, capsys)
    told = {file.rpartition("/")[2] for (file, *_), ended in found.items() if ended != "done"}
    assert told <= {"grade.json"}, "the score on hidden labels is no part of training: it is named, not made again"


@pytest.mark.slow
def test_a_study_with_a_damaged_file_goes_on(project: Path, capsys: pytest.CaptureFixture) -> None:
    main([*TUNE[:5], "--trials", "1", *TUNE[7:]])
    files = [path for path in kept(Path("runs/blobs/studies")) if "fold1" not in str(path) and "fold2" not in str(path)]
    found = damaged(files, {"tune": TUNE}, restoring(project, "runs", "configs"))
    assert_no_traceback(found, capsys)
