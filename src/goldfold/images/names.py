"""Tables that name images: which file is meant, however its name is written there.

Images are rows with the columns part (the folder they lie in) and name (their path below it, with slashes). Names may
be in any script; they are compared in Unicode's composed form (NFC), since archives made on macOS hold the decomposed.
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


def composed(text: str) -> str:
    """`text` in the form in which names are compared."""
    return normalize("NFC", text)


def bare(name: str) -> str:
    """`name` without its ending, folders and all."""
    return str(PurePosixPath(name).with_suffix(""))


def shortest(rows: pd.DataFrame) -> pd.Series:
    """Each image's name without ending; with its folders where these repeat; with all of it where these repeat too."""
    stems, names = rows["name"].map(lambda name: PurePosixPath(name).stem), rows["name"].map(bare)
    return next((spelt for spelt in (stems, names) if spelt.is_unique), rows["name"])


def located(asked: pd.Series, rows: pd.DataFrame, table: Path) -> np.ndarray:
    """The position in `rows` of the image that each name asks for, (n,), all names being spelt the same way.

    Names may have the ending or not, their folders or not, these with the part or not; or be numbers without their
    leading zeros. Of two images with one spelling the first is meant. `table` is where the names are from.

    Raises:
        GoldfoldError: names without an image, or two for the same.
    """
    plain = [composed(name).replace("\\", "/").removeprefix("./") for name in asked]
    found = []
    for names in zip(*map(_spellings, rows["part"], rows["name"]), strict=True):
        places = pd.Series(np.arange(len(names)), index=names)
        found.append(places[~places.index.duplicated()].reindex(plain, fill_value=-1).to_numpy())
    positions = max(found, key=lambda positions: np.count_nonzero(positions >= 0))
    if len(lost := asked[positions < 0]):
        folders = " or ".join(f"{part}/" for part in rows["part"].unique())
        raise GoldfoldError(
            f"{table} names {len(lost)} of {len(asked)} images that are not in {folders}, first '{lost.iloc[0]}': "
            "correct these names or add the images"
        )
    if len(again := asked[pd.Series(positions, asked.index).duplicated()]):
        raise GoldfoldError(f"{table} must name an image once, unlike '{again.iloc[0]}': remove its other line")
    return positions


def _spellings(part: str, name: str) -> tuple[str, ...]:
    path = PurePosixPath(name)
    number = path.stem.lstrip("0") or "0"
    return path.stem, path.name, bare(name), name, f"{part}/{bare(name)}", f"{part}/{name}", number


def table(path: Path, columns: list[str]) -> pd.DataFrame:
    """A CSV file with these columns and a row or more, all of it text; GoldfoldError for any other."""
    try:
        read = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ValueError as error:
        why = " ".join(str(error).split())
        raise GoldfoldError(f"{path} is no CSV file in utf-8 ({why}): write it as {', '.join(columns)}") from error
    if list(read.columns) != columns or not len(read):
        found = f"{', '.join(map(str, read.columns[:8]))} with {len(read)} rows"
        raise GoldfoldError(f"{path} must have the columns {', '.join(columns)} and rows, and has {found}: write it so")
    return read


def class_mapping(path: Path) -> pd.DataFrame:
    """The columns file and class of a CSV file with just these, or of JSON {file: class} or {class: [files]}.

    Raises GoldfoldError for a file of another shape.
    """
    if path.suffix == ".csv":
        return table(path, ["file", "class"])
    try:
        told = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise GoldfoldError(f"{path} is no JSON in utf-8 ({error}): mend it there") from error
    pairs = list(_pairs(told)) if isinstance(told, dict) else []
    if not pairs or not all(isinstance(text, str) for pair in pairs for text in pair):
        raise GoldfoldError(f"{path} must be {{file: class}} or {{class: [files]}}, all of it text: write it so")
    return pd.DataFrame(pairs, columns=["file", "class"])


def _pairs(told: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """(file, class) of each entry, whichever of the two is the key."""
    for key, value in told.items():
        yield from ((file, key) for file in value) if isinstance(value, list) else [(key, value)]
