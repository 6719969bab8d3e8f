"""Decode every audio file of the tables once, before anything is trained, and keep what was found by content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from goldfold.audio import files
from goldfold.competition import Tables
from goldfold.errors import GoldfoldError
from goldfold.images.reading import THREADS
from goldfold.io.files import read_json, write_bytes, write_json

if TYPE_CHECKING:
    from pandas import DataFrame, Series

TOLD = 64  # files between two reports of progress
BLOCK = 2**20  # frames that are decoded at a time
FULL_SCALE = 0.999  # from which a sample counts as cut off
FACTS = ("rate", "channels", "seconds", "peak", "clipped")
SILENT_WAV = "silent.wav"


@dataclass(frozen=True)
class CheckedSounds:
    """What decoding found.

    train, test: a row per recording, in the order of the tables, with the columns id, path, problem (why it cannot be
        used, or None), rate (Hz), channels, seconds, peak (largest sample of 1), clipped (share of samples at full
        scale); numbers are NaN where unknown.
    """

    train: DataFrame
    test: DataFrame

    def broken(self, part: Literal["train", "test"]) -> np.ndarray:
        """Positions of the rows that have a problem, int64."""
        return np.flatnonzero(getattr(self, part)["problem"].notna())


def are_sounds(rows: DataFrame) -> bool:
    """Whether the files in `path` are recordings of sound, by their suffixes."""
    return "path" in rows and all(map(files.is_sound, rows["path"]))


def decode_all(
    tables: Tables, contents: tuple[Series, Series], kept: Path, progress: Callable[[str, int, int], None]
) -> CheckedSounds | None:
    """Decode each file of `path` that `kept` does not know by its content; None if the files are no recordings.

    contents: hashes of the train and test files. kept: a JSON file of sound contents, rewritten for these tables.
    """
    if not are_sounds(tables.train):
        return None
    from filelock import FileLock

    parts = tables.train, tables.test
    jobs = [list(zip(hashes, rows.get("path", ()), strict=True)) for rows, hashes in zip(parts, contents, strict=True)]
    kept.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(kept.with_suffix(".lock")):  # the processes of a distributed run decode once
        known = _read(kept)
        new = {key: path for key, path in chain(*jobs) if key not in known}
        found = known | dict(zip(new, _in_threads(list(new.values()), progress), strict=True))
        facts = {key: found[key] for key, _ in chain(*jobs)}
        if new or len(facts) < len(known):
            write_json(kept, {key: fact for key, fact in facts.items() if "problem" not in fact})
    frames = (_facts(rows, [facts[key] for key, _ in own]) for rows, own in zip(parts, jobs, strict=True))
    return CheckedSounds(*frames)


def _read(kept: Path) -> dict[str, dict[str, Any]]:
    try:
        found = read_json(kept, dict)
    except GoldfoldError:
        return {}  # absent, or damaged: decode again
    return {key: facts for key, facts in found.items() if isinstance(facts, dict) and facts.keys() >= set(FACTS)}


def _facts(rows: DataFrame, facts: Sequence[dict[str, Any]]) -> DataFrame:
    from pandas import DataFrame

    found = DataFrame(facts, columns=["problem", *FACTS])
    return found.assign(id=rows["id"].tolist(), path=rows["path"].tolist()).astype({"problem": object})


def _in_threads(paths: Sequence[Path], progress: Callable[[str, int, int], None]) -> list[dict[str, Any]]:
    found = []
    with ThreadPoolExecutor(THREADS) as pool:
        for done, facts in enumerate(pool.map(decoded, paths), 1):
            found.append(facts)
            if done % TOLD == 0 or done == len(paths):
                progress("checking audio", done, len(paths))
    return found


def decoded(path: str | Path) -> dict[str, Any]:
    """What is found in a file, block by block: `FACTS`, or the problem that prevents its use.

    Raises:
        GoldfoldError: `package_missing`.
    """
    try:
        header = files.header(path)
        peak, clipped, found = 0.0, 0, 0
        while found < header.frames:
            samples = files.read(path, found, BLOCK)
            if not len(samples):
                return {"problem": f"it ends after {found:,} of {header.frames:,} samples"}
            if not np.isfinite(samples).all():
                return {"problem": "its samples contain NaN or infinity"}
            level = np.abs(samples)
            peak, clipped = max(peak, float(level.max())), clipped + int((level >= FULL_SCALE).any(1).sum())
            found += len(samples)
    except GoldfoldError as error:
        if error.code != "unreadable_audio":
            raise
        return {"problem": error.message.partition("cannot be read (")[2].partition("): replace it")[0]}
    rate, channels, frames = header
    return {
        "rate": rate,
        "channels": channels,
        "seconds": frames / rate,
        "peak": peak,
        "clipped": clipped / frames,
    }


def readable(checked: CheckedSounds, tables: Tables, on_broken: str, cache: Path) -> Tables:
    """Return the tables that are trained on, with a second of silence in place of broken recordings.

    Raises:
        GoldfoldError: `unreadable_audio`, files are broken, and on_broken is `refuse`.
    """
    lists = [("train", checked.train), ("test", checked.test)]
    bad = [(part, row) for part, rows in lists for row in rows[rows["problem"].notna()].itertuples()]
    if not bad:
        return tables
    if on_broken == "refuse":
        part, row = bad[0]
        raise GoldfoldError(
            "unreadable_audio",
            f"{len(bad)} of {sum(len(rows) for _, rows in lists)} audio files cannot be used, first of {part} id "
            f"{row.id!r}, '{row.path}' ({row.problem}): replace the files, or set on_broken=skip (broken training rows "
            "are left out of every fold, broken test recordings are predicted from silence)",
        )
    silence = _silence(cache)
    replaced = {
        part: getattr(tables, part).assign(path=rows["path"].where(rows["problem"].isna(), silence).tolist())
        for part, rows in lists
    }
    return replace(tables, **replaced)


def _silence(cache: Path) -> Path:
    """A WAV file with a second of silence at 16 kHz."""
    import io

    from scipy.io import wavfile

    place = cache / SILENT_WAV
    if not place.exists():
        content = io.BytesIO()
        wavfile.write(content, 16000, np.zeros(16000, np.int16))
        write_bytes(place, content.getvalue())
    return place
