"""COCO's annotation files as tables: captions with Karpathy's split, and the categories that an image shows.

Ids are COCO's image numbers as text. Nothing that the files hold is left out without a word: each fault is an error
that names its first image.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json

if TYPE_CHECKING:
    from pandas import DataFrame, Series

PARTS = ("train", "val", "test", "restval")  # of Karpathy's split
Number = (int, str)  # types of an id


class _File(NamedTuple):
    """A JSON file; `content` is anything."""

    path: Path
    content: Any

    def entries(self, key: str) -> Iterator[tuple[str, Any]]:
        """Where each entry of a list stands, and the entry."""
        for number, entry in enumerate(self.value("file", self.content, key, list)):
            yield f"{key}[{number}]", entry

    def value(self, where: str, mapping: Any, key: str, kind: type | tuple[type, ...]) -> Any:
        found = mapping.get(key) if isinstance(mapping, dict) else None
        if not isinstance(found, kind):
            raise self.invalid(f"has no valid {key!r} in its {where}")
        return found

    def invalid(self, what: str) -> GoldfoldError:
        return GoldfoldError("raw_data_invalid", f"{self.path} {what}: download the file again")


def karpathy(path: Path) -> DataFrame:
    """Read a file in the layout of Karpathy's `dataset_coco.json`: a row per image, in the order of the file.

    Columns: id (`cocoid`), part (`split`, one of `PARTS`), folder (`filepath`, such as val2014), file (`filename`), and
    captions, a tuple of the image's captions (`raw` of its `sentences`) in their order, with single spaces between
    words; blank ones are left out.

    Raises:
        GoldfoldError: `raw_data_missing`; `raw_data_invalid`, a key is missing or the part is unknown;
            `image_repeated`, an image is in two parts, or twice in one; `caption_missing`, an image has none.
    """
    import pandas as pd

    file = _read(path)
    rows = pd.DataFrame([_row(file, where, image) for where, image in file.entries("images")])
    if not len(rows):
        raise file.invalid("lists no images")
    if unknown := sorted(set(rows["part"]) - set(PARTS)):
        raise file.invalid(f"has the split {unknown[0]!r}, which is none of {', '.join(PARTS)}")
    repeated = rows["id"].duplicated()
    if repeated.any():
        id_ = rows["id"][repeated].iloc[0]
        parts = " and ".join(rows["part"][rows["id"] == id_])
        raise GoldfoldError(
            "image_repeated",
            f"{path} lists {repeated.sum()} images again, first {id_}, in {parts}: each may be in one part once, so "
            "download the file again",
        )
    without = rows["id"][~rows["captions"].astype(bool)]
    if len(without):
        raise GoldfoldError(
            "caption_missing",
            f"{len(without)} of {len(rows)} images of {path} have no caption, first {without.iloc[0]}: download the "
            "file again, or remove them from it",
        )
    return rows


def _row(file: _File, where: str, image: Any) -> dict[str, Any]:
    sentences = file.value(where, image, "sentences", list)
    texts = (" ".join(file.value(f"{where}.sentences", each, "raw", str).split()) for each in sentences)
    return {
        "id": str(file.value(where, image, "cocoid", Number)),
        "part": file.value(where, image, "split", str),
        "folder": file.value(where, image, "filepath", str),
        "file": file.value(where, image, "filename", str),
        "captions": tuple(filter(None, texts)),
    }


def shown_categories(path: Path, categories: Mapping[int, str]) -> Series:
    """Read which categories each image shows, from a file in the layout of COCO's `instances_*.json`.

    categories: number -> name. Returns id -> tuple of names in the order of `categories`, for each image that the file
    lists: an image without annotations has an empty one. Crowds (`iscrowd`) count as shown.

    Raises:
        GoldfoldError: `raw_data_missing`; `raw_data_invalid`, a key is missing; `unknown_category`, a number that
            `categories` lacks or that the file calls otherwise; `image_not_listed`, an annotation of an image that the
            file does not list.
    """
    import pandas as pd

    file = _read(path)
    _check_names(file, categories)
    shown: dict[str, set[int]] = {
        str(file.value(where, image, "id", Number)): set() for where, image in file.entries("images")
    }
    for where, annotation in file.entries("annotations"):
        id_ = str(file.value(where, annotation, "image_id", Number))
        number = file.value(where, annotation, "category_id", int)
        if number not in categories:
            raise _unknown(path, f"has category {number} in image {id_}, which is none of the {len(categories)} known")
        if id_ not in shown:
            raise _not_listed(path, 1, id_)
        shown[id_].add(number)
    names = [tuple(name for number, name in categories.items() if number in found) for found in shown.values()]
    return pd.Series(names, index=list(shown), dtype=object)


def _check_names(file: _File, categories: Mapping[int, str]) -> None:
    for where, category in file.entries("categories"):
        number, name = (file.value(where, category, key, kind) for key, kind in (("id", int), ("name", str)))
        if (known := categories.get(number)) != name:
            expected = f"{known!r}" if known else f"none of the {len(categories)} known"
            raise _unknown(file.path, f"calls category {number} {name!r}, which is {expected} here")


def label_sets(rows: DataFrame, files: Mapping[str, Path], categories: Mapping[int, str]) -> list[tuple[str, ...]]:
    """The names of the categories that each image shows, one tuple per row; an image without annotations has ().

    rows: columns id and folder, from `karpathy`. files: folder -> the file that lists its images.

    Raises:
        GoldfoldError: as `shown_categories`; `image_not_listed`, the file lacks an image of its folder.
    """
    found: dict[Any, tuple[str, ...]] = {}
    for folder, own in rows.groupby("folder", sort=True):
        shown = shown_categories(files[str(folder)], categories)
        absent = own["id"][~own["id"].isin(shown.index)]
        if len(absent):
            raise _not_listed(files[str(folder)], len(absent), absent.iloc[0])
        found |= zip(own.index, shown.loc[own["id"]], strict=True)
    return [found[at] for at in rows.index]


def check_images(raw: Path, files: Collection[str]) -> None:
    """Raise `raw_data_missing` for image files, written as folder/name, that do not exist below `raw`."""
    absent = [file for file in files if not (raw / file).is_file()]
    if absent:
        archives = sorted({f"{file.rpartition('/')[0]}.zip" for file in absent})
        raise GoldfoldError(
            "raw_data_missing",
            f"{len(absent)} of {len(files)} images are missing below {raw}, first {absent[0]}: unpack "
            f"{' and '.join(archives)} there",
        )


def _read(path: Path) -> _File:
    if not path.is_file():
        raise GoldfoldError(
            "raw_data_missing", f"{path} is missing: the competition's README says where to download it from"
        )
    return _File(path, read_json(path))


def _not_listed(path: Path, count: int, first: str) -> GoldfoldError:
    return GoldfoldError(
        "image_not_listed",
        f"{path} does not list {count} images that it should, first {first}: it is cut off or of other images, so "
        "download it again",
    )


def _unknown(path: Path, what: str) -> GoldfoldError:
    return GoldfoldError("unknown_category", f"{path} {what}: download the file again, or change the categories")
