"""Threads of OpenMP: the policy with which they wait, and how many there are in a container with a quota."""

from __future__ import annotations

import subprocess
import sys

import pytest

from goldfold.io import threads

LIMITED = """
import os, joblib, torch
from goldfold.io.threads import limit_to_quota
torch.set_num_threads(4)
joblib.cpu_count = lambda: {cpus}
print(limit_to_quota(), torch.get_num_threads())
"""


@pytest.mark.parametrize(("cpus", "chosen", "expected"), [(2, "", "2 2"), (2, "4", "4 4")])
def test_torch_gets_no_more_threads_than_cpus_unless_chosen(cpus: int, chosen: str, expected: str) -> None:
    code = LIMITED.format(cpus=cpus)
    environment = {"PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path), **({threads.CHOICE: chosen} if chosen else {})}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_a_command_sets_the_policy_before_torch_is_imported() -> None:
    code = (
        "import os, sys; from goldfold.io import threads; kept = threads.wait_passively\n"
        "threads.wait_passively = lambda: (kept(), print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY']))\n"
        "from goldfold.cli.main import main\nmain(['--help'])"
    )
    for given, expected in (({}, "False PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "False ACTIVE")):
        environment = {"PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path), **given}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[0] == expected
