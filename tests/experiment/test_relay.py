"""Progress of fits in other processes reaches the run's observer while they train, and leaves no files behind."""

from __future__ import annotations

import threading
from pathlib import Path

from goldfold.experiment.executors import relay
from goldfold.io.progress import EpochProgress, Observer


class Listening(Observer):
    """Keeps what it hears; `of[fold]` is set as soon as it has heard of the fold."""

    def __init__(self, folds: int) -> None:
        self.heard: dict[int, EpochProgress] = {}
        self.of = [threading.Event() for _ in range(folds)]

    def epoch(self, fold: int, seed: int, progress: EpochProgress) -> None:
        self.heard[fold] = progress
        self.of[fold].set()


def at(epoch: int, done: float) -> EpochProgress:
    return EpochProgress("fit", epoch, 20, done, 0.5, {"metric": 0.7})


def test_what_fits_write_is_reported_with_the_sum_of_their_shares(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(relay, "SECONDS", 0.01)
    places = {(fold, 0): tmp_path / f"fold{fold}-seed0" for fold in range(3)}
    for place in places.values():
        place.mkdir()
    relay.Writing(places[2, 0]).epoch(2, 0, at(7, 0.35))  # of a process that was killed in an earlier start
    listening, second = Listening(3), relay.Writing(places[1, 0])
    with relay.relayed(places, listening):
        relay.Writing(places[0, 0]).epoch(0, 0, at(3, 0.25))
        assert listening.of[0].wait(60)
        second.epoch(1, 0, at(2, 0.5))
        assert listening.of[1].wait(60)
    assert listening.heard == {0: EpochProgress("fit", 3, 20, 0.25, 0.5), 1: EpochProgress("fit", 2, 20, 0.75, 0.5)}
    assert not any((place / relay.FILE).exists() for place in places.values())


def test_a_damaged_file_of_a_fit_is_passed_over(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(relay, "SECONDS", 0.01)
    places = {(fold, 0): tmp_path / str(fold) for fold in range(2)}
    for place in places.values():
        place.mkdir()
    listening = Listening(2)
    with relay.relayed(places, listening):
        (places[0, 0] / relay.FILE).write_text("{", encoding="utf-8")
        relay.Writing(places[1, 0]).epoch(1, 0, at(1, 0.05))
        assert listening.of[1].wait(60)
    assert list(listening.heard) == [1]
