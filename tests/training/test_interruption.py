"""A run killed at any moment and started again with the same command ends with the same bytes."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
KINDS = ("step", "write", "rename")


def carry_out(moments: list[tuple[str, int, Path]], command: list[str]) -> str:
    words = [str(word) for moment in moments for word in moment]
    script = [sys.executable, str(HERE / "interrupted.py"), *words, "--", *command]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def results(project: Path) -> dict[str, bytes]:
    """All that a run computed: arrays, scores, history without its seconds, submission."""
    (run,) = project.glob("runs/*/*-r1")
    assert not list(project.glob("runs/*/*-r2")), "the interrupted run was not taken up again"
    found = {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*.npy")}
    found |= {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("topk_high_loss_epoch_*.txt")}
    for path in run.rglob("history.json"):
        history = [
            {key: value for key, value in row.items() if key != "seconds"} for row in json.loads(path.read_text())
        ]
        found[path.relative_to(run).as_posix()] = json.dumps(history).encode()
    for name in ("metrics.json", "folds.csv", "oof_ids.csv", "test_ids.csv"):
        found[name] = (run / name).read_bytes()
    (csv,) = project.glob("submissions/*/*.csv")
    found["submission"] = csv.read_bytes()
    return found


def interrupted(tmp_path: Path, command: list[str], moments_per_kind: int, seed: int) -> None:
    base, reference = tmp_path / "base", tmp_path / "reference"
    shutil.copytree(HERE / "toy", base)
    carry_out([("none", 0, base)], ["prepare", "--comp", command[2]])
    shutil.copytree(base, reference)
    carry_out([("none", 0, reference)], command)
    events = json.loads((reference / "events.json").read_text())
    draw, moments = random.Random(seed), []
    for kind in KINDS:
        for count in draw.sample(range(1, events[kind] + 1), moments_per_kind):
            folder = tmp_path / f"{kind}-{count}"
            shutil.copytree(base, folder)
            moments.append((kind, count, folder))
    carry_out(moments, command)
    expected = results(reference)
    assert {"oof.npy", "test.npy", "fold0-seed0/history.json"} <= expected.keys()
    for kind, count, folder in moments:
        assert results(folder) == expected, f"{kind} {count}"


def test_killed_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    interrupted(tmp_path, ["train", "--comp", "blobs", "--config", "perceptron", "ema=0.9"], moments_per_kind=1, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "command",
    [
        ["train", "--comp", "blobs", "--config", "perceptron", "--debug", "select=best", "patience=2", "seeds=[0,1]"],
        ["train", "--comp", "blobs", "--config", "perceptron", "ema=0.9", "hard_examples=3"],
        ["train", "--comp", "neighbors", "--config", "two_stage", "accumulate=2"],
        ["train", "--comp", "blobs", "--config", "bank", "clip=0.5"],
    ],
)
def test_killed_at_many_moments(tmp_path: Path, command: list[str], seed: int) -> None:
    interrupted(tmp_path, command, moments_per_kind=4, seed=seed)
