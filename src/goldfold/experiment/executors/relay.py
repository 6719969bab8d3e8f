"""Progress of fits in other processes: each writes beside its checkpoints how far it is, the run's process reads it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json, write_json
from goldfold.io.progress import EpochProgress, Observer

SECONDS = 2  # between two writings, and two readings
FILE = ".progress.json"

Places = Mapping[tuple[int, int], Path]  # (fold, seed) -> folder of the fit


class Writing(Observer):
    """Writes the progress of one fit into its folder, for `relayed`."""

    def __init__(self, place: Path) -> None:
        self.file, self.last = place / FILE, -float(SECONDS)

    def epoch(self, fold: int, seed: int, progress: EpochProgress) -> None:
        if time.monotonic() - self.last >= SECONDS:
            self.last = time.monotonic()
            write_json(self.file, asdict(replace(progress, row=None)))

    def close(self) -> None:
        self.file.unlink(missing_ok=True)


@contextmanager
def relayed(places: Places, observer: Observer) -> Iterator[None]:
    """Meanwhile report to an observer, from a thread, what fits in other processes write about their progress.

    Of several fits at once one that got further is named, and `done` is the sum of all.
    """
    _forget(places)
    ended = threading.Event()
    thread = threading.Thread(target=_relay, args=(places, observer, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _forget(places)


def _relay(places: Places, observer: Observer, ended: threading.Event) -> None:
    known: dict[tuple[int, int], EpochProgress] = {}
    while not ended.wait(SECONDS):
        now = {fit: progress for fit, place in places.items() if (progress := _written(place))}
        moved = [fit for fit, progress in now.items() if progress != known.get(fit)]
        if moved and not ended.is_set():
            observer.epoch(*moved[-1], replace(now[moved[-1]], done=sum(each.done for each in now.values())))
        known = now


def _written(place: Path) -> EpochProgress | None:
    with suppress(GoldfoldError, OSError, TypeError):  # none yet, none any more, or of another version
        return EpochProgress(**read_json(place / FILE, dict))
    return None


def _forget(places: Places) -> None:
    for place in places.values():
        (place / FILE).unlink(missing_ok=True)
