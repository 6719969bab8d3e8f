"""Resized images of a run in a temporary file, so that all folds, epochs and audits decode each image once.

Waveforms of recordings lie there, too (`audio.waveforms`). The file has no name, so nothing is left of it, whatever
ends the process. What is read from it is cached by the operating system like any file, and is no memory of the
process. Equal to the bit to decoding again: an image is found
again only while its file has the same path, number, size and times.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import IO

import numpy as np

from goldfold.images.sizes import Size, height_and_width

MOST_BYTES = 4 * 2**30
SHARE = 4  # the file takes at most this part of the free disk space
MOST_IMAGES = 500_000  # about 150 MB of places in memory

Key = tuple[object, ...]


@dataclass
class ResizedImages:
    """Images and their places in a file. room: bytes that it may still grow by. owner: the only process that writes."""

    file: IO[bytes]
    room: int
    owner: int = field(default_factory=os.getpid)
    places: dict[Key, int] = field(default_factory=dict)
    end: int = 0
    lock: Lock = field(default_factory=Lock)

    def read(self, key: Key, into: np.ndarray, offset: int = 0) -> bool:
        """Read an image into an array of its size, uint8 (h, w, c); whether it is there.

        offset: bytes to skip, to read a part of what is kept.
        """
        place = self.places.get(key)
        return place is not None and os.preadv(self.file.fileno(), [into.data], place + offset) == into.nbytes

    def write(self, key: Key, image: np.ndarray) -> None:
        """Keep an image, unless there is no room; a forked process keeps none."""
        if os.getpid() != self.owner:
            return
        with self.lock:
            if image.nbytes > self.room or len(self.places) >= MOST_IMAGES:
                return
            place, self.end, self.room = self.end, self.end + image.nbytes, self.room - image.nbytes
        try:
            written = os.pwrite(self.file.fileno(), np.ascontiguousarray(image).data, place)
        except OSError:  # the disk is full
            self.room = 0
            return
        if written == image.nbytes:
            self.places[key] = place


_KEPT: dict[Path, ResizedImages] = {}  # folder -> the images of this process; at most one


def keep(folder: Path) -> None:
    """Keep resized images in a temporary file in this folder from now on; without effect on Windows."""
    if (folder in _KEPT and _KEPT[folder].owner == os.getpid()) or not hasattr(os, "preadv"):
        return
    forget()
    folder.mkdir(parents=True, exist_ok=True)
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed by `forget`
    _KEPT[folder] = ResizedImages(file, min(MOST_BYTES, shutil.disk_usage(folder).free // SHARE))


@contextmanager
def keeping(folder: Path) -> Iterator[None]:
    """Keep resized images in a temporary file in this folder during the block; see `keep`."""
    keep(folder)
    try:
        yield
    finally:
        forget()


def forget() -> None:
    """Keep no images any more, and give the disk space back."""
    while _KEPT:
        _KEPT.popitem()[1].file.close()


def kept() -> ResizedImages | None:
    """The images that this process keeps, if it does."""
    return next(iter(_KEPT.values()), None)


def key_of(path: str | Path, size: Size, gray: bool) -> Key | None:
    """What an image is found by; None if its file cannot be opened."""
    return file_key(path, *height_and_width(size), gray)


def file_key(path: str | Path, *form: object) -> Key | None:
    """What the decoded content of a file is found by; None if it cannot be opened. form: what it was made into."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return (os.path.abspath(path), *identity, *form)
