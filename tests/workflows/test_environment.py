"""What `goldfold environment` shows, and what it keeps to itself."""

from __future__ import annotations

import os
import platform
import socket
import stat
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from goldfold.experiment.identity import provenance
from goldfold.kaggle import credentials
from goldfold.report.run.record import machine_facts

SECRET = "0a1b2c3d4e5f"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and an environment without credentials."""
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    return tmp_path / "home"


def test_it_names_versions_device_and_memory_and_no_host_or_user(home: Path, goldfold) -> None:
    text = goldfold("environment", KAGGLE_USERNAME="somebody", KAGGLE_KEY=SECRET).stdout
    facts = dict(line.split("  ", 1) for line in text.splitlines())
    assert facts["Python"].strip() == platform.python_version()
    assert facts["torch"].strip() == version("torch")
    assert "which `train` takes by default" in facts["device"]
    assert " cores, " in facts["processor"]
    assert " GiB" in facts["memory"]
    assert facts["Kaggle credentials"].strip() == "KAGGLE_USERNAME and KAGGLE_KEY in the environment"
    for hidden in (SECRET, "somebody", str(home), socket.gethostname()):
        assert hidden not in text
    assert len(text.splitlines()) < 40
    assert max(map(len, text.splitlines())) < 160


@pytest.mark.parametrize(
    ("variables", "file", "told"),
    [
        ({}, None, None),
        ({"KAGGLE_USERNAME": "somebody"}, None, None),
        ({"KAGGLE_API_TOKEN": SECRET}, None, "KAGGLE_API_TOKEN in the environment"),
        (
            {"KAGGLE_USERNAME": "somebody", "KAGGLE_KEY": SECRET},
            None,
            "KAGGLE_USERNAME and KAGGLE_KEY in the environment",
        ),
        ({}, ".kaggle/kaggle.json", "the file kaggle.json"),
        ({}, ".kaggle/access_token", "the file access_token"),
        ({}, ".config/kaggle/kaggle.json", "the file kaggle.json"),
        ({"KAGGLE_CONFIG_DIR": "elsewhere"}, ".kaggle/kaggle.json", None),
        ({"XDG_CONFIG_HOME": "elsewhere"}, ".config/kaggle/kaggle.json", None),
    ],
)
def test_credentials_are_found_where_the_client_looks(
    variables: Mapping[str, str], file: str | None, told: str | None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if file:
        (home / file).parent.mkdir(parents=True)
        (home / file).write_text(SECRET, encoding="utf-8")
    assert credentials.source() == told


@pytest.mark.skipif(os.name == "nt", reason="the program is a shell script")
def test_free_memory_of_gpus_is_matched_by_uuid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU-0a-1b, 15360'\necho 'GPU-2c-3d, 512'\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert provenance._free_gpu_memory() == {"0a-1b": 15.0, "2c-3d": 0.5}
    program.write_text("#!/bin/sh\nexit 9\n", encoding="utf-8")
    assert provenance._free_gpu_memory() == {}


def test_a_record_tells_free_memory_where_it_is_known() -> None:
    found = provenance.machine()
    found["hardware"] |= {"memory_gib": 23.5, "memory_free_gib": 17.5, "cuda": "12.8"}
    found["hardware"]["gpus"] = [
        {"name": "RTX", "capability": "12.0", "memory_gib": 15.9, "free_gib": 14.0},
        {"name": "other", "capability": "8.0", "memory_gib": 8.0, "free_gib": "unknown"},
    ]
    facts = machine_facts(found)
    assert facts["memory"] == "23.5 GiB, 17.5 GiB free"
    assert facts["GPUs"] == "RTX (15.9 GiB, 14.0 GiB free), other (8.0 GiB); CUDA 12.8"
    older = {
        "cpu": "x",
        "cores": 2,
        "torch_threads": 1,
        "memory_gib": 4.0,
        "gpus": [{"name": "T4", "memory_gib": 15.0}],
    }
    assert machine_facts({**found, "hardware": older})["GPUs"] == "T4 (15.0 GiB); CUDA unknown"
    assert machine_facts({**found, "hardware": older})["memory"] == "4.0 GiB"


def test_cores_are_those_that_this_process_may_use() -> None:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert 1 <= provenance.machine()["hardware"]["cores"] <= allowed
