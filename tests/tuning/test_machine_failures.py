"""A full disk, memory that runs out and damaged records say nothing of a trial's parameters."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from error_codes import raises_code

from goldfold.nn.optimizers import AdamW
from goldfold.tuning import studies
from goldfold.tuning.work import Asked, opened, work

SEARCH = "search: {dropout: [0.0, 0.2, 0.5]}\n"
ASKED = Asked(
    competition="blobs", config="perceptron", overrides=("epochs=1",), study="perceptron", trials=2, prune=False
)


@pytest.fixture
def searched(toy: Path) -> Path:
    path = toy / "configs" / "blobs" / "perceptron.yaml"
    path.write_text(path.read_text() + SEARCH)
    return toy


def states() -> list[str]:
    return [record.state for record in opened(ASKED)[1].records()]


def test_a_full_disk_fails_no_trial_however_often(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == "validation.npy":
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "replace", full)
    for _ in range(studies.ATTEMPTS + 1):
        with raises_code("write_failed", "No space left"):
            work(ASKED)
        assert states() == ["running"]
    monkeypatch.setattr(os, "replace", rename)
    work(ASKED)
    assert states() == ["complete", "complete"]


@pytest.mark.parametrize(("fails", "ended"), [(2, "complete"), (9**9, "failed")])
def test_memory_that_runs_out_is_tried_again(
    searched: Path, monkeypatch: pytest.MonkeyPatch, fails: int, ended: str
) -> None:
    work(Asked(**{**vars(ASKED), "trials": 1}))
    step, left = AdamW.step, iter(range(fails))

    def short(optimizer: torch.optim.Optimizer, *arguments: object) -> object:
        if next(left, None) is not None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(optimizer, *arguments)

    monkeypatch.setattr(AdamW, "step", short)
    work(ASKED)
    record = opened(ASKED)[1].records()[1]
    assert (record.state, "memory ran out 3 times" in record.reason) == (ended, ended == "failed")


def test_memory_that_runs_out_leaves_the_config_itself_open(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(AdamW, "step", short)
    for _ in range(2):
        with raises_code("out_of_memory", "batch_size"):
            work(ASKED)
        assert states() == ["running"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"code": 3, "params": 1}'])
def test_a_damaged_record_of_a_trial_stops_no_study(searched: Path, content: str) -> None:
    work(Asked(**{**vars(ASKED), "trials": 1}))
    (record,) = ASKED.folder.glob(f"trials/*/{studies.TRIAL}")
    record.write_text(content)
    work(ASKED)
    assert states() == ["complete", "complete"]
