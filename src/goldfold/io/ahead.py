"""Prepare the next item of long work in a thread, such as reading its files, while the caller works on the present."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")


def one_ahead(prepare: Callable[[Item], Prepared], items: Iterable[Item]) -> Generator[Prepared, None, None]:
    """Yield what `prepare` makes of each item, in their order; the one after it is prepared meanwhile, and no more.

    `prepare` runs in one thread, without the caller's autocast and inference mode. What it raises is
    raised here when its item's turn comes. A caller that stops early closes the generator, which prepares no further
    item then, and does not wait for the one that is being prepared; only the end of the process does.

    >>> list(one_ahead(str.upper, ["a", "b", "c"]))
    ['A', 'B', 'C']
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        coming = None
        for item in items:
            present, coming = coming, pool.submit(prepare, item)
            if present is not None:
                yield present.result()
        if coming is not None:
            yield coming.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
