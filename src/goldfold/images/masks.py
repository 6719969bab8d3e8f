"""Read masks and label maps: whole numbers per pixel, turned and sized as their image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.images import headers

if TYPE_CHECKING:
    from PIL.Image import Image

LOSSY = ("JPEG", "MPO", "AVIF")
WHITE = 255
EXACT = "save the mask as PNG with one channel, 0 = background"
RGB = ("RGB", "RGBX", "RGBA", "RGBa")
MODES = ("1", "L", "LA", "La", "P", "PA", "I", "F", *RGB)


def read(path: str | Path, image: str | Path | None = None, *, alpha: bool = False) -> np.ndarray:
    """Read a mask or label map as int32 (height, width), 0 = background.

    image: the file that the mask belongs to. The mask is turned as its own EXIF orientation says. Where only the image
        carries one, the mask was drawn on the stored or on the upright pixels: its size tells which. Where both fit,
        it is taken as drawn on the upright pixels, which are those that `reading.read` returns (see `ambiguous`).
    alpha: read the alpha channel instead of the values or colors.

    Values: palette images give indices, gray images their 8-bit or 16-bit values (two levels: 0 and 255), color images
    the largest channel of each pixel. Lossy files (JPEG) give 255 where a channel exceeds half of the range, else 0.

    Raises:
        GoldfoldError: the file cannot be read; colors, alpha or a lossy file leave open which pixels are background; a
            value is no whole number; the size is not the image's.

    A `.npy` file holds an array (height, width) of the upright image. Colors that are classes: `color_masks.read`.
    """
    if Path(path).suffix == ".npy":
        return _array(path, image)
    with headers.opened(path) as opened:
        turn = orientation(path, opened, image)
        pixels = _stored(path, opened)
        values = _alpha(path, pixels) if alpha else _values(path, pixels, opened)
    return headers.upright(values, turn)


def read_defect(path: str | Path, image: str | Path | None = None) -> np.ndarray:
    """Read the mask of an image that shows a defect, as `read`; an empty one raises GoldfoldError."""
    mask = read(path, image)
    if not mask.any():
        raise GoldfoldError(
            "mask_empty",
            f"mask '{path}' marks no pixel, but its image{f' {str(image)!r}' if image else ''} shows a defect: draw "
            "the defect, or call the image normal",
        )
    return mask


def ambiguous(mask: str | Path, image: str | Path) -> bool:
    """Whether only the image carries an EXIF orientation, and the mask fits both its stored and its upright pixels."""
    carried = headers.orientation(image) or 1
    height, width = headers.size(image)
    return carried > 1 and (carried < 5 or height == width) and headers.orientation(mask) is None


def _array(path: str | Path, image: str | Path | None) -> np.ndarray:
    """The mask in a file of numpy, int32 (h, w)."""
    with headers.refusing(path):
        values = np.load(path, allow_pickle=False)
    if values.ndim != 2 or not (values == (whole := values.astype(np.int32))).all():
        raise GoldfoldError(
            "mask_not_whole",
            f"mask '{path}' is an array {values.shape} of {values.dtype} and must be (height, width) of whole numbers: "
            "save it as int32",
        )
    if image is not None and headers.size(image) != whole.shape:
        raise _size_differs(path, image, whole.shape)
    return whole


def orientation(path: str | Path, opened: Image, image: str | Path | None) -> int | None:
    """The EXIF orientation by which the stored mask is turned; its size must then be that of the image."""
    own = headers.tag(opened)
    width, height = opened.size
    if opened.format == "TIFF":
        turn = None  # Pillow turns it
    else:
        turn = own
        height, width = (width, height) if (own or 1) >= 5 else (height, width)
    if image is None or (wanted := headers.size(image)) == (height, width):
        return turn
    carried = headers.orientation(image) or 1
    if own is None and carried >= 5 and wanted == (width, height):
        return carried
    raise _size_differs(path, image, (height, width))


def _size_differs(path: str | Path, image: str | Path, found: tuple[int, ...]) -> GoldfoldError:
    height, width = headers.size(image)
    how = "it is transposed, so swap its axes" if found == (width, height) else "replace it"
    return GoldfoldError(
        "mask_size_differs",
        f"mask '{path}' must have the size of its image '{image}', {width} x {height} pixels, but has {found[1]} x "
        f"{found[0]}: {how}",
    )


def is_lossy(path: str | Path) -> bool:
    """Whether a mask is compressed with loss, so that only black and white can be told apart."""
    if Path(path).suffix == ".npy":
        return False
    with headers.opened(path) as opened:
        return _lossy(path, opened)


def _stored(path: str | Path, opened: Image) -> np.ndarray:
    """The stored samples, (h, w) or (h, w, channels), of an image opened with Pillow."""
    if headers.is_deep(opened):  # Pillow reads these as 8-bit
        content = np.frombuffer(Path(path).read_bytes(), np.uint8)
        pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is None:
            raise ValueError("OpenCV cannot decode it")
        return pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]]
    if opened.mode not in MODES and not opened.mode.startswith("I;16"):
        raise GoldfoldError(
            "mask_colors_unclear", f"mask '{path}' has the color mode {opened.mode}, which has no background: {EXACT}"
        )
    if opened.mode == "P":
        _check_palette(path, opened)
    return np.asarray(opened, dtype=np.uint8) * np.uint8(WHITE) if opened.mode == "1" else np.asarray(opened)


def _check_palette(path: str | Path, opened: Image) -> None:
    """Refuse a palette whose background, index 0, is not black while another index that occurs is."""
    used = np.unique(np.asarray(opened))
    palette = np.array(opened.getpalette("RGB") or [0, 0, 0], np.uint8).reshape(-1, 3)
    black = [index for index in used if index < len(palette) and not palette[index].any()]
    if palette[0].any() and black:
        color = ", ".join(map(str, palette[0]))
        raise GoldfoldError(
            "mask_colors_unclear",
            f"mask '{path}' has a palette in which index 0, the background, has the color ({color}) and index "
            f"{black[0]} is black: {EXACT}",
        )


def _alpha(path: str | Path, pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 2 or pixels.shape[2] not in (2, 4):
        raise GoldfoldError("mask_without_alpha", f"mask '{path}' has no alpha channel: leave out alpha=True")
    return pixels[..., -1].astype(np.int32)


def _values(path: str | Path, pixels: np.ndarray, opened: Image) -> np.ndarray:
    """Whole numbers (h, w) of stored samples."""
    colors = pixels.reshape(*pixels.shape[:2], -1)
    if colors.shape[2] in (2, 4):
        *_, alpha = np.moveaxis(colors, 2, 0)
        colors = colors[..., :-1]
        _check_alpha(path, colors, alpha, indices=opened.mode == "PA")
    largest = colors.max(axis=2)
    if _lossy(path, opened):
        return _halved(path, largest)
    if colors.shape[2] == 3 and (colors != colors[..., :1]).any():
        _check_colors(path, colors, largest)
    values = largest.astype(np.int32)
    if not (values == largest).all():
        raise GoldfoldError("mask_not_whole", f"mask '{path}' has values that are no whole numbers: {EXACT}")
    return values


def _check_alpha(path: str | Path, colors: np.ndarray, alpha: np.ndarray, indices: bool) -> None:
    """Refuse an alpha channel that marks other pixels than the colors do; one that is opaque marks none."""
    marked = alpha > 0
    if not indices and (alpha < alpha.max()).any() and (marked != colors.any(axis=2)).any():
        raise GoldfoldError(
            "mask_alpha_unclear",
            f"mask '{path}' has an alpha channel that marks {int(marked.sum()):,} pixels and colors that mark "
            f"{int(colors.any(axis=2).sum()):,}: read it with alpha=True if alpha is the mask, or {EXACT}",
        )


def _check_colors(path: str | Path, colors: np.ndarray, largest: np.ndarray) -> None:
    """Refuse colors that differ where their largest channels do not, such as pure red and pure blue."""
    packed = colors.astype(np.int64) @ np.array([1 << 32, 1 << 16, 1])
    numbers, first = np.unique(packed, return_index=True)
    values = largest.ravel()[first]
    if len(np.unique(values)) < len(numbers):
        raise GoldfoldError(
            "mask_colors_unclear",
            f"mask '{path}' has {len(numbers)} colors, of which some have the same largest channel, so that they have "
            "no numbers: save it as PNG with a palette or with one channel, or read it by a table of its colors with "
            "images.color_masks.read",
        )


def _halved(path: str | Path, values: np.ndarray) -> np.ndarray:
    """White where a lossy mask exceeds half of the range; refuses one that is not black and white."""
    white, gray = (int(np.count_nonzero(part)) for part in (values > 191, (values > 63) & (values <= 191)))
    if values.any() and white <= gray:
        raise GoldfoldError(
            "mask_lossy",
            f"mask '{path}' is compressed with loss and not black and white: {gray:,} pixels are gray, {white:,} "
            f"white, the largest value is {values.max()}, so that its numbers are not kept: {EXACT}",
        )
    return np.where(values > WHITE // 2, WHITE, 0).astype(np.int32)


def _lossy(path: str | Path, opened: Image) -> bool:
    return opened.format in LOSSY or (opened.format == "WEBP" and b"VP8 " in Path(path).read_bytes()[:4096])
