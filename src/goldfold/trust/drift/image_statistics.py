"""Cheap statistics of image files: size, file size, brightness, contrast, color and sharpness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from goldfold.errors import GoldfoldError
from goldfold.images import reading
from goldfold.nn import feature_cache

NAMES = (
    "height",
    "width",
    "width / height",
    "file bytes",
    "bytes per pixel",
    "mean",
    "sd",
    "red - green",
    "blue - green",
    "darkest 1 %",
    "brightest 1 %",
    "sharpness",
)
KEY = "image statistics 1"  # changed where a statistic is computed otherwise
LOST = -1.0  # every statistic of a file that cannot be decoded


def statistics(paths: Sequence[str | Path], cache: Path, progress: Callable[[int, int], None]) -> np.ndarray:
    """The statistics of each file, float64 (n, 12) as `NAMES`; NaN for files that cannot be decoded.

    Sizes in pixels and bytes; levels from 0 to 255, the mean and sd over pixels and channels; sharpness is the
    logarithm of the variance of the Laplacian of the gray image (Pech-Pacheco et al. 2000). Kept by content in `cache`.
    """
    found = feature_cache.cached_features(
        paths, _of_files, key=KEY, cache=cache, batch_size=64, progress=progress, dtype=np.float64
    )
    return np.where((found == LOST).all(1, keepdims=True), np.nan, found)


def _of_files(paths: Sequence[Path]) -> np.ndarray:
    with ThreadPoolExecutor(reading.THREADS) as pool:
        return np.stack(list(pool.map(_of_file, paths)))


def _of_file(path: Path) -> np.ndarray:
    try:
        image = reading.read(path)
    except GoldfoldError:
        return np.full(len(NAMES), LOST)
    height, width = image.shape[:2]
    size = Path(path).stat().st_size
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    red, green, blue = image.reshape(-1, 3).mean(0, dtype=np.float64)
    dark, bright = np.quantile(gray, (0.01, 0.99))
    sharp = np.log1p(cv2.Laplacian(gray, cv2.CV_64F).var())
    levels = [image.mean(dtype=np.float64), image.std(dtype=np.float64), red - green, blue - green, dark, bright]
    return np.array([height, width, width / height, size, size / (height * width), *levels, sharp])
