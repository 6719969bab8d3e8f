"""Thousands of image and mask files of random mode, depth, format, orientation and damage, against Pillow.

A file is read to the pixels that Pillow reads, or is refused with a sentence; it is never refused if it is whole, and
never ends in another exception.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from goldfold.errors import GoldfoldError
from goldfold.images import headers, masks, reading

LOSSY = {"jpg": 6, "webp": 6, "avif": 12, "jp2": 6}  # format -> levels by which two decoders may differ
MODES = {  # format -> color modes that it can store
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "tif": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "bmp": ("1", "L", "P", "RGB"),
    "gif": ("P", "L"),
    "jpg": ("L", "RGB"),
    "webp": ("RGB", "RGBA"),
    "jp2": ("L", "RGB"),
    "avif": ("RGB", "RGBA"),
}
TAGGED = ("png", "tif", "jpg", "webp", "avif")
if not features.check("avif"):
    del MODES["avif"]
if not features.check("jpg_2000"):
    del MODES["jp2"]


def smooth(random: Random, height: int, width: int) -> np.ndarray:
    """A picture uint8 (height, width, 3) without sharp edges, which decoders smooth in different ways."""
    down, right = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None]
    waves = [np.sin(random.uniform(1, 5) * down + random.uniform(1, 5) * right + channel) for channel in range(3)]
    return (np.stack(waves, axis=-1) * 110 + 120).astype(np.uint8)


def in_mode(pixels: np.ndarray, mode: str, random: Random) -> Image.Image:
    image = Image.fromarray(pixels)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 251)
    if mode == "P":
        return image.quantize(random.choice([2, 16, 200]))
    if mode in ("LA", "RGBA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(np.full(pixels.shape[:2], random.choice([0, 90, 255]), np.uint8)))
        return image
    return image.convert(mode)


def oriented(random: Random, suffix: str) -> tuple[int | None, dict[str, object]]:
    """A random EXIF orientation or None, and the options of `save` that write it."""
    number = random.choice([None, *range(1, 9)])
    if number is None or suffix not in TAGGED:
        return None, {}
    exif = Image.Exif()
    exif[headers.ORIENTATION] = number
    return number, {"tiffinfo": {headers.ORIENTATION: number}} if suffix == "tif" else {"exif": exif}


def damaged(content: bytes, random: Random) -> bytes:
    """The content cut off, with other bytes, with bytes left out, or with an end that does not belong to it."""
    at = random.randrange(len(content))
    return random.choice(
        [
            lambda: content[:at],
            lambda: content[: max(1, len(content) - random.randint(1, 20))],
            lambda: content[:at] + bytes([random.randrange(256)]) + content[at + 1 :],
            lambda: content[:at] + content[at + random.randint(1, 40) :],
            lambda: bytes(random.randrange(256) for _ in range(30)) + content[30:],
            lambda: content + b"\0" * random.randint(1, 50),
        ]
    )()


def by_pillow(content: bytes) -> np.ndarray | None:
    """The upright picture uint8 (h, w, 3) as documented by `reading.read`; None if Pillow cannot decode it."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            return np.asarray(upright.convert("RGB"))
    except Exception:  # Pillow raises many kinds for broken files
        return None


def refused_or(read: Callable[[], np.ndarray]) -> np.ndarray | None:
    """What is read; None if it is refused with a sentence."""
    try:
        return read()
    except GoldfoldError as error:
        refusal = error
    assert refusal.code in {"unreadable_image", *MASK_CODES}, refusal
    assert "\n" not in refusal.message
    return None


MASK_CODES = {"mask_alpha_unclear", "mask_colors_unclear", "mask_lossy", "mask_not_whole", "mask_without_alpha"}


def check_images(folder: Path, seed: int, count: int) -> None:
    random = Random(seed)
    for number in range(count):
        suffix = random.choice(list(MODES))
        mode = random.choice(MODES[suffix])
        height, width = random.choice([1, 2, 7, 33]), random.choice([1, 3, 8, 40])
        content, told = io.BytesIO(), f"{seed}/{number} {suffix} {mode} {height} x {width}"
        options = {"lossless": True} if suffix == "webp" and random.random() < 0.5 else {}
        image = in_mode(smooth(random, height, width), mode, random)
        file_format = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}.get(suffix, suffix.upper())
        image.save(content, file_format, **options, **oriented(random, suffix)[1])
        whole = random.random() < 0.5
        written = content.getvalue() if whole else damaged(content.getvalue(), random)
        path = folder / f"image.{suffix}"
        path.write_bytes(written)
        expected = by_pillow(written)
        found = refused_or(lambda path=path: reading.read(path))
        gray = refused_or(lambda path=path: reading.read(path, gray=True))
        assert (gray is None) == (found is None), told
        if whole:
            assert found is not None, told
            assert headers.size(path) == found.shape[:2], told
        if found is None:
            continue
        assert found.dtype == np.uint8, told
        assert gray.shape == (*found.shape[:2], 1), told
        if whole:
            assert found.shape == expected.shape, told
            assert np.abs(found.astype(int) - expected).max() <= LOSSY.get(suffix, 0), told
        elif written == content.getvalue()[: len(written)] and len(written) < len(content.getvalue()):
            assert expected is not None, f"{told}: cut after {len(written)} bytes and still read"


def labels_of(random: Random, height: int, width: int, classes: int) -> np.ndarray:
    """Blocks of class numbers int32 (height, width), 0 = background."""
    labels = np.zeros((height, width), np.int32)
    for _ in range(random.randint(0, 5)):
        top, left = random.randrange(height), random.randrange(width)
        labels[top : top + random.randint(4, 20), left : left + random.randint(4, 20)] = random.randint(1, classes)
    return labels


def palette_mask(labels: np.ndarray, random: Random) -> tuple[Image.Image, np.ndarray]:
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette([0, 0, 0, *(random.randint(1, 255) for _ in range(3 * 255))])
    return image, labels


def color_mask(labels: np.ndarray, random: Random) -> tuple[Image.Image, np.ndarray]:
    color = random.choice([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (90, 200, 10)])
    pixels = (labels > 0)[..., None] * np.array(color, np.uint8)
    return Image.fromarray(pixels.astype(np.uint8)), (labels > 0) * max(color)


def alpha_mask(labels: np.ndarray, random: Random) -> tuple[Image.Image, np.ndarray]:
    """White where it is marked, with an opaque alpha channel or one that marks the same pixels."""
    image, expected = Image.fromarray(((labels > 0) * 255).astype(np.uint8)), (labels > 0) * 255
    alpha = image if random.random() < 0.5 else Image.new("L", image.size, 255)
    return Image.merge("LA", [image, alpha]), expected


KINDS: dict[str, Callable[[np.ndarray, Random], tuple[Image.Image, np.ndarray]]] = {
    "gray": lambda labels, random: (Image.fromarray(labels.astype(np.uint8)), labels),
    "bilevel": lambda labels, random: (Image.fromarray(labels > 0), (labels > 0) * 255),
    "deep": lambda labels, random: (Image.fromarray((labels * 257).astype(np.uint16)), labels * 257),
    "palette": palette_mask,
    "color": color_mask,
    "alpha": alpha_mask,
}
BLACK_AND_WHITE = ("bilevel", "color")


def check_masks(folder: Path, seed: int, count: int) -> None:
    random = Random(seed)
    for number in range(count):
        kind = random.choice(list(KINDS))
        lossy = kind in BLACK_AND_WHITE and random.random() < 0.3
        suffix = "jpg" if lossy else random.choice(["png", "tif"])
        labels = labels_of(random, random.choice([9, 24, 40]), random.choice([11, 32, 50]), 20)
        image, expected = KINDS[kind](labels, random)
        image = image.convert("L").point(lambda value: 255 if value else 0) if lossy else image
        (turn, options), content = oriented(random, suffix), io.BytesIO()
        image.save(content, {"jpg": "JPEG", "tif": "TIFF", "png": "PNG"}[suffix], **options)
        whole = random.random() < 0.7
        path, told = folder / f"mask.{suffix}", f"{seed}/{number} {kind} {suffix} {turn}"
        path.write_bytes(content.getvalue() if whole else damaged(content.getvalue(), random))
        found = refused_or(lambda path=path: masks.read(path))
        if found is not None:
            assert found.dtype == np.int32, told
            assert found.ndim == 2, told
        if not whole:
            continue
        assert found is not None, told
        turned = headers.upright(expected, turn)
        assert found.shape == turned.shape, told
        if lossy:
            assert ((found > 0) != (turned > 0)).mean() < 0.02, told
        else:
            assert np.array_equal(found, turned), told


def test_a_few_hundred_files_are_read_as_pillow_reads_them(tmp_path: Path) -> None:
    check_images(tmp_path, seed=0, count=400)
    check_masks(tmp_path, seed=0, count=300)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_thousands_of_files_are_read_as_pillow_reads_them(tmp_path: Path, seed: int) -> None:
    check_images(tmp_path, seed, count=1000)
    check_masks(tmp_path, seed, count=700)
