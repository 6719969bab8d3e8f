"""Tiny made products of three classes, 地毯, 牙刷 and screw, written as raw data in the layouts of defect_folders."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

CLASSES = ("screw", "地毯", "牙刷")
KINDS = ("hole", "划痕")
SIDE = 48


def product(of: str, number: int, kind: str = "good") -> tuple[np.ndarray, np.ndarray]:
    """Stripes of the class's own width, (SIDE, SIDE, 3) uint8, and the mask of the square or line that damages them."""
    draw = np.random.default_rng([CLASSES.index(of), number, len(kind)])
    wide = 2 + 2 * CLASSES.index(of)
    stripes = 120 + 60 * np.sin(np.arange(SIDE) / wide + draw.uniform(0, 6))[None, :, None]
    pixels = np.clip(stripes + draw.normal(0, 8, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    if kind != "good":
        top, left = draw.integers(4, 28, 2)
        mask[top : top + 14, left : left + (14 if kind == "hole" else 4)] = 255
    pixels[mask > 0] = 5
    return pixels, mask


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imencode(path.suffix.lower(), pixels)[1].tofile(path)
    return path


def homework(raw: Path, train: int = 10, test: int = 4) -> Path:
    """Training images in a folder a class, test images flat, some of them damaged, and a sample submission."""
    ids = []
    for of in CLASSES:
        for number in range(train):
            save(raw / "train" / of / f"{number:03d}.png", product(of, number)[0])
        for number in range(test):
            ids.append(f"{len(ids):04d}")
            save(raw / "test" / f"{ids[-1]}.png", product(of, 100 + number, "hole" if number % 2 else "good")[0])
    lines = ["id,prediction", *(f"{id_},0" for id_ in reversed(ids))]
    (raw / "sample_submission.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return raw


def mvtec(raw: Path, train: int = 10, good: int = 6, each: int = 5) -> Path:
    """MVTec AD's layout with `each` images of either kind of defect."""
    for of in CLASSES:
        for part, count in (("train", train), ("test", good)):
            for number in range(count):
                save(raw / of / part / "good" / f"{number:03d}.png", product(of, number + 100 * (part == "test"))[0])
        for kind in KINDS:
            for number in range(each):
                pixels, mask = product(of, 200 + number, kind)
                save(raw / of / "test" / kind / f"{number:03d}.png", pixels)
                save(raw / of / "ground_truth" / kind / f"{number:03d}_mask.png", mask)
    (raw / "license.txt").touch()
    return raw


LAYOUTS = {"industrial_defects": homework, "mvtec_ad": mvtec}  # competitions whose data nobody may pass on
