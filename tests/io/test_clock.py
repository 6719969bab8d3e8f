"""The clock of phases: nested phases count for themselves, fits apart from the run, and everything adds up."""

import subprocess
import sys

import pytest

from goldfold.io.clock import Clock, total


def test_every_second_counts_for_the_innermost_phase():
    readings = iter([(0.0, 0.0), (1.0, 0.5), (2.0, 1.5), (5.0, 7.5), (6.0, 8.0), (7.0, 8.25)])  # wall, CPU
    clock = Clock(lambda: next(readings))
    with clock.phase("prepare"), clock.phase("features"):
        pass
    assert clock.take() == {"prepare": [2.0, 1.5], "features": [3.0, 6.0]}
    assert next(readings, None) is None


def test_cpu_seconds_are_also_those_of_ended_children():
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    clock = Clock()
    with clock.phase("training"):
        subprocess.run([sys.executable, "-I", "-S", "-c", busy], check=True)
    assert clock.take()["training"][1] > 0.2  # this process waits meanwhile


def test_phases_of_a_fit_are_apart_from_those_around_it():
    clock = Clock()
    with clock.phase("import"), clock.apart() as fit, clock.phase("training"):
        pass
    assert list(fit) == ["training"]
    with clock.phase("pictures"):
        pass
    clock.forget(kept="import")
    assert list(clock.take()) == ["import"]
    assert total([fit, {"import": [1.0, 0.5]}, {"training": [2.0, 1.0]}])["import"] == [1.0, 0.5]


def test_a_phase_ends_with_its_error():
    clock = Clock()
    with pytest.raises(ZeroDivisionError), clock.phase("training"):
        1 / 0  # noqa: B018
    with clock.phase("scoring"):
        pass
    assert list(clock.take()) == ["training", "scoring"]
