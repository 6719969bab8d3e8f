"""A small project to run commands in: the toy competitions of tests/toy, with nothing trained yet."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import guard
import pytest

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    folder = tempfile.TemporaryDirectory(prefix="goldfold-guard-")
    config.add_cleanup(folder.cleanup)
    guard.stand(Path(folder.name))
    gc.disable()  # what is imported and collected stays, and to look through it again and again takes long


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy project, as the current folder."""
    folder = tmp_path / "project"
    shutil.copytree(HERE / "toy", folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    for name in [name for name in sys.modules if name.split(".")[0] == "competitions"]:
        monkeypatch.delitem(sys.modules, name)
    return folder


@pytest.fixture
def goldfold(toy: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs `python -m goldfold ...` in the toy project, in a process of its own."""

    def run(
        *arguments: str, expect: int = 0, script: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess:
        command = [sys.executable, *(["-m", "goldfold"] if script is None else [str(script)]), *arguments]
        done = subprocess.run(command, cwd=toy, env={**os.environ, **environment}, capture_output=True, text=True)
        assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run
