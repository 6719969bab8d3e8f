"""Progress of fits in other processes reaches the run's observer while they train, and leaves no files behind."""

from __future__ import annotations

import threading
from pathlib import Path

from goldfold.experiment.executors import relay
from goldfold.io.progress import EpochProgress, Observer


class Listening(Observer):
    """Keeps what it hears until it has heard of all these fits."""

    def __init__(self, *awaited: tuple[int, int]) -> None:
        self.heard: dict[tuple[int, int], EpochProgress] = {}
        self.awaited, self.complete = set(awaited), threading.Event()

    def epoch(self, fold: int, seed: int, progress: EpochProgress) -> None:
        self.heard[fold, seed] = progress
        if self.awaited <= set(self.heard):
            self.complete.set()


def at(epoch: int, done: float) -> EpochProgress:
    return EpochProgress("fit", epoch, 20, done, 0.5, {"metric": 0.7})


def test_what_fits_write_is_reported_with_the_sum_of_their_shares(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(relay, "SECONDS", 0.01)
    places = {(fold, 0): tmp_path / f"fold{fold}-seed0" for fold in range(3)}
    for place in places.values():
        place.mkdir()
    old = relay.Writing(places[2, 0])
    old.epoch(2, 0, at(7, 0.35))  # of a process that was killed in an earlier start
    first, second = relay.Writing(places[0, 0]), relay.Writing(places[1, 0])
    alone, both = Listening((0, 0)), Listening((1, 0))
    with relay.relayed(places, alone):
        first.epoch(0, 0, at(3, 0.15))
        assert alone.complete.wait(60)
    assert alone.heard == {(0, 0): EpochProgress("fit", 3, 20, 0.15, 0.5)}
    assert not any((place / relay.FILE).exists() for place in places.values())
    with relay.relayed(places, both):
        relay.Writing(places[0, 0]).epoch(0, 0, at(4, 0.25))
        second.epoch(1, 0, at(2, 0.5))
        assert both.complete.wait(60)
    assert both.heard[1, 0].done in (0.5, 0.75)  # the other one's file is read before or after
    second.close()


def test_a_damaged_file_of_a_fit_is_passed_over(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(relay, "SECONDS", 0.01)
    places = {(fold, 0): tmp_path / str(fold) for fold in range(2)}
    for place in places.values():
        place.mkdir()
    listening = Listening((1, 0))
    with relay.relayed(places, listening):
        (places[0, 0] / relay.FILE).write_text("{", encoding="utf-8")
        relay.Writing(places[1, 0]).epoch(1, 0, at(1, 0.05))
        assert listening.complete.wait(60)
    assert list(listening.heard) == [(1, 0)]
