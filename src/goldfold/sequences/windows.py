"""Windows of features over time as `.npz` files: read and check them, write them.

A file holds `features` (T, F), and perhaps `mask` (T,), `joints` or `skeleton` (T, J, 2 or 3), `confidence` (T, J) and
`label`. Reading never runs code from a file: pickles are not loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from goldfold.errors import GoldfoldError, unknown

KEYS = ("features", "mask", "joints", "skeleton", "confidence", "label")
NUMBERS = "biuf"  # NumPy dtype kinds that can be features


@dataclass(frozen=True)
class Window:
    """A window of T frames.

    features: float64 (T, F), finite in valid frames and 0 in others. valid: bool (T,), False for frames in which
        nothing was measured. joints: float64 (T, J, 2 or 3), None if the file has none. confidence: float64 (T, J), 1
        where the file has none. label: of the file, None if it has none.
    """

    features: np.ndarray
    valid: np.ndarray
    joints: np.ndarray | None = None
    confidence: np.ndarray | None = None
    label: Any = None


def read(path: str | Path) -> Window:
    """Read the window of a `.npz` file.

    Raises:
        GoldfoldError: `window_unreadable`; those of `checked`.
    """
    return checked(arrays_of(Path(path)), f"'{path}'")


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a `.npz` file by name; raises GoldfoldError `window_unreadable`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # NumPy and zipfile raise errors of many kinds for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GoldfoldError(
            "window_unreadable", f"'{path}' cannot be read ({reason}): save it again with numpy.savez, without objects"
        ) from error


def checked(arrays: Mapping[str, np.ndarray], source: str) -> Window:
    """Check the arrays of a window.

    source: file or key, for messages.

    Raises:
        GoldfoldError: `window_array_missing`, there are no features; `window_not_numeric`; `window_shape_invalid`;
            `window_lengths_differ`, another array has another number of frames; `window_not_finite`, a valid frame
            has NaN or infinity.
    """
    if "features" not in arrays:
        raise unknown(f"array in {source}", "features", arrays, code="window_array_missing")
    features = _numbers(arrays["features"], "features", source)
    if features.ndim != 2 or not features.size:
        raise _wrong_shape("features", "(frames, features)", features, source)
    valid = _valid(arrays, len(features), source)
    joints = next((_numbers(arrays[name], name, source) for name in ("joints", "skeleton") if name in arrays), None)
    confidence = None
    if joints is not None:
        if joints.ndim != 3 or joints.shape[2] not in (2, 3):
            raise _wrong_shape("joints", "(frames, joints, 2 or 3)", joints, source)
        _same_length("joints", joints, features, source)
        joints = _finite(joints, valid, "joints", source)
        confidence = _numbers(arrays.get("confidence", np.ones(joints.shape[:2])), "confidence", source)
        if confidence.shape != joints.shape[:2]:
            raise _wrong_shape("confidence", f"{joints.shape[:2]} like joints", confidence, source)
        confidence = _finite(confidence, valid, "confidence", source)
    label = arrays["label"].tolist() if "label" in arrays else None
    return Window(_finite(features, valid, "features", source), valid, joints, confidence, label)


def _valid(arrays: Mapping[str, np.ndarray], frames: int, source: str) -> np.ndarray:
    mask = np.asarray(arrays.get("mask", np.ones(frames, bool)))
    if mask.ndim != 1:
        raise _wrong_shape("mask", "(frames,)", mask, source)
    if len(mask) != frames:
        raise GoldfoldError(
            "window_lengths_differ",
            f"mask of {source} has {len(mask)} frames, but features have {frames}: save one value per frame",
        )
    return _numbers(mask, "mask", source) > 0.5


def _numbers(array: np.ndarray, name: str, source: str) -> np.ndarray:
    if array.dtype.kind not in NUMBERS:
        raise GoldfoldError(
            "window_not_numeric", f"{name} of {source} must hold real numbers, got {array.dtype}: save it as float32"
        )
    return array.astype(np.float64)


def _same_length(name: str, array: np.ndarray, features: np.ndarray, source: str) -> None:
    if len(array) != len(features):
        raise GoldfoldError(
            "window_lengths_differ",
            f"{name} of {source} have {len(array)} frames, but features have {len(features)}: cut both alike",
        )


def _finite(array: np.ndarray, valid: np.ndarray, name: str, source: str) -> np.ndarray:
    """`array` with 0 in frames that are not valid."""
    bad = ~np.isfinite(array[valid])
    if bad.any():
        raise GoldfoldError(
            "window_not_finite",
            f"{name} of {source} hold {int(bad.sum())} values that are NaN or infinite in valid frames: set mask to 0 "
            "there, or fill them",
        )
    return np.where(valid.reshape(-1, *(1,) * (array.ndim - 1)), array, 0.0)


def _wrong_shape(name: str, wanted: str, array: np.ndarray, source: str) -> GoldfoldError:
    return GoldfoldError(
        "window_shape_invalid", f"{name} of {source} must have the shape {wanted}, got {array.shape}: save it again so"
    )


def write(path: Path, **arrays: Any) -> None:
    """Write a window to a `.npz` file; arrays: `KEYS` -> arrays, numbers as float32 but labels.

    Raises GoldfoldError `unknown_array` for another key.
    """
    for name in arrays:
        if name not in KEYS:
            raise unknown("array of a window", name, KEYS, code="unknown_array")
    values = {name: np.asarray(array) for name, array in arrays.items()}
    small = {name: value.astype(np.float32) if value.dtype.kind == "f" else value for name, value in values.items()}
    np.savez(path, allow_pickle=False, **small)  # not compressed, since every run reads them
