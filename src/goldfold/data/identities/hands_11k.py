"""11k Hands (Afifi 2019): HandInfo.csv beside the folder of photographs, as one table.

HandInfo.csv has a row per photograph with id (of the person), accessories (0 or 1), aspectOfHand and imageName, and
other columns that are not read. Part of the data set may be there: a table HandInfo*.csv, in a folder `images`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from goldfold.data import csv_tables
from goldfold.errors import GoldfoldError
from goldfold.images import reading

ASPECTS = ("dorsal left", "dorsal right", "palmar left", "palmar right")
COLUMNS = ("id", "accessories", "aspectOfHand", "imageName")


def read(raw: Path) -> pd.DataFrame:
    """Read the photographs without accessories: id (name of the file), path, person, aspect, identity; all text.

    Person ids lose the blanks around them. An identity is a person and an aspect: hands have sides, and published
    studies train and test each aspect apart. A photograph that is listed twice is one row.

    Raises:
        GoldfoldError: `raw_data_invalid`, the table is missing, unreadable, lacks columns, has other ids than numbers
            or an unknown aspect, or no photograph is left; as `images.reading.check`, a photograph is missing.
    """
    path = next(iter(sorted(raw.glob("HandInfo*.csv"))), raw / "HandInfo.csv")
    info = _table(path)
    wrong = info[~info["id"].str.fullmatch(r"[0-9]+") | ~info["aspectOfHand"].isin(ASPECTS)]
    if len(wrong):
        found = f"id '{wrong['id'].iloc[0]}' with aspect '{wrong['aspectOfHand'].iloc[0]}'"
        raise _invalid(f"{path} must hold numbers as ids and the aspects {', '.join(ASPECTS)}, found {found}")
    info = info[info["accessories"] == "0"].drop_duplicates("imageName")
    if info.empty:
        raise _invalid(f"{path} has no photograph with accessories = 0")
    folder = next((raw / name for name in ("Hands", "images") if (raw / name).is_dir()), raw / "Hands")
    files = [folder / name for name in info["imageName"]]
    reading.check(files)
    rows = pd.DataFrame({"id": [file.stem for file in files], "path": files})
    rows["person"], rows["aspect"] = info["id"].to_numpy(), info["aspectOfHand"].to_numpy()
    return rows.assign(identity=rows["person"] + " " + rows["aspect"])


def _table(path: Path) -> pd.DataFrame:
    try:
        info = csv_tables.read(path, text=COLUMNS)
    except (OSError, ValueError) as error:
        raise _invalid(f"{path} cannot be read ({error})") from error
    if missing := [name for name in COLUMNS if name not in info]:
        raise _invalid(f"{path} has no column {', '.join(missing)}")
    return info[list(COLUMNS)].fillna("").apply(lambda column: column.str.strip())


def _invalid(what: str) -> GoldfoldError:
    return GoldfoldError("raw_data_invalid", f"{what}: put HandInfo.csv and the folder Hands of 11k Hands there")
