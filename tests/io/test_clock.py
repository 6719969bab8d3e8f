"""The clock of phases: nested phases count for themselves, fits apart from the run, and everything adds up."""

import time

import pytest

from goldfold.io.clock import Clock, total


def compute(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_every_second_counts_for_the_innermost_phase():
    clock, begun = Clock(), (time.perf_counter(), time.process_time())
    with clock.phase("prepare"):
        compute(0.02)
        with clock.phase("features"):
            compute(0.06)
        compute(0.02)
    ended = time.perf_counter(), time.process_time()
    found = clock.take()
    assert list(found) == ["prepare", "features"]
    assert found["prepare"][1] < found["features"][1]
    for at in (0, 1):  # os.times counts CPU time in hundredths of a second
        assert sum(seconds[at] for seconds in found.values()) == pytest.approx(ended[at] - begun[at], abs=0.02)
    assert clock.take() == {}


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
