"""Record what is needed to repeat a run: command, code version, packages, hardware."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from goldfold.io.formatting import count

PACKAGES = (
    "goldfold",
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "scikit-learn",
    "timm",
    "segmentation-models-pytorch",
    "albumentations",
    "transformers",
    "optuna",
    "kaggle",
    "opencv-python-headless",
)
NO_GIT = "not a git checkout"
ASKED_SECONDS = 10  # of another program, git or nvidia-smi


def reproduce(project: Path, command: Sequence[str] | None = None) -> dict[str, Any]:
    """Return command, start time, git state, versions and hardware as JSON values without None.

    command: words of the command line; by default that of this process. Passwords in URLs, and the paths of the project
        and the home folder, are removed. Neither host nor user name is recorded.
    """
    return {
        "command": _typed(sys.orig_argv if command is None else command, project.resolve()),
        "started": datetime.now(UTC).isoformat(timespec="microseconds"),
        "git": _git(project),
        **machine(),
    }


def machine() -> dict[str, Any]:
    """Return `python`, `packages`, `hardware` and `os` as JSON values without None.

    Memory is in GiB; `cores` may be used by this process, which a container may limit.
    """
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "hardware": _hardware(),
        "os": platform.platform(),
    }


def _typed(command: Sequence[str], project: Path) -> str:
    """The command line as one would type it in the project's folder."""
    return _without_names(re.sub(r"://[^/\s@]+@", "://***@", shlex.join(command)), project)


def _without_names(line: str, project: Path) -> str:
    """A line without the paths of the project and the home folder."""
    line = _shortened(line, str(project), ".")
    return _shortened(line, os.path.expanduser("~"), "~")


def _shortened(line: str, folder: str, sign: str) -> str:
    """Replace `folder` by `sign` if it is the beginning of a whole path and not the root."""
    return re.sub(rf"(?<![\w./-]){re.escape(folder)}(?![\w.-])", sign, line) if len(folder) > 1 else line


def _git(project: Path) -> dict[str, str]:
    """Commit, branch and worktree ('clean', or the number of files that differ from the commit); else git's reason."""
    inside, reason = _ask_git(project, "rev-parse", "--is-inside-work-tree")
    if inside != "true":
        return dict.fromkeys(("commit", "branch", "worktree"), reason or NO_GIT)
    changes, _ = _ask_git(project, "status", "--porcelain")
    return {
        "commit": _ask_git(project, "rev-parse", "--verify", "HEAD")[0] or "no commit yet",
        "branch": _ask_git(project, "branch", "--show-current")[0] or "detached",
        "worktree": "unknown" if changes is None else _uncommitted(len(changes.splitlines())),
    }


def _uncommitted(files: int) -> str:
    return count(files, "uncommitted file") if files else "clean"


def _ask_git(project: Path, *question: str) -> tuple[str | None, str]:
    """The output of a git command, and why there is none: git's own reason, such as a folder of another owner."""
    command = ["git", "-C", str(project), *question]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=ASKED_SECONDS, env={**os.environ, "LC_ALL": "C"})
    except (OSError, subprocess.SubprocessError) as error:
        return None, _without_names(f"unknown, since git cannot be asked: {error}", project.resolve())
    if not answer.returncode:
        return answer.stdout.decode("utf-8", "replace").strip(), ""
    reason = answer.stderr.decode("utf-8", "replace").strip().partition("\n")[0].removeprefix("fatal: ")
    if reason.startswith("not a git repository"):
        return None, NO_GIT
    return None, _without_names(f"unknown, since git says: {reason}", project.resolve())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _hardware() -> dict[str, Any]:
    import joblib
    import torch

    total, free = _memory()
    return {
        "cpu": _cpu(),
        "cores": joblib.cpu_count(),  # within affinity and the quota of a container
        "torch_threads": torch.get_num_threads(),
        "memory_gib": total,
        "memory_free_gib": free,
        "cuda": torch.version.cuda or "none",
        "gpus": _gpus(),
    }


def _gpus() -> list[dict[str, Any]]:
    """Name, compute capability, total and free memory of each GPU that torch sees."""
    import torch

    cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    free = _free_gpu_memory() if cards else {}
    return [
        {
            "name": card.name,
            "capability": f"{card.major}.{card.minor}",
            "memory_gib": round(card.total_memory / 2**30, 1),
            "free_gib": free.get(str(getattr(card, "uuid", "")), "unknown"),
        }
        for card in cards
    ]


def _free_gpu_memory() -> dict[str, float]:
    """UUID of a GPU -> its free memory in GiB; empty without nvidia-smi.

    torch.cuda.mem_get_info would take some hundred MiB of each GPU for this process.
    """
    command = ["nvidia-smi", "--query-gpu=uuid,memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=ASKED_SECONDS, text=True, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    found = re.findall(r"^GPU-([0-9a-f-]+), *(\d+)\s*$", answer, re.MULTILINE)
    return {uuid: round(int(mebibytes) / 1024, 1) for uuid, mebibytes in found}


def _cpu() -> str:
    known = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*:\s*(.+)$", known.read_text(), re.MULTILINE) if known.exists() else []
    return models[0] if models else platform.processor() or platform.machine()


def _memory() -> tuple[float | str, float | str]:
    """Total and available memory in GiB, both within the limit of a container (cgroup v2)."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return "unknown", "unknown"
    known, group = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
    found = re.search(r"^MemAvailable:\s*(\d+) kB", known.read_text(), re.MULTILINE) if known.exists() else None
    free = int(found[1]) * 1024 if found else None
    limit, used = (_bytes(group / name) for name in ("memory.max", "memory.current"))
    if limit is not None and limit < total:
        total = limit
        free = None if free is None or used is None else max(0, min(free, limit - used))
    return round(total / 2**30, 1), "unknown" if free is None else round(free / 2**30, 1)


def _bytes(path: Path) -> int | None:
    """The number in a file; None without a file, or where it says `max`."""
    text = path.read_text().strip() if path.exists() else ""
    return int(text) if text.isdecimal() else None
