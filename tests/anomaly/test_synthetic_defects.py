"""Pseudo-anomalies: the ranges of the paper, nothing changed outside the mask, the same damage for the same sample."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from error_codes import raises_code
from scipy import ndimage

from goldfold.anomaly.synthetic_defects import KINDS, LEAST_CHANGE, SHIFT, damage

DRAWS = 300


@pytest.fixture(scope="module")
def textures() -> dict[str, np.ndarray]:
    """Real textures and a photograph, uint8 (h, w, c), none of them square."""
    from skimage import data

    gray = {name: getattr(data, name)()[:128, :160, None] for name in ("brick", "grass", "gravel")}
    return {**gray, "astronaut": data.astronaut()[:160, 100:228]}


def noise(rows: int, columns: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, columns, channels), dtype=np.uint8)


def masks(image: np.ndarray, kind: str, draws: int = DRAWS) -> list[np.ndarray]:
    return [damage(image, kind, 0, sample)[1] for sample in range(draws)]


def box(mask: np.ndarray) -> tuple[int, int]:
    """(height, width) of the mask's bounding box."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


@pytest.mark.parametrize("shape", [(64, 64), (16, 16), (17, 90), (90, 17), (160, 16)])
def test_patch_ranges(shape: tuple[int, int]) -> None:
    found = masks(noise(*shape), "cutpaste_patch")
    areas = np.array([mask.mean() for mask in found])
    boxes = np.array([box(mask) for mask in found])
    aspects = boxes[:, 1] / boxes[:, 0]
    assert np.array_equal(boxes.prod(axis=1), [mask.sum() for mask in found])
    assert 0.02 <= areas.min() < 0.04
    assert 0.12 < areas.max() <= 0.15
    assert aspects.min() >= 0.3
    assert aspects.max() <= 3.3
    if shape == (64, 64):
        assert (aspects < 1).mean() == pytest.approx(0.5, abs=0.1)
        assert aspects.min() < 0.35
        assert aspects.max() > 2.9


def test_scar_ranges() -> None:
    """Sides and lean of the smallest rectangle around the mask, in pixels of a side of 256."""
    side, measured = 512, []
    for mask in masks(noise(side, side + 60), "cutpaste_scar"):
        _, sizes, degrees = cv2.minAreaRect(np.argwhere(mask)[:, ::-1].astype(np.float32))
        sizes = (np.array(sizes) + 0.7) * 256 / side  # from pixel centers to pixel borders
        upright = degrees + 90 * sizes.argmax() + 90  # of the longer side, from the vertical
        measured.append((sizes.min(), sizes.max(), (upright + 90) % 180 - 90))
    short, long, lean = np.array(measured).T
    clear = long > 17  # wider than any scar: the longer side is the length
    assert 1.5 < short.min() < 3
    assert 14 < short[clear].max() < 16.5
    assert 9.5 < long.min() < 12
    assert 24 < long.max() < 25.5
    assert -46 < lean[clear].min() < -40
    assert 40 < lean[clear].max() < 46


@pytest.mark.parametrize("shape", [(16, 16), (32, 48), (16, 160)])
def test_scars_of_small_images_stay_whole(shape: tuple[int, int]) -> None:
    found = masks(noise(*shape), "cutpaste_scar")
    assert min(mask.sum() for mask in found) >= 4
    assert max(mask.sum() for mask in found) <= 16
    assert all(ndimage.label(mask, np.ones((3, 3)))[1] == 1 for mask in found)


@pytest.mark.parametrize("shape", [(64, 64), (16, 16), (20, 100)])
def test_texture_region_is_one_of_its_size(shape: tuple[int, int]) -> None:
    found = masks(noise(*shape), "texture_damage")
    areas = np.array([mask.mean() for mask in found])
    pixel = 1 / np.prod(shape)
    assert 0.01 <= areas.min() < 0.015 + pixel
    assert 0.09 < areas.max() <= 0.1 + pixel
    assert all(ndimage.label(mask, np.ones((3, 3)))[1] == 1 for mask in found)
    filled = np.mean([mask.sum() / np.prod(box(mask)) for mask in found])
    assert filled < 0.75  # a rectangle fills its box, a disc 79 % of it


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_mask_changes_and_it_does(kind: str, textures: dict[str, np.ndarray]) -> None:
    for name, image in textures.items():
        before = image.copy()
        for sample in range(20):
            damaged, mask = damage(image, kind, 1, sample)
            assert damaged.dtype == np.uint8
            assert mask.dtype == bool
            assert (damaged.shape, mask.shape) == (image.shape, image.shape[:2]), name
            assert np.array_equal(damaged[~mask], image[~mask])
            assert np.abs(damaged[mask].astype(int) - image[mask]).mean() >= LEAST_CHANGE
        assert np.array_equal(image, before)


def test_patch_shows_what_is_elsewhere(textures: dict[str, np.ndarray]) -> None:
    """The best match of a pasted patch in the image is nearly perfect, and not where it was pasted."""
    image = textures["gravel"]
    for sample in range(10):
        damaged, mask = damage(image, "cutpaste_patch", 0, sample)
        height, width = box(mask)
        row, column = np.argwhere(mask)[0]
        patch = damaged[row : row + height, column : column + width]
        match = cv2.matchTemplate(image, patch, cv2.TM_CCOEFF_NORMED)
        assert match.max() > 0.99
        assert match[row, column] < match.max()


@pytest.mark.parametrize("axis", [0, 1])
def test_scar_shows_the_image_turned(axis: int) -> None:
    """Out of a ramp of gray comes a scar whose ramp leans as its outline does."""
    ramp = np.broadcast_to(np.linspace(40, 210, 512).astype(np.uint8)[None, :, None], (512, 512, 1))
    ramp = np.ascontiguousarray(ramp.swapaxes(0, 1) if axis else ramp)
    leans = []
    for sample in range(40):
        damaged, mask = damage(ramp, "cutpaste_scar", 0, sample)
        if mask.sum() < 400:
            continue  # too few gray levels for an angle
        places = np.column_stack([*np.nonzero(mask), np.ones(mask.sum())])
        down, right, _ = np.linalg.lstsq(places, damaged[mask][:, 0].astype(float), rcond=None)[0]
        outline = cv2.minAreaRect(np.argwhere(mask)[:, ::-1].astype(np.float32))[2]
        leans.append(np.rad2deg(np.arctan2(down, right)) - 90 * axis)
        assert abs((leans[-1] - outline + 45) % 90 - 45) < 5
    assert max(leans) > 20
    assert min(leans) < -20


def test_texture_damage_has_four_faces(textures: dict[str, np.ndarray]) -> None:
    """Shuffling keeps the gray levels, darkening scales them, blurring takes their contrast, scratching keeps it."""
    image, faces = textures["grass"], set()
    for sample in range(40):
        damaged, mask = damage(image, "texture_damage", 0, sample)
        before, after = image[mask].ravel().astype(float), damaged[mask].ravel().astype(float)
        if np.array_equal(np.sort(before), np.sort(after)):
            faces.add("shuffled")
        elif np.corrcoef(before, after)[0, 1] > 0.99:
            faces.add("darkened")
            assert after.mean() < 0.75 * before.mean()
        elif after.std() < 0.7 * before.std():
            faces.add("blurred")
        else:
            faces.add("scratched")
            assert after.std() > before.std() * 0.9
    assert faces == {"shuffled", "darkened", "blurred", "scratched"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0, 1, 127, 128, 255])
@pytest.mark.parametrize("channels", [1, 3])
def test_constant_images_change_too(kind: str, level: int, channels: int) -> None:
    image = np.full((24, 24, channels), level, np.uint8)
    for sample in range(5):
        damaged, mask = damage(image, kind, 0, sample)
        assert np.abs(damaged[mask].astype(int) - level).mean() >= LEAST_CHANGE
        assert (damaged[~mask] == level).all()
    if level == 0 and kind == "cutpaste_patch":
        assert (damaged[mask] == SHIFT).all()


def fingerprint(samples: list[int]) -> str:
    """Of the damage of every kind to samples 0 to 4, made in the order given."""
    image = noise(32, 40, 3)
    made = {
        sample: [b"".join(part.tobytes() for part in damage(image, k, 7, sample)) for k in KINDS] for sample in samples
    }
    return hashlib.sha256(b"".join(b"".join(made[sample]) for sample in sorted(made))).hexdigest()


def test_same_sample_same_damage_in_any_order_and_process() -> None:
    here = fingerprint([0, 1, 2, 3, 4])
    assert fingerprint([3, 1, 4, 0, 2]) == here
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    code = f"import sys; sys.path[:0] = {folders!r}\n"
    code += "import numpy, random; numpy.random.seed(5); random.seed(5)\n"
    code += "from test_synthetic_defects import fingerprint; print(fingerprint([4, 3, 2, 1, 0]))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


@pytest.mark.parametrize("kind", KINDS)
def test_seed_sample_and_kind_each_matter(kind: str) -> None:
    image = noise(48, 48)
    first = damage(image, kind, 0, "牙刷")[0]
    others = [damage(image, kind, 1, "牙刷"), damage(image, kind, 0, "地毯"), damage(image, "texture_damage", 0, "x")]
    assert all(not np.array_equal(first, other) for other, _ in others)


@pytest.mark.parametrize(
    ("image", "code", "facts"),
    [
        (np.zeros((15, 40, 3), np.uint8), "image_too_small", ("16 pixels", "15 x 40")),
        (np.zeros((16, 161, 3), np.uint8), "image_too_small", ("10 times", "16 x 161")),
        (np.zeros((40, 40), np.uint8), "wrong_image_format", ("uint8 (40, 40)",)),
        (np.zeros((40, 40, 4), np.uint8), "wrong_image_format", ("uint8 (40, 40, 4)",)),
        (np.zeros((40, 40, 3), np.float32), "wrong_image_format", ("float32",)),
    ],
)
def test_what_cannot_be_damaged_is_refused(image: np.ndarray, code: str, facts: tuple[str, ...]) -> None:
    with raises_code(code, *facts):
        damage(image, "cutpaste_patch", 0, 0)


def test_unknown_kind_suggests_the_near_one() -> None:
    with raises_code("unknown_defect_kind", "did you mean 'cutpaste_scar'"):
        damage(noise(32, 32), "cutpaste_scars", 0, 0)
