"""Feature cache: each file is computed once, damaged shards are recomputed, interrupted work is resumed."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import KFold

from goldfold.errors import GoldfoldError
from goldfold.images import reading
from goldfold.nn import feature_cache


def histogram(paths) -> np.ndarray:
    return np.stack([np.bincount(np.fromfile(path, np.uint8), minlength=256)[:5] for path in paths]).astype(np.float32)


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    """61 files in a folder with a Unicode name: sixty different ones and a copy of the first."""
    folder = tmp_path / "图像"
    folder.mkdir()
    rng = np.random.default_rng(0)
    made = [folder / f"{i}.bin" for i in range(61)]
    for path in made[:60]:
        path.write_bytes(rng.integers(0, 5, 40, dtype=np.uint8).tobytes())
    made[60].write_bytes(made[0].read_bytes())
    return made


class Counting:
    """`histogram` that counts how often it gets each file, and the sizes of batches."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.sizes: list[int] = []

    def __call__(self, batch) -> np.ndarray:
        self.seen.update(path.name for path in batch)
        self.sizes.append(len(batch))
        return histogram(batch)


def test_five_folds_and_a_test_set_extract_each_image_once(paths, tmp_path):
    extract = Counting()
    rows, test = np.array(paths[:50]), paths[50:]
    for train, validation in KFold(5, shuffle=True, random_state=0).split(rows):
        for subset in (rows[train], rows[validation], test):
            got = feature_cache.cached_features(subset, extract, key="k", cache=tmp_path, batch_size=8)
            assert got.dtype == np.float32
            assert np.array_equal(got, histogram(subset))
    assert len(extract.seen) == 60
    assert set(extract.seen.values()) == {1}
    assert max(extract.sizes) == 8


def test_another_key_or_content_is_computed_again(paths, tmp_path):
    extract = Counting()
    feature_cache.cached_features(paths[:4], extract, key="weights a", cache=tmp_path)
    feature_cache.cached_features(paths[:4], extract, key="weights b", cache=tmp_path)
    assert set(extract.seen.values()) == {2}
    paths[0].write_bytes(bytes(40))
    got = feature_cache.cached_features(paths[:4], extract, key="weights a", cache=tmp_path)
    assert extract.seen == {"0.bin": 3, "1.bin": 2, "2.bin": 2, "3.bin": 2}
    assert got[0].tolist() == [40, 0, 0, 0, 0]


@pytest.mark.parametrize("damage", ["cut", "changed byte", "emptied"])
def test_a_damaged_shard_is_computed_again(paths, tmp_path, damage):
    feature_cache.cached_features(paths[:30], histogram, key="k", cache=tmp_path)
    feature_cache.cached_features(paths, histogram, key="k", cache=tmp_path)
    shards = sorted(tmp_path.glob("features/*/*.npz"), key=lambda path: path.stat().st_size)
    assert len(shards) == 2
    content = bytearray(shards[0].read_bytes())
    content[-300] ^= 1
    damaged = {"cut": content[:-100], "changed byte": content, "emptied": b""}[damage]
    shards[0].write_bytes(damaged)
    extract = Counting()
    assert np.array_equal(feature_cache.cached_features(paths, extract, key="k", cache=tmp_path), histogram(paths))
    assert len(extract.seen) == 30
    again = Counting()
    feature_cache.cached_features(paths, again, key="k", cache=tmp_path)
    assert not again.seen


def test_interrupted_work_resumes_with_the_same_batches(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "SHARD", 16)
    whole, first, second = Counting(), Counting(), Counting()
    feature_cache.cached_features(paths, whole, key="whole", cache=tmp_path, batch_size=8)
    assert whole.sizes == [8] * 7 + [4]

    def stopped(batch):
        if len(first.sizes) == 5:
            raise KeyboardInterrupt
        return first(batch)

    with pytest.raises(KeyboardInterrupt):
        feature_cache.cached_features(paths, stopped, key="k", cache=tmp_path, batch_size=8)
    got = feature_cache.cached_features(paths, second, key="k", cache=tmp_path, batch_size=8)
    assert np.array_equal(got, histogram(paths))
    assert second.sizes == whole.sizes[4:]  # two shards of two batches were kept, the fifth batch was lost


def extract_in_process(paths: list[Path], cache: Path) -> np.ndarray:
    return feature_cache.cached_features(paths, histogram, key="k", cache=cache, batch_size=4)


def test_processes_may_share_a_cache(paths, tmp_path):
    with ProcessPoolExecutor(2) as pool:
        results = list(pool.map(extract_in_process, [paths, paths[::-1], paths[:40]], [tmp_path] * 3))
    assert np.array_equal(results[0], histogram(paths))
    assert np.array_equal(results[1], histogram(paths[::-1]))
    assert not list(tmp_path.glob("features/*/*.partial"))
    served = Counting()
    assert np.array_equal(feature_cache.cached_features(paths, served, key="k", cache=tmp_path), histogram(paths))
    assert not served.seen


def test_progress_counts_computed_files_only(paths, tmp_path):
    told: list[tuple[int, int]] = []
    feature_cache.cached_features(paths[:10], histogram, key="k", cache=tmp_path)
    feature_cache.cached_features(
        paths[:35], histogram, key="k", cache=tmp_path, batch_size=10, progress=lambda *at: told.append(at)
    )
    assert told == [(10, 25), (20, 25), (25, 25)]


def test_features_that_are_not_finite_name_the_file(paths, tmp_path):
    def broken(batch):
        made = histogram(batch)
        made[2] = np.nan
        return made

    with pytest.raises(GoldfoldError, match=r"2\.bin") as error:
        feature_cache.cached_features(paths, broken, key="k", cache=tmp_path)
    assert error.value.code == "features_not_finite"


def test_batches_are_loaded_as_they_are_extracted_and_a_file_that_breaks_is_named(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "SHARD", 16)
    asked: list[tuple[int, bool]] = []

    def load(batch):
        asked.append((len(batch), threading.current_thread() is threading.main_thread()))
        return [reading.read(path) if path.suffix == ".png" else np.fromfile(path, np.uint8) for path in batch]

    def extract(loaded):
        return np.stack([np.bincount(each.ravel(), minlength=256)[:5] for each in loaded]).astype(np.float32)

    got = feature_cache.cached_features(paths, extract, key="k", cache=tmp_path, batch_size=8, load=load)
    assert np.array_equal(got, histogram(paths))
    assert asked == [(8, False)] * 7 + [(4, False)]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    new = [tmp_path / f"new {number}.bin" for number in range(20)]
    for number, path in enumerate(new):
        path.write_bytes(bytes([number % 5] * (number + 1)))
    with pytest.raises(GoldfoldError, match=r"broken\.png") as error:
        feature_cache.cached_features([*new, broken], extract, key="k", cache=tmp_path, batch_size=8, load=load)
    assert error.value.code == "unreadable_image"
    asked.clear()
    feature_cache.cached_features(new, extract, key="k", cache=tmp_path, batch_size=8, load=load)
    assert asked == [(4, False)], "the shard before the broken file was kept"
