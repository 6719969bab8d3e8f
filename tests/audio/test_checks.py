"""What is checked in the recordings of a table before training, each with a planted case and a clean one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from made_sounds import RATE, rows, tone, write

from goldfold.audio import checks, files, pictures
from goldfold.competition import Fold, Tables
from goldfold.data import image_checks, tables
from goldfold.report.plotting import photographs
from goldfold.trust import audits
from goldfold.trust.thumbnails import thumbnails


@pytest.fixture
def data(tmp_path: Path) -> Tables:
    """Nine training recordings and three of the test table."""
    every = rows(tmp_path / "töne", 12)
    test = every[9:][["id", "path"]].reset_index(drop=True)
    return Tables(train=every[:9], test=test, sample_submission=test[["id"]])


def checked(data: Tables, folder: Path, progress=lambda *told: None) -> checks.CheckedSounds:
    hashes = [tables.content_hashes(part, ("kind",)) for part in (data.train, data.test)]
    found = checks.decode_all(data, (hashes[0], hashes[1]), folder / "kept" / "x.json", progress)
    assert found is not None
    return found


def test_sound_recordings_are_checked_once_and_have_no_findings(data: Tables, tmp_path: Path, monkeypatch) -> None:
    told: list = []
    found = checked(data, tmp_path, lambda *each: told.append(each))
    assert told == [("checking audio", 12, 12)]
    assert audits.recordings(found, "refuse") == []
    assert found.train[["rate", "channels"]].drop_duplicates().to_numpy().tolist() == [[RATE, 1]]
    assert found.train["seconds"].tolist() == pytest.approx([0.3 + 0.1 * (n % 4) for n in range(9)])
    monkeypatch.setattr(checks, "decoded", lambda path: pytest.fail("decoded twice"))
    pd.testing.assert_frame_equal(checked(data, tmp_path).train, found.train)
    assert not image_checks.are_images(data.train)
    assert not image_checks.are_windows(data.train)


def test_silent_clipped_and_mixed_recordings_are_found(data: Tables, tmp_path: Path) -> None:
    paths = data.train["path"].tolist()
    write(paths[0], np.zeros(4000))
    write(paths[1], 5 * tone(440, 0.5))
    write(paths[2], tone(440, 0.5, 16000), 16000)
    write(paths[3], np.stack([tone(440, 0.5), tone(880, 0.5)], axis=1))
    found = {each.code: each for each in audits.recordings(checked(data, tmp_path), "refuse")}
    assert found.keys() == {"silent_audio", "clipped_audio", "several_sample_rates"}
    assert "'s0'" in found["silent_audio"].message
    assert "'s1'" in found["clipped_audio"].message
    assert (
        "8,000 Hz (8 of train, 3 of test), 16,000 Hz (1 of train, 0 of test)" in found["several_sample_rates"].message
    )


def test_a_broken_recording_stops_the_run_or_is_left_out(data: Tables, tmp_path: Path) -> None:
    data.train["path"].iloc[2].write_bytes(b"RIFF")
    data.test["path"].iloc[1].write_bytes(b"")
    found = checked(data, tmp_path)
    with raises_code("unreadable_audio", "2 of 12", "'s2'", "Ton 2.wav", "on_broken=skip"):
        checks.readable(found, data, "refuse", tmp_path)
    heard = checks.readable(found, data, "skip", tmp_path)
    assert files.header(heard.test["path"].iloc[1]) == (16000, 1, 16000)
    assert heard.train["path"].iloc[3] == data.train["path"].iloc[3]
    folds = [Fold(np.arange(3, 9), np.arange(3)), Fold(np.arange(3), np.arange(3, 9))]
    kept = image_checks.without_broken(found, folds)
    assert [each.tolist() for each in kept[0]] == [[3, 4, 5, 6, 7, 8], [0, 1]]
    assert {each.code for each in audits.recordings(found, "skip")} == {"broken_audio"}
    whole = replace(data, train=data.train.drop(index=2), test=data.test.drop(index=1))
    assert checks.readable(checked(whole, tmp_path), whole, "refuse", tmp_path) is whole


def test_copies_at_another_level_and_rate_are_found_across_folds(tmp_path: Path) -> None:
    """Chirps whose pitch rises at different speeds, and a quieter copy of the first one at another rate."""
    random, paths = np.random.default_rng(0), []
    for number in range(24):
        time = np.arange(16000) / 16000
        song = np.sin(2 * np.pi * np.cumsum(random.uniform(200, 6000, 8).repeat(2000)) / 16000) * (time % 0.5 > 0.1)
        paths.append(write(tmp_path / f"{number}.wav", 0.5 * song, 16000))
    folds = [Fold(np.arange(12), np.arange(12, 24)), Fold(np.arange(12, 24), np.arange(12))]
    ids = pd.Series([f"r{number}" for number in range(24)])

    def found() -> list:
        contents = [str(path.stat().st_size) + path.read_bytes()[:200].hex() for path in paths]
        images, places = thumbnails(paths, [f"{n}{each}" for n, each in enumerate(contents)], None, 100, 100)
        return audits.near_duplicate_audio(images, places, folds, ids, pd.Series(range(24)))

    assert found() == []
    first = files.read(paths[0])[:, 0]
    write(paths[20], 0.2 * np.repeat(first, 2), 32000)
    (finding,) = found()
    assert "2 scored recordings" in finding.message
    assert "'r20'" in finding.message


def test_pictures_of_recordings_are_spectrograms(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.r_[np.zeros(8000), tone(1000, 1)])
    levels = pictures.gray(path)
    assert levels.shape == (64, 201)
    assert levels[:, 150].argmax() == pytest.approx(64 - 1 - 22, abs=2)  # 1 kHz is mel 15 of 45 up to 8 kHz
    assert levels[:, 30].max() == 0
    assert photographs.read(path, "a", private=False).shape == (128, 192, 3)
    assert photographs.read("absent.wav", "a", private=True).shape == (192, 192, 3)
