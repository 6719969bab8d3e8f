"""What a command imports: torch and SciPy where they compute, and the compiler where something is compiled."""

import os
import subprocess
import sys
from pathlib import Path

SMALL_RUN = """
import sys

import goldfold.cli.training

early = {"torch", "scipy.stats", "sklearn", "matplotlib"} & sys.modules.keys()
assert not early, f"every command imports {early}"

from goldfold.project import Project

run = Project(quiet=True).train("blobs", "perceptron", epochs=1, folds=[0])
assert (run.folder / "fold0-seed0" / "history.json").exists() and "torch" in sys.modules
slow = {"torch._dynamo", "torch._inductor", "sympy", "matplotlib.pyplot"} & sys.modules.keys()
assert not slow, f"a small run imports {slow}"
"""


def test_a_small_run_imports_no_compiler(toy: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", SMALL_RUN], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
