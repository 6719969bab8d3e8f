import gc
import subprocess
import sys

import pytest

from goldfold.io import garbage


def test_imports_are_not_interrupted_by_the_collector_which_comes_back_after_an_error():
    with pytest.raises(ImportError, match="on: False"), garbage.not_collected():
        raise ImportError(f"on: {gc.isenabled()}")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with garbage.not_collected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_a_process_that_leaves_at_once_looks_at_no_object_again(calls):
    script = (
        "from goldfold.io import garbage\n"
        "class Cycle:\n    def __init__(self): self.own = self\n    def __del__(self): print('collected', flush=True)\n"
        f"Cycle()\nfor _ in range({calls}): garbage.leave_at_once()\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == ("" if calls else "collected\n")
