"""Market-1501 and its layout: person and camera in names of photographs, such as 0002_c1s1_000451_03.jpg.

`bounding_box_train` is for training. `query` is searched in `bounding_box_test`, where person -1 marks junk, which no
evaluation counts, and 0000 distractors, which are of nobody in `query`. DukeMTMC-reID has the same layout; other names
of folders and files can be passed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from goldfold.errors import GoldfoldError

PARTS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
NAME = r"(?P<person>-1|\d+)_c(?P<camera>\d+).*"
SUFFIXES = (".jpg", ".jpeg", ".png")
JUNK, DISTRACTOR = "-1", "0000"


def read(raw: Path, parts: Mapping[str, str] = PARTS, name: str = NAME) -> pd.DataFrame:
    """Read the photographs below `raw`, sorted by part and name: id, path, part, person, camera; all text but path.

    parts: part -> folder; `query` and `gallery` are the names of the parts that are compared. name: a regular
    expression of file names without suffix, with the groups person and camera. Junk has no rows. The id is part and
    name, since a photograph may be a query and in the gallery.

    Raises:
        GoldfoldError: `raw_data_invalid`, a folder has no photographs, a name has another form, a person is both in
            train and in another part, or a query has no photograph of another camera in the gallery.
    """
    rows = pd.concat([_part(raw / folder, part, name) for part, folder in parts.items()], ignore_index=True)
    rows = rows[rows["person"] != JUNK].reset_index(drop=True)
    _check_persons(rows)
    _check_queries(rows)
    return rows


def _part(folder: Path, part: str, name: str) -> pd.DataFrame:
    files = sorted(path for path in folder.glob("[!.]*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise _invalid(f"{folder} has no photographs")
    found = [re.fullmatch(name, path.stem) for path in files]
    if None in found:
        raise _invalid(f"{files[found.index(None)]} has another name than <person>_c<camera>...")
    rows = [match.groupdict() for match in found if match]
    table = pd.DataFrame({"id": [f"{part}/{path.stem}" for path in files], "path": files, "part": part})
    return table.assign(**{key: [row[key] for row in rows] for key in ("person", "camera")})


def _check_persons(rows: pd.DataFrame) -> None:
    trained = set(rows.loc[rows["part"] == "train", "person"]) - {DISTRACTOR}
    both = rows[(rows["part"] != "train") & rows["person"].isin(trained)]
    if len(both):
        raise _invalid(
            f"{both['person'].nunique()} persons are both in training and among queries and gallery, the first "
            f"{both['person'].iloc[0]}, where scores need persons that were not trained on"
        )


def _check_queries(rows: pd.DataFrame) -> None:
    gallery = rows[rows["part"] == "gallery"].groupby("person")["camera"].agg(set)
    asked = rows[rows["part"] == "query"]
    lonely = [not gallery.get(person, set()) - {camera} for person, camera in asked[["person", "camera"]].to_numpy()]
    if any(lonely):
        raise _invalid(
            f"{sum(lonely)} queries, the first '{asked['id'][lonely].iloc[0]}', have no photograph of their person by "
            "another camera in the gallery, so they cannot be scored: remove them"
        )


def _invalid(what: str) -> GoldfoldError:
    return GoldfoldError("raw_data_invalid", f"{what}: see the layout of Market-1501 in docs/retrieval.md")
