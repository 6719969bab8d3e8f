"""Folders of normal and defective images as tables: plain train and test folders, and the layout of MVTec AD.

Images are files that end in one of `IMAGE_SUFFIXES`, in upper or lower case. Hidden files and `__MACOSX` are skipped,
folders may be links, and rows are sorted by name. Names may be in any script.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from goldfold.competition import Tables
from goldfold.errors import GoldfoldError
from goldfold.images import masks as image_masks
from goldfold.images import names as image_names

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
UNKNOWN = "?"  # class of an image that has none: no folder is called so, and CSV files keep it, unlike an empty field
GOOD = "good"
TEXT_COLUMNS = ("id", "class", "part", "kind")  # read as text: 007 keeps its zeros, a class may be called NA


def train_test_folders(raw: Path) -> Tables:
    """Read `train/` with normal images, `test/` with unlabeled images, and `sample_submission.csv` if there is one.

    Both tables have the columns id, path and class, all text except `path`.
    class: from `classes.csv` (columns file, class) or `classes.json` ({file: class} or {class: [files]}) if there is
        one, else the first folder below train or test, else `UNKNOWN`. The mapping must name every training image and
        may name test images; a test image that it does not name keeps its folder as its class. Files may be written
        with or without folders and file extension; a name that fits a training and a test image means the former.
    id: in the test table as the sample submission spells it, and in its order: any of these spellings, or a number
        without leading zeros. Without a sample submission the file name without extension, with its folders if names
        repeat.

    Raises:
        GoldfoldError: there are no images, or only one normal image; the mapping or the sample
            submission has another format, names images that do not exist, names one twice, or leaves some out.
    """
    train, test = (_images(raw / part).assign(part=part) for part in ("train", "test"))
    if len(train) < 2:
        raise GoldfoldError(
            "too_few_normal_images",
            f"{raw / 'train'} has only one normal image, but training and validation need one each: add more",
        )
    rows = pd.concat([train, test], ignore_index=True)
    rows["class"] = _classes(raw, rows)
    train, test = rows[: len(train)], rows[len(train) :].reset_index(drop=True)
    train = train.assign(id=image_names.shortest_unique(train))
    test, sample = _with_sample(raw / "sample_submission.csv", test)
    columns = ["id", "path", "class"]
    return Tables(train=train[columns], test=test[columns], sample_submission=sample)


def mvtec(raw: Path) -> pd.DataFrame:
    """Read MVTec AD: `<class>/train/good`, `<class>/test/<kind>`, `<class>/ground_truth/<kind>/<stem>_mask.png`.

    One row per image (masks are not rows) with the columns name (its path below `raw`), class, part ("train" or
    "test"), kind (`GOOD` or the kind of defect), path, mask_path (None if good). A mask may also have the same name as
    its image.

    Raises:
        GoldfoldError: there are no images, fewer than two normal training images, images in other
            folders, a defect without a mask or with an empty one, or a mask whose size differs from its image.
    """
    rows = _images(raw)
    parts = rows["name"].str.extract(r"^(?P<class>[^/]+)/(?P<part>train(?=/good/)|test|ground_truth)/(?P<kind>[^/]+)/")
    if len(misplaced := rows["name"][parts["class"].isna()]):
        raise GoldfoldError(
            "images_misplaced",
            f"images below {raw} must lie in <class>/train/good, <class>/test/<kind> or <class>/ground_truth/<kind>, "
            f"but {len(misplaced)} do not, first '{misplaced.iloc[0]}': move or remove them",
        )
    rows = pd.concat([rows, parts], axis=1)
    masks = rows[rows["part"] == "ground_truth"]
    samples = rows[rows["part"] != "ground_truth"].reset_index(drop=True)
    if (normal := int((samples["part"] == "train").sum())) < 2:
        raise GoldfoldError(
            "too_few_normal_images",
            f"{raw} needs at least 2 normal training images and has {normal}: add some to <class>/train/good",
        )
    return samples.assign(mask_path=pd.Series(_masks(samples, masks), samples.index, dtype=object))


def _images(folder: Path) -> pd.DataFrame:
    """List the images below `folder`: path, and name (the path below `folder`, with slashes)."""
    found = sorted((image_names.to_nfc(path.relative_to(folder).as_posix()), path) for path in _files(folder))
    if not found:
        raise GoldfoldError("no_images", f"{folder} has no images ({', '.join(IMAGE_SUFFIXES)}): put them there")
    return pd.DataFrame(found, columns=["name", "path"])


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        yield from (Path(parent, name) for name in files if name.lower().endswith(IMAGE_SUFFIXES) and name[0] != ".")


def _classes(raw: Path, rows: pd.DataFrame) -> pd.Series:
    """Return the class of each of `rows`, which have the columns part and name."""
    by_folder = rows["name"].map(lambda name: name.split("/")[0] if "/" in name else UNKNOWN)
    files = [raw / name for name in ("classes.csv", "classes.json") if (raw / name).exists()]
    if not files:
        return by_folder
    if len(files) > 1:
        raise GoldfoldError("two_class_mappings", f"{raw} has both classes.csv and classes.json: remove one of them")
    mapping = image_names.read_class_mapping(files[0])
    positions = image_names.find_images(mapping["file"], rows, files[0])
    classes = by_folder.mask(rows["part"] == "train", "")
    classes.iloc[positions] = [image_names.to_nfc(name.strip()) for name in mapping["class"]]
    if len(without := rows["name"][classes == ""]):
        raise GoldfoldError(
            "class_missing",
            f"{files[0]} must give every training image and every file it names a class, but {len(without)} have none, "
            f"first '{without.iloc[0]}': add it",
        )
    return classes


def _with_sample(path: Path, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return `test` with the ids and order of the sample submission at `path`, and the latter; it is made if absent."""
    if not path.exists():
        test = test.assign(id=image_names.shortest_unique(test))
        return test, test[["id"]].assign(prediction=0.5)
    sample = image_names.read_table(path, ["id", "prediction"])
    positions = image_names.find_images(sample["id"], test, path)
    if len(absent := test["name"].drop(index=list(positions))):
        raise GoldfoldError(
            "sample_lacks_images",
            f"{path} must list every test image, but lacks {len(absent)}, first '{absent.iloc[0]}': use Kaggle's own "
            "file, or remove the image",
        )
    return test.iloc[positions].assign(id=sample["id"].to_numpy()).reset_index(drop=True), sample


def _masks(samples: pd.DataFrame, masks: pd.DataFrame) -> list[Path | None]:
    """Return the mask file of each image, None for good images; each mask is read once, so that it is sound."""
    names = [image_names.without_suffix(name).removesuffix("_mask") for name in masks["name"]]
    by_name = dict(zip(names, masks["path"], strict=True))
    wanted = [image_names.without_suffix(name.replace("/test/", "/ground_truth/", 1)) for name in samples["name"]]
    found = [None if kind == GOOD else by_name.get(name) for kind, name in zip(samples["kind"], wanted, strict=True)]
    names_and_kinds = zip(samples["name"], samples["kind"], strict=True)
    for (name, kind), path, mask, place in zip(names_and_kinds, samples["path"], found, wanted, strict=True):
        if mask is None and kind != GOOD:
            raise GoldfoldError("mask_missing", f"'{name}' shows a defect but has no mask: add '{place}_mask.png'")
        if mask is not None:
            image_masks.read_defect(mask, path)
    return found
