"""The archive of a notebook: its files, gray images in place of training images that nothing looks at, its contents."""

from __future__ import annotations

import shutil
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np

from goldfold.competition import Tables
from goldfold.errors import GoldfoldError
from goldfold.io.files import files_below

STAND_INS = "stand_ins.txt"  # in data/<name>: says how many training images are gray
GRAY, BLACK = 128, 0
KINDS = {
    "src": "code",
    "competitions": "code",
    "packages": "packages",
    "runs": "weights and folds",
    "hub": "pretrained weights",
    "data": "data",
    "submissions": "the run's submission",
}


def folder_files(folder: Path, under: str) -> Iterator[tuple[str, Path]]:
    """(name in the archive, file) of all files in `folder`, except compiled Python and hidden files.

    Linked folders are followed.
    """
    for path in files_below(folder):
        parts = path.relative_to(folder).parts
        if "__pycache__" not in parts and not any(part.startswith(".") for part in parts):
            yield "/".join((under, *parts)), path


def data_files(place: Path, tables: Tables, read: Collection[str] | None) -> Iterator[tuple[str, Path | bytes]]:
    """(name in the archive, file or content) of prepared data.

    place: data/<name>. read: names in the archive of the images that are read; other images and masks of training rows
        are replaced by gray and black ones of their size. None: all are packed as they are.
    """
    under, replaced = f"data/{place.name}", 0
    images = {} if read is None else _training_images(tables)
    for name, path in folder_files(place / "public", f"{under}/public"):
        value = None if name in (read or ()) else images.get(path.resolve())
        packed = path if value is None else _stand_in(path, value)
        replaced += isinstance(packed, bytes)
        yield name, packed
    if replaced:
        told = f"{replaced:,} images of training rows are gray, since the notebook predicts the same without them"
        yield f"{under}/{STAND_INS}", told.encode()


def has_training_images(tables: Tables) -> bool:
    """Whether the training rows have files of their own."""
    return bool(_training_images(tables))


def _training_images(tables: Tables) -> dict[Path, int]:
    """Files of the training rows that no test row has -> the value of the pixels that replace them."""
    found: dict[Path, int] = {}
    for column in [name for name in tables.train.columns if str(name).endswith("path")]:
        value = BLACK if str(column).startswith("mask") else GRAY
        found |= {Path(path).resolve(): value for path in tables.train[column].dropna()}
    test = [tables.test[name].dropna() for name in tables.test.columns if str(name).endswith("path")]
    for path in (Path(path).resolve() for paths in test for path in paths):
        found.pop(path, None)
    return found


def _stand_in(path: Path, value: int) -> Path | bytes:
    """A PNG of one value and of the size of an image; the file itself if it is no image, or smaller."""
    import cv2

    from goldfold.images import headers

    try:
        size = headers.size(path)
    except GoldfoldError:
        return path
    content = cv2.imencode(".png", np.full(size, value, np.uint8))[1].tobytes()
    return content if len(content) < path.stat().st_size else path


def pack(path: Path, files: Iterable[tuple[str, Path | bytes]], *, more: bool = False) -> None:
    """Write a zip of `files`, (name in the archive, file or content); equal files give equal bytes.

    more: add them to the zip that is there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "a" if more else "w", allowZip64=True) as archive:
        for name, file in sorted(dict(files).items()):
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            entry.file_size = len(file) if isinstance(file, bytes) else file.stat().st_size
            opened = BytesIO(file) if isinstance(file, bytes) else file.open("rb")
            with archive.open(entry, "w") as target, opened as source:
                shutil.copyfileobj(source, target, 2**20)


def contents(path: Path) -> str:
    """What a packed archive holds, in bytes as packed, by kind."""
    sizes: Counter[str] = Counter()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            sizes[KINDS.get(entry.filename.partition("/")[0], KINDS["hub"])] += entry.compress_size
        notes = [archive.read(name).decode() for name in archive.namelist() if name.endswith(f"/{STAND_INS}")]
    return "; ".join([", ".join(f"{kind} {size:,} bytes" for kind, size in sizes.most_common()), *notes])
