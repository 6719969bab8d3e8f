"""Recordings as frames: arrays of MATLAB and NumPy, video files, and folders of images, read one frame at a time.

Nothing that a file could run is run: no pickles are loaded, and links out of a MATLAB file are not followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from goldfold.data.defect_folders import SUFFIXES as PICTURES
from goldfold.errors import GoldfoldError, unknown
from goldfold.images import reading as images

VIDEOS = (".avi", ".mp4")
ARRAYS = (".mat", ".npy", ".npz")
NUMBERS = "biufc"  # kinds of NumPy types that can be pixels or samples


@dataclass(frozen=True)
class Recording:
    """Frames that can be walked through any number of times; each is read as it is asked for, where its file allows.

    arrays: anew, every frame in order as its file has it; iteration checks each: (h, w) or (h, w, 3) of one shape, RGB
    order, numbers (complex ones too), finite. axes of length 1 are left out.
    """

    path: Path
    arrays: Callable[[], Iterator[np.ndarray]]

    def __iter__(self) -> Iterator[np.ndarray]:
        shape = None
        for number, frame in enumerate(self.arrays()):
            frame = np.squeeze(frame)
            shape = shape or frame.shape
            if fault := _fault(frame, shape):
                raise GoldfoldError(f"frame {number} of '{self.path}' {fault}")
            yield frame
        if shape is None:
            raise GoldfoldError(f"'{self.path}' must hold frames and holds none: remove it, or record it again")


def read(path: Path, variable: str | None = None, frames_axis: int = 0) -> Recording:
    """A recording in a file of a known kind, or in a folder of images, in the order of their names.

    .mat: its one array of three or more axes, or `variable`; versions 4 to 7.2 by SciPy, 7.3 by h5py, whose axes
        come in MATLAB's order. .npz: likewise. .npy, .npz, .mat: frames lie along `frames_axis`, counted from 0.

    Raises:
        GoldfoldError: there is no such file, its ending is of no known kind, or it is damaged; several arrays and none
            named, or none of that name; an axis that it does not have. A frame's faults are told as it is reached.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES and file.name[0] != ".")
        return Recording(path, lambda: map(images.read, files))
    if not path.is_file():
        raise GoldfoldError(f"there is no recording '{path}': put it there, or correct its name")
    if suffix in VIDEOS:
        return Recording(path, partial(_video, path))
    kinds = {".npy": _npy, ".npz": _npz, ".mat": _mat}
    if suffix not in kinds:
        raise unknown(f"kind of recording for '{path.name}'", suffix, [*ARRAYS, *VIDEOS, "a folder of images"])
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
    told = _loaded(path, lambda: io.whosmat(path))
    name = _chosen({name: shape for name, shape, kind in told if kind.startswith(numeric)}, variable, path)
    return _along(_loaded(path, lambda: io.loadmat(path, variable_names=[name])[name]), frames_axis, path)


def _mat_73(path: Path, variable: str | None, frames_axis: int) -> Callable[[], Iterator[np.ndarray]]:
    """MATLAB's axes lie in HDF5 in the opposite order, and complex numbers as pairs called real and imag."""
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
            f"video '{path}' cannot be read to its end, {read} of {max(announced, 0)} frames: copy or convert it again"
        )


def _loaded(path: Path, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:  # the readers raise errors of many kinds for damaged files
        why = " ".join(str(error).split()) or type(error).__name__
        raise GoldfoldError(f"'{path}' cannot be read ({why}): save it again, as numbers without objects") from error


def _chosen(shapes: Mapping[str, tuple[int, ...]], wanted: str | None, path: Path) -> str:
    """The name of the array that holds the frames."""
    if wanted is not None:
        if wanted not in shapes:
            raise unknown(f"array in '{path}'", wanted, shapes)
        return wanted
    likely = [name for name, shape in shapes.items() if len(shape) > 2]
    if len(likely) != 1:
        told = ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in shapes.items()) or "no array"
        raise GoldfoldError(
            f"'{path}' must hold one array of three or more axes and has {told}: name it, 'variable: ...', in "
            "recording.yaml beside it"
        )
    return likely[0]


def _axis(shape: tuple[int, ...], axis: int, path: Path) -> int:
    if axis >= len(shape):
        raise GoldfoldError(f"'{path}' has {len(shape)} axes and frames_axis is {axis}: give 0 to {len(shape) - 1}")
    return axis


def _along(array: np.ndarray, axis: int, path: Path) -> Callable[[], Iterator[np.ndarray]]:
    return partial(iter, np.moveaxis(array, _axis(array.shape, axis, path), 0))


def _fault(frame: np.ndarray, shape: tuple[int, ...]) -> str | None:
    if frame.dtype.kind not in NUMBERS:
        return f"must hold numbers and is of type {frame.dtype}: save it as numbers"
    if frame.ndim != 2 and not (frame.ndim == 3 and frame.shape[-1] == 3):
        return f"must be (h, w) or (h, w, 3) and has the shape {frame.shape}: give frames_axis in recording.yaml"
    if frame.shape != shape:
        return f"has the shape {frame.shape} where the first has {shape}: make a recording of its own of it"
    if not np.isfinite(frame).all():
        return (
            f"has {np.count_nonzero(~np.isfinite(frame))} values that are NaN or infinite: leave it out, or fill them"
        )
    return None
