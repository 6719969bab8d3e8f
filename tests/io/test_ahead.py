"""Preparing one ahead: order, errors in turn, how far ahead it is, and a caller that stops."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from goldfold.io.ahead import one_ahead


def test_the_next_item_is_prepared_while_the_caller_works_and_no_more():
    begun: list[int] = []
    second = threading.Event()

    def prepare(item: int) -> int:
        begun.append(item)
        if item == 1:
            second.set()
        return item * item

    with closing(one_ahead(prepare, range(5))) as prepared:
        assert next(prepared) == 0
        assert second.wait(60), "the second item is prepared while the caller has the first"
        assert begun == [0, 1]
        assert list(prepared) == [1, 4, 9, 16]
    assert begun == [0, 1, 2, 3, 4]


def test_an_error_is_raised_when_its_item_has_its_turn():
    def prepare(item: int) -> float:
        return 1 / item

    prepared = one_ahead(prepare, [2, 1, 0, 4])
    assert [next(prepared), next(prepared)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(prepared)


def test_a_caller_that_stops_does_not_wait_and_nothing_more_is_prepared():
    begun: list[int] = []
    busy, free = threading.Event(), threading.Event()

    def prepare(item: int) -> int:
        begun.append(item)
        if item == 1:
            busy.set()
            free.wait()
        return item

    prepared = one_ahead(prepare, range(9))
    assert next(prepared) == 0
    assert busy.wait(60)
    (thread,) = [one for one in threading.enumerate() if one.name.startswith("ahead")]
    prepared.close()  # would not return if it waited for the second item
    free.set()
    thread.join(60)
    assert begun == [0, 1]
