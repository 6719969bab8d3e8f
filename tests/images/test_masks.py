"""Masks and label maps: which values they mean, how they are turned, and which are refused."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from PIL import Image, ImageOps

from goldfold import metrics
from goldfold.images import masks, reading

HEIGHT, WIDTH = 40, 60
DRAWN = np.zeros((HEIGHT, WIDTH), bool)
DRAWN[4:20, 8:50] = True  # of no symmetry
DRAWN[20:30, 8:14] = True


def exif(tag: int | None) -> dict:
    made = Image.Exif()
    made[0x0112] = tag
    return {"exif": made} if tag else {}


def saved(path, pixels: np.ndarray, mode: str | None = None, **options):
    Image.fromarray(pixels, mode).save(path, **options)
    return path


def on(color: tuple[int, ...], background: tuple[int, ...]) -> np.ndarray:
    return np.where(DRAWN[..., None], np.uint8(color), np.uint8(background))


def test_a_palette_gives_indices(tmp_path):
    labels = np.where(DRAWN, 15, 0).astype(np.uint8)
    labels[35:, 50:] = 255  # the border that Pascal VOC leaves out
    image = Image.fromarray(labels, "P")
    image.putpalette([0, 0, 0, 128, 0, 0, *(9 * [0, 64, 0]), *(5 * [192, 128, 128]), *(239 * [0, 0, 0]), 224, 224, 192])
    for name in ("voc.png", "voc.tif", "voc.bmp"):
        image.save(tmp_path / name)
        assert np.array_equal(masks.read(tmp_path / name), labels), name


def test_a_palette_whose_background_is_not_black_is_refused(tmp_path):
    image = Image.fromarray(DRAWN.astype(np.uint8), "P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(tmp_path / "inverted.png")
    with raises_code("mask_colors_unclear", r"inverted\.png.*255, 255, 255.*index 1"):
        masks.read(tmp_path / "inverted.png")


@pytest.mark.parametrize(
    ("foreground", "background", "value"),
    [
        ((255, 0, 0), (0, 0, 0), 255),
        ((0, 255, 0), (0, 0, 0), 255),
        ((0, 0, 255), (0, 0, 0), 255),
        ((7, 7, 7), (0, 0, 0), 7),
        ((255, 255, 255, 255), (0, 0, 0, 255), 255),
        ((255, 255, 255, 255), (0, 0, 0, 0), 255),
        ((9, 255), (0, 255), 9),
    ],
)
def test_a_color_means_any_channel(tmp_path, foreground, background, value):
    path = saved(tmp_path / "mask.png", on(foreground, background))
    assert np.array_equal(masks.read(path), np.where(DRAWN, value, 0))


@pytest.mark.parametrize(
    ("foreground", "background"),
    [((0, 0, 0, 255), (0, 0, 0, 0)), ((255, 255, 255, 255), (255, 255, 255, 0)), ((0, 255), (0, 0))],
)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_alpha_is_read_by_name(tmp_path, foreground, background, suffix):
    path = saved(tmp_path / f"mask.{suffix}", on(foreground, background))
    with raises_code("mask_alpha_unclear", "alpha=True"):
        masks.read(path)
    assert np.array_equal(masks.read(path, alpha=True), DRAWN * 255)
    with raises_code("mask_without_alpha"):
        masks.read(saved(tmp_path / "gray.png", DRAWN.astype(np.uint8)), alpha=True)


def test_colors_that_have_no_numbers_are_refused(tmp_path):
    pixels = on((255, 0, 0), (0, 0, 0))
    pixels[35:, 50:] = (0, 0, 255)
    with raises_code("mask_colors_unclear", "3 colors"):
        masks.read(saved(tmp_path / "two.png", pixels))
    with raises_code("mask_colors_unclear", "CMYK"):
        Image.fromarray(pixels).convert("CMYK").save(tmp_path / "mask.tif")
        masks.read(tmp_path / "mask.tif")


@pytest.mark.parametrize(("suffix", "options"), [("jpg", {"quality": 75}), ("webp", {"quality": 75})])
@pytest.mark.parametrize("color", [(255, 255, 255), (255, 0, 0)])
def test_lossy_masks_do_not_grow(tmp_path, suffix, options, color):
    path = saved(tmp_path / f"mask.{suffix}", on(color, (0, 0, 0)), **options)
    found = masks.read(path)
    assert set(np.unique(found)) == {0, 255}
    assert np.count_nonzero((found > 0) != DRAWN) <= 0.01 * DRAWN.sum()
    assert np.count_nonzero(reading.read(path).max(axis=2) > 0) > 1.02 * DRAWN.sum()  # what any value above 0 means


def test_lossy_label_maps_are_refused(tmp_path):
    with raises_code("mask_lossy", "largest value is"):
        masks.read(saved(tmp_path / "faint.jpg", DRAWN.astype(np.uint8) * 20))
    with raises_code("mask_lossy", "are gray, 0 white"):
        masks.read(saved(tmp_path / "gray.jpg", DRAWN.astype(np.uint8) * 128))
    assert not masks.read(saved(tmp_path / "empty.jpg", np.zeros((HEIGHT, WIDTH), np.uint8))).any()


def test_all_depths_keep_their_values(tmp_path):
    labels = np.where(DRAWN, 300, 0)
    for name in ("mask.png", "mask.tif"):
        assert np.array_equal(masks.read(saved(tmp_path / name, labels.astype(np.uint16))), labels)
    cv2.imwrite(str(tmp_path / "three.png"), np.repeat(labels[..., None], 3, axis=2).astype(np.uint16))
    assert np.array_equal(masks.read(tmp_path / "three.png"), labels)
    assert np.array_equal(masks.read(saved(tmp_path / "deep.tif", labels.astype(np.int32))), labels)
    assert np.array_equal(masks.read(saved(tmp_path / "float.tif", labels.astype(np.float32))), labels)
    assert np.array_equal(masks.read(saved(tmp_path / "two.png", DRAWN)), DRAWN * 255)
    with raises_code("mask_not_whole", r"half\.tif"):
        masks.read(saved(tmp_path / "half.tif", (DRAWN * 0.5).astype(np.float32)))
    (tmp_path / "cut.png").write_bytes((tmp_path / "three.png").read_bytes()[:80])
    with raises_code("unreadable_image", r"cut\.png"):
        masks.read(tmp_path / "cut.png")


@pytest.mark.parametrize("tag", range(2, 9))
@pytest.mark.parametrize("drawn_on", ["stored", "stored with tag", "upright"])
def test_a_perfect_prediction_scores_dice_1(tmp_path, tag, drawn_on):
    """The image carries an orientation; its mask was drawn on the stored or on the turned pixels."""
    image = saved(tmp_path / "image.jpg", (DRAWN * 255).astype(np.uint8), quality=95, **exif(tag))
    turned = np.asarray(ImageOps.exif_transpose(Image.open(image)))
    pixels = (turned > 127) if drawn_on == "upright" else DRAWN
    own = exif(tag if drawn_on == "stored with tag" else None)
    mask = saved(tmp_path / "mask.png", (pixels * 255).astype(np.uint8), **own)
    unclear = drawn_on != "stored with tag" and tag < 5
    assert masks.ambiguous(mask, image) == unclear
    if drawn_on == "stored" and unclear:
        return  # nothing in the files tells it: the start check reports such masks
    rows = pd.DataFrame({"id": ["a"], "path": [image], "mask_path": [mask]})
    dice = metrics.dice(lambda rows: map(masks.read, rows["mask_path"], rows["path"]))
    assert dice.score(rows, (reading.read(image)[..., 0] > 127)[None].astype(np.float32)) == 1


def test_masks_of_another_size_are_refused_with_both_sizes(tmp_path):
    image = saved(tmp_path / "image.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    transposed = saved(tmp_path / "transposed.png", np.ascontiguousarray(DRAWN.T))
    other = saved(tmp_path / "other.png", DRAWN[:30])
    with raises_code("mask_size_differs", "60 x 40.*40 x 60: it is transposed"):
        masks.read(transposed, image)
    with raises_code("mask_size_differs", "60 x 40.*60 x 30"):
        masks.read(other, image)
    with raises_code("mask_empty", "marks no pixel"):
        masks.read_defect(saved(tmp_path / "empty.png", np.zeros((HEIGHT, WIDTH), np.uint8)), image)


def test_arrays_of_numpy_are_masks(tmp_path):
    image = saved(tmp_path / "image.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    for values in (DRAWN, DRAWN.astype(np.float64) * 300, DRAWN.astype(np.uint16) * 300):
        np.save(tmp_path / "mask.npy", values)
        assert np.array_equal(masks.read(tmp_path / "mask.npy", image), values)
    np.save(tmp_path / "mask.npy", DRAWN.T)
    with raises_code("mask_size_differs", "transposed"):
        masks.read(tmp_path / "mask.npy", image)
    for wrong in (DRAWN * 0.5, DRAWN[..., None]):
        np.save(tmp_path / "mask.npy", wrong)
        with raises_code("mask_not_whole", r"mask\.npy"):
            masks.read(tmp_path / "mask.npy")
    (tmp_path / "mask.npy").write_bytes(b"no array")
    with raises_code("unreadable_image", r"mask\.npy"):
        masks.read(tmp_path / "mask.npy")
