"""Feature cache of frozen models: each file or text is embedded once, for all folds, runs and competitions.

The cache has a folder per key; the key identifies what computed the features (weights, preprocessing). A folder
contains shards: the content hashes of some files or texts and the features of each. A shard is written whole or not at
all, and named after the hash of its own bytes; a shard whose hash no longer matches is ignored.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.images import reading
from goldfold.images.resized_images import Key, file_key
from goldfold.images.sizes import Size, height_and_width
from goldfold.io import files
from goldfold.io.ahead import one_ahead
from goldfold.io.clock import CLOCK

if TYPE_CHECKING:
    from torch import nn

    from goldfold.competition import Runtime

Extract = Callable[[Any], np.ndarray]
Load = Callable[[Sequence[Any]], Any]
Progress = Callable[[int, int], None]

SHARD = 512  # files or texts per shard
# Images at once on a CPU. It is fixed, not measured on each machine, since features of other batches round differently:
# runs would differ by machine. No number is the fastest for all backbones (`benchmarks/feature_batches.py`).
ON_CPU = 8
COMPUTED = f"norms and paddings folded, {ON_CPU} at once"  # part of the key: anything else rounds otherwise
SHOWN = 200  # characters of a path or text in a message
_INTACT: set[Key | None] = set()  # shards that this process has found intact, as they were then
_ASKED: ContextVar[list[tuple[str, np.ndarray]] | None] = ContextVar("features that were asked for", default=None)


@contextmanager
def watching() -> Iterator[list[tuple[str, np.ndarray]]]:
    """Collect what is asked of the cache inside the block: the name of each key's folder and the features (n, d)."""
    asked: list[tuple[str, np.ndarray]] = []
    before = _ASKED.set(asked)
    try:
        yield asked
    finally:
        _ASKED.reset(before)


def cached_features(
    paths: Sequence[str | Path],
    extract: Extract,
    *,
    key: str,
    cache: Path,
    batch_size: int = 16,
    load: Load = list,
    progress: Progress | None = None,
    dtype: type[np.floating] = np.float32,
) -> np.ndarray:
    """Return the features of each path, `dtype` (n, d); only those that are not in the cache yet are computed.

    extract: what `load` returns -> features (number of paths, d). A row must not depend on the other rows of its batch.
    load: paths -> what `extract` needs of them, such as their pixels; by default the paths. It gets `batch_size` paths
        at a time, the last time perhaps fewer, and runs in a thread, a batch ahead of `extract`.
    key: identifies everything but the file's content that the features depend on. Features of different keys or dtypes
        are never mixed.
    cache: folder of the cache; features are stored in its folder `features`.
    progress: called with (number computed, number to compute) after every batch.

    Raises GoldfoldError for files that cannot be read and for features that are not finite.
    """
    items = list(zip(reading.content_hashes(paths), map(Path, paths), strict=True))
    return cached_by_hash(
        items, extract, key=key, cache=cache, batch_size=batch_size, load=load, progress=progress, dtype=dtype
    )


def cached_by_hash(
    items: Sequence[tuple[str, Any]],
    extract: Extract,
    *,
    key: str,
    cache: Path,
    batch_size: int,
    load: Load = list,
    progress: Progress | None = None,
    dtype: type[np.floating] = np.float32,
) -> np.ndarray:
    """Return the features of each item, `dtype` (n, d), as `cached_features` does; at least one item.

    items: the hash of each item's content, and what `load` gets.
    """
    folder = cache / "features" / _digest(f"{key} {np.dtype(dtype)}".encode())
    with CLOCK.phase("features"):
        known = dict(stored(folder))
        missing = {name: item for name, item in items if name not in known}
        shards = _extract(missing, load, partial(_features_of, extract, dtype), batch_size, progress)
        for names, features in shards:
            _write(folder, names, features)
            known |= zip(names, features, strict=True)
        found = np.stack([known[name] for name, _ in items])
    if (asked := _ASKED.get()) is not None:
        asked.append((folder.name, found))
    return found


def cached_extractor(
    model: nn.Module,
    image_size: Size,
    runtime: Runtime,
    *,
    note: str = "",
    dtype: type[np.floating] = np.float32,
    transform: Callable[[np.ndarray, Sequence[str]], np.ndarray] | None = None,
) -> Callable[[tuple[Path, ...]], np.ndarray]:
    """Return a function from paths to a frozen model's features, `dtype` (n, d), cached in `runtime.cache`.

    model: pixels uint8 (n, height, width, 3) of `image_size` -> features (n, ...). It is moved to `runtime.device`.
    note: everything that the features depend on besides weights, image size and file contents.
    transform: (pixels, content hashes of the files) -> the pixels that the model sees instead.
    """
    import torch

    from goldfold.nn import folding
    from goldfold.nn.backbones import weights_hash
    from goldfold.nn.batches import rows_at_once

    model = model.to(runtime.device).eval()
    key = f"{weights_hash(model)} size={image_size} {note} {COMPUTED}"
    most = ON_CPU if runtime.device.type == "cpu" else 64
    batch_size = rows_at_once(most, max(height_and_width(image_size)), runtime.device)

    def load(paths: Sequence[Path]) -> np.ndarray:
        pixels = reading.load_resized(paths, image_size)
        return pixels if transform is None else transform(pixels, reading.content_hashes(paths))

    @cache
    def folded() -> nn.Module:
        return folding.fold_for_images(model, height_and_width(image_size), runtime.device)

    def extract(pixels: np.ndarray) -> np.ndarray:
        # cached values must not depend on the caller's precision
        full_precision = torch.autocast(runtime.device.type, enabled=False)
        with torch.inference_mode(), full_precision:
            return folded()(torch.from_numpy(pixels).to(runtime.device)).flatten(1).cpu().numpy()

    @lru_cache(maxsize=3)  # training, validation and test rows
    def features_of(paths: tuple[Path, ...]) -> np.ndarray:
        progress = partial(runtime.progress, "features")
        return cached_features(
            paths,
            extract,
            load=load,
            key=key,
            cache=runtime.cache,
            batch_size=batch_size,
            progress=progress,
            dtype=dtype,
        )

    return features_of


def stored(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the content hash and the features of each item in the intact shards of a folder of the cache."""
    for shard in sorted(folder.glob("*.npz")):
        key, content = file_key(shard), shard.read_bytes()
        if key not in _INTACT and _digest(content) != shard.stem:
            continue
        _INTACT.add(key)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            yield from zip(arrays["names"].tolist(), arrays["features"], strict=True)


def _extract(
    missing: dict[str, Any],
    load: Load,
    features_of: Callable[[Sequence[Any], Any], np.ndarray],
    batch_size: int,
    progress: Progress | None,
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Names and features of each shard of about `SHARD` items, in whole batches.

    A run that was killed continues after its last shard with the same batches.
    """
    names, items = list(missing), list(missing.values())
    per_shard = max(1, SHARD // batch_size)  # batches
    batches = [items[start : start + batch_size] for start in range(0, len(items), batch_size)]
    rows: list[np.ndarray] = []
    with closing(one_ahead(load, batches)) as loaded:
        for number, (batch, given) in enumerate(zip(batches, loaded, strict=True), 1):
            rows.append(features_of(batch, given))
            done = min(number * batch_size, len(names))
            if progress is not None:
                progress(done, len(names))
            if number % per_shard == 0 or number == len(batches):
                yield names[done - sum(map(len, rows)) : done], np.concatenate(rows)
                rows = []


def _features_of(extract: Extract, dtype: type[np.floating], items: Sequence[Any], loaded: Any) -> np.ndarray:
    """Extract and check the features of a batch."""
    features = np.asarray(extract(loaded), dtype)
    if features.ndim != 2 or len(features) != len(items):
        raise ValueError(f"extract must return ({len(items)}, d) features, it returned {features.shape}")
    if not np.isfinite(features).all():
        bad = items[int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])]
        raise GoldfoldError(
            "features_not_finite",
            f"the features of '{bad!s:.{SHOWN}}' contain NaN or infinity: look at it, or use a higher precision",
        )
    return features


def _write(folder: Path, names: list[str], features: np.ndarray) -> None:
    """Write a shard under the hash of its bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, names=np.array(names), features=features)
    files.write_bytes(folder / f"{_digest(buffer.getvalue())}.npz", buffer.getvalue())


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
