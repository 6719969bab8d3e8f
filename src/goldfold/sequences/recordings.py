"""Read the frames of MATLAB and NumPy arrays, video files and folders of images, one at a time.

Reading never runs code from a file: pickles are not loaded, and links out of a MATLAB file are not followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from goldfold.data.layouts.defect_folders import IMAGE_SUFFIXES
from goldfold.errors import GoldfoldError, unknown
from goldfold.images import reading

VIDEOS = (".avi", ".mp4")
ARRAYS = (".mat", ".npy", ".npz")
NUMBERS = "biufc"  # NumPy dtype kinds that can be pixels or samples


@dataclass(frozen=True)
class Recording:
    """An iterable of frames that can be iterated repeatedly; frames are read on demand if the file format allows it.

    arrays: () -> a new iterator over the frames as they are in the file. Iteration over the recording removes axes of
        length 1 and checks each frame: (h, w) or (h, w, 3) in RGB order, equal shapes, real or complex numbers, finite.
    """

    path: Path
    arrays: Callable[[], Iterator[np.ndarray]]

    def __iter__(self) -> Iterator[np.ndarray]:
        shape = None
        for number, frame in enumerate(self.arrays()):
            frame = np.squeeze(frame)
            shape = shape or frame.shape
            if fault := _fault(frame, shape):
                raise GoldfoldError(fault[0], f"frame {number} of '{self.path}' {fault[1]}")
            yield frame
        if shape is None:
            raise GoldfoldError("recording_empty", f"'{self.path}' has no frames: remove it, or record it again")


def read(path: Path, variable: str | None = None, frames_axis: int = 0) -> Recording:
    """Open a recording: a file with one of the `ARRAYS` or `VIDEOS` extensions, or a folder of images sorted by name.

    variable: the array of a .mat or .npz file; None: its only array with three or more axes. SciPy reads .mat versions
        4 to 7.2, h5py reads 7.3; axes are in MATLAB's order.
    frames_axis: the axis of an array along which frames lie, from 0.

    Raises:
        GoldfoldError: `recording_missing`; `unknown_file_type`; `recording_unreadable`; `frames_array_ambiguous` or
            `unknown_array`; `frames_axis_invalid`. Faulty frames raise during iteration.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != ".")
        return Recording(path, lambda: map(reading.read, files))
    if not path.is_file():
        raise GoldfoldError("recording_missing", f"there is no recording '{path}': put it there, or correct its name")
    if suffix in VIDEOS:
        return Recording(path, partial(_video, path))
    kinds = {".npy": _npy, ".npz": _npz, ".mat": _mat}
    if suffix not in kinds:
        formats = [*ARRAYS, *VIDEOS, "a folder of images"]
        raise unknown(f"kind of recording for '{path.name}'", suffix, formats, code="unknown_file_type")
    return Recording(path, kinds[suffix](path, variable, frames_axis))


def _npy(path: Path, variable: str | None, frames_axis: int) -> Callable[[], Iterator[np.ndarray]]:
    array = _loaded(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))
    return _along(array, frames_axis, path)


def _npz(path: Path, variable: str | None, frames_axis: int) -> Callable[[], Iterator[np.ndarray]]:
    def shapes() -> dict[str, tuple[int, ...]]:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name].shape for name in file.files if file[name].dtype.kind in NUMBERS}

    def loaded() -> np.ndarray:
        with np.load(path, allow_pickle=False) as file:
            return file[name]

    name = _chosen(_loaded(path, shapes), variable, path)
    return _along(_loaded(path, loaded), frames_axis, path)


def _mat(path: Path, variable: str | None, frames_axis: int) -> Callable[[], Iterator[np.ndarray]]:
    import h5py
    from scipy import io

    if h5py.is_hdf5(path):
        return _mat_73(path, variable, frames_axis)
    numeric = ("double", "single", "logical", "int", "uint")
    arrays = _loaded(path, lambda: io.whosmat(path))
    name = _chosen({name: shape for name, shape, kind in arrays if kind.startswith(numeric)}, variable, path)
    return _along(_loaded(path, lambda: io.loadmat(path, variable_names=[name])[name]), frames_axis, path)


def _mat_73(path: Path, variable: str | None, frames_axis: int) -> Callable[[], Iterator[np.ndarray]]:
    """Read MATLAB 7.3 (HDF5), which stores axes in reverse order and complex numbers as pairs (real, imag)."""
    import h5py

    def shapes() -> dict[str, tuple[int, ...]]:
        with h5py.File(path, "r") as file:
            own = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
            return {name: file[name].shape[::-1] for name in own if isinstance(file[name], h5py.Dataset)}

    def frames() -> Iterator[np.ndarray]:
        with h5py.File(path, "r") as file:
            data = file[name]
            for number in range(data.shape[axis]):
                frame = data[(slice(None),) * axis + (number,)]
                yield (frame["real"] + 1j * frame["imag"] if frame.dtype.names else frame).T

    known = _loaded(path, shapes)
    name = _chosen(known, variable, path)
    axis = len(known[name]) - 1 - _axis(known[name], frames_axis, path)
    return frames


def _video(path: Path) -> Iterator[np.ndarray]:
    video = cv2.VideoCapture(str(path))
    try:
        announced, read = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), 0
        while (decoded := video.read())[0]:
            yield cv2.cvtColor(decoded[1], cv2.COLOR_BGR2RGB)
            read += 1
    finally:
        video.release()
    if not read or read < 0.99 * announced:  # containers may count a frame too many
        raise GoldfoldError(
            "recording_unreadable",
            f"video '{path}' cannot be read to its end, only {read} of {max(announced, 0)} frames: copy or convert it "
            "again",
        )


def _loaded(path: Path, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:  # the readers raise errors of many kinds for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GoldfoldError(
            "recording_unreadable", f"'{path}' cannot be read ({reason}): save it again as an array of numbers"
        ) from error


def _chosen(shapes: Mapping[str, tuple[int, ...]], wanted: str | None, path: Path) -> str:
    """Return the name of the array that holds the frames."""
    if wanted is not None:
        if wanted not in shapes:
            raise unknown(f"array in '{path}'", wanted, shapes, code="unknown_array")
        return wanted
    likely = [name for name, shape in shapes.items() if len(shape) > 2]
    if len(likely) != 1:
        found = ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in shapes.items()) or "no array"
        raise GoldfoldError(
            "frames_array_ambiguous",
            f"'{path}' must hold one array with three or more axes, but has {found}: write its name as "
            "'variable: <name>' into recording.yaml in the same folder",
        )
    return likely[0]


def _axis(shape: tuple[int, ...], axis: int, path: Path) -> int:
    if axis >= len(shape):
        raise GoldfoldError(
            "frames_axis_invalid",
            f"'{path}' has {len(shape)} axes, but frames_axis is {axis}: use 0 to {len(shape) - 1}",
        )
    return axis


def _along(array: np.ndarray, axis: int, path: Path) -> Callable[[], Iterator[np.ndarray]]:
    return partial(iter, np.moveaxis(array, _axis(array.shape, axis, path), 0))


def _fault(frame: np.ndarray, shape: tuple[int, ...]) -> tuple[str, str] | None:
    """Return the error code and what is wrong with a frame, or None."""
    if frame.dtype.kind not in NUMBERS:
        return "frame_not_numeric", f"must hold numbers, but has the dtype {frame.dtype}: save it as numbers"
    if frame.ndim != 2 and not (frame.ndim == 3 and frame.shape[-1] == 3):
        return (
            "frame_shape_invalid",
            f"must be (h, w) or (h, w, 3), but has the shape {frame.shape}: set frames_axis in recording.yaml",
        )
    if frame.shape != shape:
        return (
            "frame_shapes_differ",
            f"has the shape {frame.shape}, but the first frame has {shape}: split it into another recording",
        )
    if not np.isfinite(frame).all():
        count = np.count_nonzero(~np.isfinite(frame))
        return "frame_not_finite", f"has {count} values that are NaN or infinite: remove the frame, or fill them"
    return None
