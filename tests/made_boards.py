"""Drawn circuit boards: a template, photographs of it that are shifted and lit otherwise, and defects on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

SIDE = 128


def template(seed: int, side: int = SIDE) -> np.ndarray:
    """A board of traces and pads, uint8 (side, side, 3)."""
    drawn = np.random.default_rng(seed)
    board = np.full((side, side, 3), (30, 90, 40), np.uint8)
    for _ in range(24):
        start, length = drawn.integers(0, side, 2), int(drawn.integers(side // 8, side // 2))
        end = start + (np.array([length, 0]) if drawn.random() < 0.5 else np.array([0, length]))
        cv2.line(board, start.tolist(), end.tolist(), drawn.integers(120, 220, 3).tolist(), 3)
    for center in drawn.integers(0, side, (10, 2)):
        cv2.circle(board, center.tolist(), 5, (200, 200, 210), -1)
    return board


def photograph(board: np.ndarray, shift: tuple[float, float], seed: int, turn: float = 0.0) -> np.ndarray:
    """The board shifted by (x, y) pixels and turned by degrees, in other light and with noise."""
    drawn, side = np.random.default_rng(seed), board.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), turn, 1)
    matrix[:, 2] += shift
    moved = cv2.warpAffine(board, matrix, board.shape[1::-1], borderMode=cv2.BORDER_REFLECT).astype(float)
    lit = moved * drawn.uniform(0.85, 1.1) + drawn.uniform(-10, 10) + drawn.normal(0, 3, board.shape)
    return np.clip(lit, 0, 255).astype(np.uint8)


def break_trace(image: np.ndarray, place: tuple[int, int], size: int = 5) -> np.ndarray:
    """A copy with a spot of solder of `size` pixels at (x, y)."""
    broken = image.copy()
    cv2.circle(broken, place, size // 2, (235, 235, 240), -1)
    return broken


def save(path: Path, image: np.ndarray) -> Path:
    """Write an image uint8 (h, w, 3) RGB as PNG."""
    cv2.imencode(".png", image[..., ::-1])[1].tofile(path)
    return path


def rows(folder: Path, boards: int = 2, each: int = 9, defects: int = 4) -> pd.DataFrame:
    """Photographs of several boards, of which the last ones of each board have a spot: id, path, defect, x, y.

    `reference_path` is the template of the board, `board` its number.
    """
    made = []
    for number in range(boards):
        clean, draw = template(number), np.random.default_rng(100 + number)
        reference = save(folder / f"vorlage {number}.png", clean)
        for at in range(each):
            image = photograph(clean, tuple(draw.uniform(-4, 4, 2)), seed=1000 * number + at)
            defect, place = int(at >= each - defects), tuple(draw.integers(20, SIDE - 20, 2).tolist())
            image = break_trace(image, place) if defect else image
            path = save(folder / f"{number}-{at}.png", image)
            made.append((f"板{number}-{at}", path, defect, *place, reference, number))
    return pd.DataFrame(made, columns=["id", "path", "defect", "x", "y", "reference_path", "board"])
