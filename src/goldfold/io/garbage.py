"""Keep Python from looking for garbage where there is none: while libraries are imported, and when a command ends."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def not_collected() -> Iterator[None]:
    """Run the block, which imports, without the collector.

    The half million objects of torch and its companions stay for good, and Python would traverse them all again and
    again while they come in, for a second.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def leave_at_once() -> None:
    """Let this process end without a last search through all objects, which takes 2 s once torch is loaded."""
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
