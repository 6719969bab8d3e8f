"""Find the images that a table names, however the names are spelled.

Images are rows with the columns `part` (the folder that contains them) and `name` (the path below it, with slashes).
Names may use any script. They are compared in Unicode's composed form (NFC), since archives made on macOS contain the
decomposed form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from unicodedata import normalize

import numpy as np
import pandas as pd

from goldfold.errors import GoldfoldError


def to_nfc(text: str) -> str:
    """Return `text` in Unicode's composed form, in which names are compared."""
    return normalize("NFC", text)


def without_suffix(name: str) -> str:
    """Return `name` without its file extension; folders stay.

    >>> without_suffix("good/001.png")
    'good/001'
    """
    return str(PurePosixPath(name).with_suffix(""))


def shortest_unique(rows: pd.DataFrame) -> pd.Series:
    """Return the shortest unique name of each image: the stem, else folders and stem, else the full name."""
    stems, names = rows["name"].map(lambda name: PurePosixPath(name).stem), rows["name"].map(without_suffix)
    return next((spelled for spelled in (stems, names) if spelled.is_unique), rows["name"])


def find_images(names: pd.Series, rows: pd.DataFrame, table: Path) -> np.ndarray:
    """Return the position in `rows` of the image that each name means, int64 (n,).

    names: all spelled the same way: with or without the extension, with or without folders, folders with or without
        the part, or numbers without their leading zeros. If two images share a spelling, the first one is meant.
    table: file that the names are from, for messages.

    Raises GoldfoldError for names without an image, and for two names of one image.
    """
    plain = [to_nfc(name).replace("\\", "/").removeprefix("./") for name in names]
    found = []
    for spelled in zip(*map(_spellings, rows["part"], rows["name"]), strict=True):
        places = pd.Series(np.arange(len(spelled)), index=spelled)
        found.append(places[~places.index.duplicated()].reindex(plain, fill_value=-1).to_numpy())
    positions = max(found, key=lambda positions: np.count_nonzero(positions >= 0))
    missing = names[positions < 0]
    if len(missing):
        folders = " or ".join(f"{part}/" for part in rows["part"].unique())
        raise GoldfoldError(
            "image_not_found",
            f"{table} names {len(missing)} of {len(names)} images that are not in {folders}, first "
            f"'{missing.iloc[0]}': correct these names or add the images",
        )
    repeated = names[pd.Series(positions, names.index).duplicated()]
    if len(repeated):
        raise GoldfoldError(
            "image_named_twice",
            f"{table} names the image '{repeated.iloc[0]}' more than once: remove all but one of its lines",
        )
    return positions


def _spellings(part: str, name: str) -> tuple[str, ...]:
    """All spellings by which a table may name an image."""
    path = PurePosixPath(name)
    number = path.stem.lstrip("0") or "0"
    return path.stem, path.name, without_suffix(name), name, f"{part}/{without_suffix(name)}", f"{part}/{name}", number


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a CSV file in UTF-8 with exactly these columns and at least one row, all values as text.

    Raises GoldfoldError for any other file.
    """
    try:
        read = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise GoldfoldError(
            "not_csv", f"{path} is not a CSV file in UTF-8 ({reason}): write it with the columns {', '.join(columns)}"
        ) from error
    if list(read.columns) != columns or not len(read):
        found = f"{', '.join(map(str, read.columns[:8]))} with {len(read)} rows"
        raise GoldfoldError(
            "wrong_columns",
            f"{path} has the columns {found}: give it the columns {', '.join(columns)} and at least one row",
        )
    return read


def read_class_mapping(path: Path) -> pd.DataFrame:
    """Read the columns `file` and `class` of a CSV file, or of JSON {file: class} or {class: [files]}.

    Raises GoldfoldError for a file of another shape.
    """
    if path.suffix == ".csv":
        return read_table(path, ["file", "class"])
    try:
        mapping = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise GoldfoldError("not_json", f"{path} is not JSON in UTF-8 ({error}): fix it there") from error
    pairs = list(_pairs(mapping)) if isinstance(mapping, dict) else []
    if not pairs or not all(isinstance(text, str) for pair in pairs for text in pair):
        raise GoldfoldError(
            "wrong_class_mapping",
            f"{path} is not a mapping of files to classes: write {{file: class}} or {{class: [files]}}, all as text",
        )
    return pd.DataFrame(pairs, columns=["file", "class"])


def _pairs(mapping: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """(file, class) of each entry, whichever of the two is the key."""
    for key, value in mapping.items():
        yield from ((file, key) for file in value) if isinstance(value, list) else [(key, value)]
