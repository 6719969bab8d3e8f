"""Image and mask files against Pillow, header checks, content hashes, loading at one size."""

from __future__ import annotations

import os
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from goldfold.errors import GoldfoldError
from goldfold.images import reading


@pytest.fixture
def picture() -> np.ndarray:
    ramp = np.add.outer(np.arange(20) * 5, np.arange(30) * 3)
    return np.stack([ramp, ramp[::-1], 255 - ramp], axis=-1).astype(np.uint8)


def test_read_gives_what_pillow_gives(tmp_path, picture):
    image = Image.fromarray(picture)
    modes = {
        "rgb.png": image,
        "牙刷 rgb.bmp": image,
        "gray.png": image.convert("L"),
        "alpha.png": image.convert("RGBA"),
        "palette.png": image.quantize(16),
        "palette.gif": image.quantize(16),
        "two_levels.png": image.convert("1"),
    }
    for name, saved in modes.items():
        saved.save(tmp_path / name)
        expected = np.asarray(Image.open(tmp_path / name).convert("RGB"))
        got = reading.read(tmp_path / name)
        assert got.dtype == np.uint8
        assert np.array_equal(got, expected), name


def test_sixteen_bits_keep_their_upper_byte(tmp_path):
    deep = (np.arange(600, dtype=np.uint16).reshape(20, 30) * 109) % 65521
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(deep.astype(np.uint16)).save(tmp_path / name)
        got = reading.read(tmp_path / name)
        assert np.array_equal(got, np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2)), name


def test_orientation_tag_is_applied(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    Image.fromarray(picture).save(tmp_path / "turned.jpg", exif=exif)
    assert reading.read(tmp_path / "turned.jpg").shape == (30, 20, 3)


def test_gray_has_one_channel(tmp_path, picture):
    Image.fromarray(picture[..., 0]).save(tmp_path / "gray.png")
    assert np.array_equal(reading.read(tmp_path / "gray.png", gray=True), picture[..., :1])


def bad_files(folder, picture):
    whole = folder / "whole.png"
    Image.fromarray(picture).save(whole)
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no image")
    (folder / "cut.png").write_bytes(whole.read_bytes()[:-40])
    Image.fromarray(picture[..., 0].astype(np.float32)).save(folder / "float.tif")
    return {
        "missing.png": "does not exist",
        "empty.png": "is empty",
        "text.png": "not an image",
        "cut.png": "truncated",
        "float.tif": "samples are floats",
    }


def test_unreadable_files_are_named_with_the_reason(tmp_path, picture):
    for name, reason in bad_files(tmp_path, picture).items():
        with pytest.raises(GoldfoldError, match=reason) as error:
            reading.read(tmp_path / name)
        assert error.value.code == "unreadable_image"
        assert str(tmp_path / name) in error.value.message
        assert "\n" not in error.value.message


def test_check_counts_bad_files_and_names_the_first(tmp_path, picture):
    bad_files(tmp_path, picture)
    good = tmp_path / "whole.png"
    reading.check([good] * 3)
    files = [good, tmp_path / "empty.png", good, tmp_path / "missing.png", tmp_path / "text.png"]
    with pytest.raises(GoldfoldError, match=r"3 of 5 .*empty\.png") as error:
        reading.check(files)
    assert error.value.code == "unreadable_image"


def test_content_hash_follows_the_content_and_not_the_name(tmp_path, picture):
    first, copy, other = tmp_path / "地毯.png", tmp_path / "copy.png", tmp_path / "other.png"
    Image.fromarray(picture).save(first)
    shutil.copy(first, copy)
    Image.fromarray(picture[::-1]).save(other)
    hashes = reading.content_hashes([first, copy, other])
    assert hashes[0] == hashes[1] != hashes[2]
    assert hashes == [reading.content_hash(path) for path in (first, copy, other)]
    with pytest.raises(GoldfoldError, match=r"missing\.png.*does not exist") as error:
        reading.content_hash(tmp_path / "missing.png")
    assert error.value.code == "unreadable_file"


def test_a_file_is_hashed_anew_after_it_changed_even_if_size_and_time_did_not(tmp_path):
    file, other = tmp_path / "a.png", tmp_path / "b.png"
    file.write_bytes(b"one"), other.write_bytes(b"two")
    before = reading.content_hashes([file, other, file])
    assert before == [reading.content_hash(each) for each in (file, other, file)]
    made = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(made.st_atime_ns, made.st_mtime_ns))
    assert reading.content_hashes([file, other]) == [before[1], before[1]]
    file.unlink()
    with pytest.raises(GoldfoldError, match=r"a\.png.*does not exist"):
        reading.content_hashes([file, other])


def test_load_resized_keeps_the_order_and_averages_areas(tmp_path, picture):
    paths = []
    for i in range(9):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(np.roll(picture, i, axis=0)).save(paths[-1])
    loaded = reading.load_resized(paths, 10)
    assert loaded.shape == (9, 10, 10, 3)
    assert loaded.dtype == np.uint8
    for i in range(9):
        blocks = np.roll(picture, i, axis=0).reshape(10, 2, 10, 3, 3).mean(axis=(1, 3))
        assert np.abs(loaded[i] - blocks).max() <= 0.51
    assert reading.load_resized(paths[:2], 64, gray=True).shape == (2, 64, 64, 1)
    tall = reading.load_resized(paths[:1], (10, 5))
    assert np.abs(tall[0] - picture.reshape(10, 2, 5, 6, 3).mean(axis=(1, 3))).max() <= 0.51
    assert reading.load_resized([], 10).shape == (0, 10, 10, 3)


def test_load_resized_reports_the_bad_file(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "good.png")
    with pytest.raises(GoldfoldError, match=r"gone\.png") as error:
        reading.load_resized([tmp_path / "good.png", tmp_path / "gone.png"], 10)
    assert error.value.code == "unreadable_image"


def test_resize_enlarges_by_cubic_interpolation(picture):
    expected = cv2.resize(picture, (40, 40), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(reading.resize(picture, 40), expected)
    assert np.array_equal(reading.resize(picture[:20, :20], 20), picture[:20, :20])


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_orientation_is_applied_alike_to_pixels_and_size(tmp_path, picture, suffix, tag):
    exif = Image.Exif()
    exif[0x0112] = tag
    path = tmp_path / f"turned.{suffix}"
    Image.fromarray(picture).save(path, exif=exif)
    with Image.open(path) as image:
        image.load()  # turns TIFF
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert np.array_equal(reading.read(path), expected)
    assert reading.size(path) == expected.shape[:2]
    assert (reading.orientation(path) or 1) == tag


def test_orientation_in_xmp_and_behind_the_pixels_is_applied(tmp_path, picture):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    Image.fromarray(picture).save(tmp_path / "xmp.jpg", xmp=xmp)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "late.png", exif=exif)
    content = (tmp_path / "late.png").read_bytes()
    start = content.index(b"eXIf") - 4
    chunk = content[start : start + 12 + int.from_bytes(content[start : start + 4], "big")]
    (tmp_path / "late.png").write_bytes(content.replace(chunk, b"")[:-12] + chunk + content[-12:])
    for name in ("xmp.jpg", "late.png"):
        assert reading.size(tmp_path / name) == reading.read(tmp_path / name).shape[:2] == (30, 20)


def test_tiff_colors_are_not_darkened_by_alpha_and_float_maps_are_refused(tmp_path, picture):
    Image.fromarray(np.dstack([picture, picture[..., 0] // 2])).save(tmp_path / "alpha.tif")
    assert np.array_equal(reading.read(tmp_path / "alpha.tif"), picture)
    Image.fromarray(picture[..., 0].astype(np.float32)).save(tmp_path / "float.pfm")
    with pytest.raises(GoldfoldError, match=r"float\.pfm") as error:
        reading.read(tmp_path / "float.pfm")
    assert error.value.code == "unreadable_image"
