"""A folder of one's own windows: a `.npz` file per window, an archive with an index, or recordings that are cut.

`index.csv` names the windows: id, label, perhaps group, and where each one is:

- file: its own `.npz` file in the folder;
- file and key: arrays `KEY/features`, `KEY/mask` ... of an archive;
- file and offset: entry `offset`, from 0, of an archive's stacked `features` (N, T, F), `mask` (N, T) ...

Without an index each file is a window, whose label is in the file. `windows.yaml` cuts recordings by `length` and
`stride` in frames; their `label` may then have a value per frame, whose majority is the window's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import yaml
from pydantic import Field, ValidationError

from goldfold.errors import GoldfoldError, unknown
from goldfold.images import names as image_names
from goldfold.params import Params
from goldfold.sequences import slicing, windows
from goldfold.sequences.windows import Window

INDEX, CUTTING = "index.csv", "windows.yaml"
PER_FRAME = ("features", "mask", "joints", "skeleton", "confidence")


class Cutting(Params):
    """How recordings are cut into windows; length 0: they are windows already."""

    length: Annotated[int, Field(ge=0)] = 0
    stride: Annotated[int, Field(ge=1)] = 1


class Entry(NamedTuple):
    """A window; group: what it was cut from or belongs to, its own id if nothing says so. start: its first frame."""

    id: str
    group: str
    start: int
    label: Any
    arrays: Mapping[str, np.ndarray]

    @property
    def window(self) -> Window:
        """The checked window."""
        return windows.checked(self.arrays, f"window '{self.id}'")


def entries(folder: Path) -> Iterator[Entry]:
    """Yield the windows of a folder, in the order of the index or of the file names.

    Raises:
        GoldfoldError: `no_windows`; `window_settings_invalid`; `index_invalid`; `group_missing`, a window of the index
            has an empty group; `unknown_array`, a key is not in its archive; `label_missing`; those of `windows.read`.
    """
    cutting = _cutting(folder / CUTTING)
    whole = _indexed(folder) if (folder / INDEX).exists() else _files(folder)
    for entry in whole:
        yield from _cut(entry, cutting) if cutting.length else [_labeled(entry)]


def _cutting(path: Path) -> Cutting:
    try:
        return Cutting(**((yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}))
    except (ValidationError, yaml.YAMLError, TypeError) as error:
        told = " ".join(str(error).split())[:200]
        raise GoldfoldError(
            "window_settings_invalid",
            f"{path} must hold length (frames) and stride (frames, at least 1), not: {told}",
        ) from None


def _files(folder: Path) -> Iterator[Entry]:
    found = sorted(folder.glob("[!.]*.npz"))
    if not found:
        raise GoldfoldError(
            "no_windows", f"{folder} has no .npz files: put one per window there, or an archive with {INDEX}"
        )
    for path in found:
        arrays = windows.arrays_of(path)
        name = image_names.to_nfc(path.stem)
        yield Entry(name, name, 0, arrays.get("label"), arrays)


def _indexed(folder: Path) -> Iterator[Entry]:
    index = folder / INDEX
    rows = _read_index(index)
    archive = lru_cache(maxsize=1)(windows.arrays_of)
    for row in rows.to_dict("records"):
        arrays = archive(folder / row["file"])
        if "key" in row:
            arrays = _at_key(arrays, row["key"], row["file"])
        elif "offset" in row:
            arrays = _at_offset(arrays, int(row["offset"]), row["file"])
        label = row.get("label", arrays.get("label"))
        yield Entry(row["id"], row.get("group", row["id"]), 0, label, arrays)


def _read_index(path: Path) -> pd.DataFrame:
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ValueError as error:  # pandas raises ValueErrors for files that are not CSV
        raise GoldfoldError("index_invalid", f"{path} is not a CSV file ({error}): save it as one") from error
    for column in ("id", "file"):
        if column not in rows:
            raise unknown(f"column of {path}", column, rows.columns, code="index_invalid")
    for column in rows.columns.intersection(["id", "file", "key", "offset", "group", "label"]):
        empty = np.flatnonzero(rows[column].str.strip() == "")
        if len(empty):
            raise GoldfoldError(
                "group_missing" if column == "group" else "index_invalid",
                f"{path} line {empty[0] + 2} has no {column}: fill it, or leave the column out for all windows",
            )
    faulty = rows["id"].duplicated()
    folder = path.parent.resolve()
    outside = [name for name in rows["file"] if not (folder / name).resolve().is_relative_to(folder)]
    if outside:
        raise GoldfoldError("index_invalid", f"{path} names '{outside[0]}' outside its folder: copy that file into it")
    if "offset" in rows:
        faulty |= ~rows["offset"].str.fullmatch(r"\d+")
    if faulty.any():
        raise GoldfoldError(
            "index_invalid",
            f"{path} line {int(faulty.argmax()) + 2} repeats an id, or its offset is no whole number: correct it",
        )
    return rows


def _at_key(arrays: Mapping[str, np.ndarray], key: str, file: str) -> dict[str, np.ndarray]:
    found = {name.removeprefix(f"{key}/"): array for name, array in arrays.items() if name.startswith(f"{key}/")}
    if not found:
        keys = {name.rpartition("/")[0] for name in arrays} - {""}
        raise unknown(f"window in '{file}'", key, keys, code="unknown_array")
    return found


def _at_offset(arrays: Mapping[str, np.ndarray], offset: int, file: str) -> dict[str, np.ndarray]:
    stacked = {name: array for name, array in arrays.items() if array.ndim}
    count = min(map(len, stacked.values()), default=0)
    if offset >= count:
        raise GoldfoldError(
            "index_invalid", f"offset {offset} is not in '{file}', which has {count} windows: count from 0"
        )
    return {name: array[offset] for name, array in stacked.items()}


def _labeled(entry: Entry, label: Any = None) -> Entry:
    """The entry with its label as a Python value."""
    given = np.asarray(entry.label if label is None else label)
    if given.ndim or given.dtype == object or not str(given):
        raise GoldfoldError(
            "label_missing",
            f"window '{entry.id}' has no single label: save `label` in its file, or a column label in {INDEX}",
        )
    return entry._replace(label=given.item())


def _cut(entry: Entry, cutting: Cutting) -> Iterator[Entry]:
    """The windows of a recording; each one has the recording's group."""
    frames = len(entry.window.features)
    for start in slicing.starts(frames, cutting.length, cutting.stride).tolist():
        part = slice(start, start + cutting.length)
        arrays = {name: array[part] if name in PER_FRAME else array for name, array in entry.arrays.items()}
        own = entry._replace(id=f"{entry.id}_{start:06d}", start=start, arrays=arrays)
        yield _labeled(own, _majority(entry.label, part))


def _majority(labels: Any, part: slice) -> Any:
    """The most frequent label of a window, the smallest of several; a recording may have one label for all frames."""
    if labels is None or not np.ndim(labels):
        return labels
    values, counts = np.unique(np.asarray(labels)[part], return_counts=True)
    return values[counts.argmax()]
