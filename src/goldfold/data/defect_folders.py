"""Folders of images without and with defects as tables: a homework's train and test folders, and MVTec AD's layout.

Images are the files that end in one of `SUFFIXES`, in any case; hidden files and `__MACOSX` are passed over, folders
may be links, rows follow the names. Names may be in any script.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from goldfold.competition import Tables
from goldfold.errors import GoldfoldError
from goldfold.images import names as image_names
from goldfold.images import reading as images

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
UNKNOWN = "?"  # the class of an image of which nothing tells it: no folder is called so, and a CSV file keeps it
GOOD = "good"
TEXT = ("id", "class", "part", "kind")  # columns that stay text when read again: 007 keeps its zeros, a class may be NA


def homework(raw: Path) -> Tables:
    """A Kaggle homework: `train/` of normal images, `test/` of unlabelled ones, `sample_submission.csv` or none.

    Both tables have the columns id, path and class, all text but `path`.
    class: as `classes.csv` (columns file, class) or `classes.json` ({file: class} or {class: [files]}) says where there
        is one, else the first folder below train or test; `UNKNOWN` where neither tells. The mapping must name every
        training image and may name test images; one it does not name keeps its folder. A file may be written with its
        folders or without, with its ending or without; a name that fits in both is the training image's.
    id: in the test table as the sample submission, whose order the rows take, writes it: any of these spellings, or a
        number without its leading zeros. Else the name without ending, with its folders where names repeat.

    Raises:
        GoldfoldError: no or unreadable images, a single normal one; a mapping or sample submission of another shape,
            that names images which do not exist, names one twice, or leaves some out.
    """
    train, test = (_images(raw / part).assign(part=part) for part in ("train", "test"))
    if len(train) < 2:
        raise GoldfoldError(
            f"{raw / 'train'} has one normal image only, which cannot be both learnt from and scored: add more"
        )
    rows = pd.concat([train, test], ignore_index=True)
    rows["class"] = _classes(raw, rows)
    train, test = rows[: len(train)], rows[len(train) :].reset_index(drop=True)
    train = train.assign(id=image_names.shortest_unique(train))
    test, sample = _asked_for(raw / "sample_submission.csv", test)
    columns = ["id", "path", "class"]
    return Tables(train=train[columns], test=test[columns], sample_submission=sample)


def mvtec(raw: Path) -> pd.DataFrame:
    """MVTec AD's layout: `<class>/train/good`, `<class>/test/<kind>`, `<class>/ground_truth/<kind>/<stem>_mask.png`.

    A row per image that is no mask: name (its path below `raw`), class, part ("train" or "test"), kind (`GOOD` or that
    of the defect), path, mask_path (None where good). Masks may also be called as their images are.

    Raises:
        GoldfoldError: no or unreadable images, one normal training image or none, images at another place, a defect
            without a mask, a mask of another size than its image.
    """
    rows = _images(raw)
    parts = rows["name"].str.extract(r"^(?P<class>[^/]+)/(?P<part>train(?=/good/)|test|ground_truth)/(?P<kind>[^/]+)/")
    if len(strangers := rows["name"][parts["class"].isna()]):
        raise GoldfoldError(
            f"images below {raw} must lie in <class>/train/good, <class>/test/<kind> or <class>/ground_truth/<kind>, "
            f"unlike {len(strangers)}, first '{strangers.iloc[0]}': move or remove them"
        )
    rows = pd.concat([rows, parts], axis=1)
    masks = rows[rows["part"] == "ground_truth"]
    shown = rows[rows["part"] != "ground_truth"].reset_index(drop=True)
    if (normal := int((shown["part"] == "train").sum())) < 2:
        raise GoldfoldError(
            f"{raw} must hold two or more normal training images and holds {normal}: add to <class>/train/good"
        )
    return shown.assign(mask_path=_masks(shown, masks))


def _images(folder: Path) -> pd.DataFrame:
    """The images below `folder`: path, and name, the part of it below `folder` with slashes."""
    found = sorted((image_names.to_nfc(path.relative_to(folder).as_posix()), path) for path in _files(folder))
    if not found:
        raise GoldfoldError(f"{folder} must hold images ({', '.join(SUFFIXES)}) and holds none: put them there")
    rows = pd.DataFrame(found, columns=["name", "path"])
    images.check(rows["path"])
    return rows


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        yield from (Path(parent, name) for name in files if name.lower().endswith(SUFFIXES) and name[0] != ".")


def _classes(raw: Path, rows: pd.DataFrame) -> pd.Series:
    """The class of each of `rows`, which have the columns part and name."""
    by_folder = rows["name"].map(lambda name: name.split("/")[0] if "/" in name else UNKNOWN)
    told = [raw / name for name in ("classes.csv", "classes.json") if (raw / name).exists()]
    if not told:
        return by_folder
    if len(told) > 1:
        raise GoldfoldError(f"{raw} must hold one mapping and holds classes.csv and classes.json: remove one of them")
    mapping = image_names.read_class_mapping(told[0])
    positions = image_names.find_images(mapping["file"], rows, told[0])
    classes = by_folder.mask(rows["part"] == "train", "")
    classes.iloc[positions] = [image_names.to_nfc(name.strip()) for name in mapping["class"]]
    if len(without := rows["name"][classes == ""]):
        raise GoldfoldError(
            f"{told[0]} must give each training image and each file it names a class, unlike {len(without)}, "
            f"first '{without.iloc[0]}': add it"
        )
    return classes


def _asked_for(path: Path, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`test` with ids in the order of the sample submission at `path`, and that; one is made where there is none."""
    if not path.exists():
        test = test.assign(id=image_names.shortest_unique(test))
        return test, test[["id"]].assign(prediction=0.5)
    sample = image_names.read_table(path, ["id", "prediction"])
    positions = image_names.find_images(sample["id"], test, path)
    if len(left := test["name"].drop(index=positions)):
        raise GoldfoldError(
            f"{path} must ask for each test image and leaves out {len(left)}, first '{left.iloc[0]}': take Kaggle's "
            "own file, or remove the image"
        )
    return test.iloc[positions].assign(id=sample["id"].to_numpy()).reset_index(drop=True), sample


def _masks(shown: pd.DataFrame, masks: pd.DataFrame) -> list[Path | None]:
    """The mask of each image that has a defect, of its size."""
    names = [image_names.without_suffix(name).removesuffix("_mask") for name in masks["name"]]
    by_name = dict(zip(names, masks["path"], strict=True))
    wanted = [image_names.without_suffix(name.replace("/test/", "/ground_truth/", 1)) for name in shown["name"]]
    found = [None if kind == GOOD else by_name.get(name) for kind, name in zip(shown["kind"], wanted, strict=True)]
    for name, kind, path, mask, place in zip(shown["name"], shown["kind"], shown["path"], found, wanted, strict=True):
        if mask is None and kind != GOOD:
            raise GoldfoldError(f"'{name}' shows a defect and has no mask: add '{place}_mask.png'")
        if mask is not None and images.size(mask) != images.size(path):
            (high, wide), (height, width) = images.size(mask), images.size(path)
            raise GoldfoldError(
                f"mask '{mask}' must have its image's size, {width} x {height} pixels, and has {wide} x {high}: "
                "replace it"
            )
    return found
