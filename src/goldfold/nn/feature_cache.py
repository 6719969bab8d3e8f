"""Features of frozen models, computed once per file content and kept on disk for all folds, runs and competitions.

A store is a folder per key (what computed the features: weights, preprocessing) with shards in it: the hashes of some
files and the features of each. A shard appears whole or not at all, under the hash of its own bytes; one that no longer
has that hash counts as absent.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.images import reading as images
from goldfold.io import files

if TYPE_CHECKING:
    from torch import nn

    from goldfold.competition import Runtime

Extract = Callable[[Sequence[Path]], np.ndarray]
Progress = Callable[[int, int], None]

SHARD = 512


def cached(
    paths: Sequence[str | Path],
    extract: Extract,
    *,
    key: str,
    cache: Path,
    batch_size: int = 16,
    progress: Progress | None = None,
    dtype: type[np.floating] = np.float32,
) -> np.ndarray:
    """The features of each path, `dtype` (n, d), computing those alone that no earlier call with `key` computed.

    extract: paths -> (their number, d). It is given `batch_size` paths at a time, at the end of what is missing fewer;
        a row must not depend on the others beside it.
    key: names all that the features depend on beside the file's content; features of different keys never mix, nor do
        those of different dtypes.
    progress: told (computed so far, to compute in all) after every batch.
    """
    hashes = images.content_hashes(paths)
    folder = cache / "features" / _digest(f"{key} {np.dtype(dtype)}".encode())
    known = dict(_stored(folder))
    absent = {name: Path(path) for name, path in zip(hashes, paths, strict=True) if name not in known}
    shards = _extract(absent, partial(_features_of, extract, dtype), batch_size, progress)
    for names, features in shards:
        _write(folder, names, features)
        known |= zip(names, features, strict=True)
    return np.stack([known[name] for name in hashes])


def through(
    tower: nn.Module,
    image_size: int,
    runtime: Runtime,
    *,
    note: str = "",
    dtype: type[np.floating] = np.float32,
    change: Callable[[np.ndarray, Sequence[str]], np.ndarray] | None = None,
) -> Callable[[tuple[Path, ...]], np.ndarray]:
    """A function from paths to what a frozen tower makes of their images, `dtype` (n, d), `cached` in `runtime.cache`.

    tower: pixels uint8 (n, image_size, image_size, 3) -> features (n, ...), with a buffer or parameter to tell its
        device by. note: all that the features depend on beside weights, image size and the files' contents.
    change: such pixels, and the `images.content_hashes` of their files to draw from -> what the tower sees instead.
    """
    import torch

    from goldfold.nn.backbones import weights_hash

    tower = tower.to(runtime.device).eval()
    key = f"{weights_hash(tower)} size={image_size} {note}"
    at_once = 4 if runtime.device.type == "cpu" else 64  # on a CPU maps of more images leave the cache

    def extract(paths: Sequence[Path]) -> np.ndarray:
        shown = images.load_resized(paths, image_size)
        if change is not None:
            shown = change(shown, images.content_hashes(paths))
        pixels = torch.from_numpy(shown).to(runtime.device)
        whole = torch.autocast(runtime.device.type, enabled=False)  # what is kept must not depend on who asks
        with torch.inference_mode(), whole:
            return tower(pixels).flatten(1).cpu().numpy()

    @lru_cache(maxsize=3)  # training, validation and test rows
    def features_of(paths: tuple[Path, ...]) -> np.ndarray:
        told = partial(runtime.progress, "features")
        return cached(paths, extract, key=key, cache=runtime.cache, batch_size=at_once, progress=told, dtype=dtype)

    return features_of


def _stored(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    for shard in sorted(folder.glob("*.npz")):
        content = shard.read_bytes()
        if _digest(content) != shard.stem:
            continue
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            yield from zip(arrays["names"].tolist(), arrays["features"], strict=True)


def _extract(
    absent: dict[str, Path], extract: Extract, batch_size: int, progress: Progress | None
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Shards of about `SHARD` files and whole batches: a run that was killed goes on with the batches it had ahead."""
    names, paths = list(absent), list(absent.values())
    per_shard = max(1, SHARD // batch_size) * batch_size
    for first in range(0, len(names), per_shard):
        rows = []
        stop = min(first + per_shard, len(names))
        for start in range(first, stop, batch_size):
            rows.append(extract(paths[start : min(start + batch_size, stop)]))
            if progress is not None:
                progress(min(start + batch_size, stop), len(names))
        yield names[first:stop], np.concatenate(rows)


def _features_of(extract: Extract, dtype: type[np.floating], paths: Sequence[Path]) -> np.ndarray:
    features = np.asarray(extract(paths), dtype)
    if features.ndim != 2 or len(features) != len(paths):
        raise ValueError(f"extract must return ({len(paths)}, d) features, it returned {features.shape}")
    if not np.isfinite(features).all():
        bad = paths[int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])]
        raise GoldfoldError(
            f"features must be finite, those of '{bad}' are not; look at the file or lower the precision"
        )
    return features


def _write(folder: Path, names: list[str], features: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, names=np.array(names), features=features)
    files.write_bytes(folder / f"{_digest(buffer.getvalue())}.npz", buffer.getvalue())


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
