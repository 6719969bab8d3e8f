"""Folders of recordings: list them, read `recording.yaml` and `labels.csv`, convert frames to 8-bit images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from pydantic import Field, ValidationError

from goldfold.errors import GoldfoldError, unknown
from goldfold.images import names as image_names
from goldfold.io import yaml_text
from goldfold.params import Params
from goldfold.sequences import recordings, ultrasound

SUFFIXES = recordings.ARRAYS + recordings.VIDEOS


class Layout(Params):
    """Contents of `recording.yaml`, which describes the arrays (.mat, .npy, .npz) of a folder; keys are optional."""

    variable: str | None = Field(default=None, description="array to read if a file holds several with 3 or more axes")
    frames_axis: int = Field(default=0, ge=0, description="axis along which the frames lie, from 0")
    dynamic_range_db: float | None = Field(
        default=None,
        gt=0,
        description="dB; the arrays are ultrasound, commonly 60; by default images: uint8, uint16 or numbers in [0, 1]",
    )


def read_layout(folder: Path) -> Layout:
    """Read `recording.yaml` of a folder; return the defaults if there is none.

    Raises:
        GoldfoldError: `layout_unreadable`, it is not YAML; `unknown_key`; `layout_invalid`, with the wrong value.
    """
    path = folder / "recording.yaml"
    if not path.exists():
        return Layout()
    try:
        values = yaml_text.load(path.read_text(encoding="utf-8")) or {}
        if not isinstance(values, dict):
            raise GoldfoldError(
                "layout_invalid", f"{path} must hold lines such as 'variable: frames', not {values!r}: rewrite it"
            )
        for name in values:
            if name not in Layout.model_fields:
                raise unknown(f"key of {path}", str(name), Layout.model_fields, code="unknown_key")
        return Layout(**values)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise GoldfoldError("layout_unreadable", f"{path} is not YAML in UTF-8 ({reason}): fix it there") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise GoldfoldError(
            "layout_invalid", f"{path}: {first['loc'][0]} is {first['input']!r}. {first['msg']}."
        ) from error


def find_recordings(folder: Path) -> dict[str, Path]:
    """Return the recordings directly below a folder, sorted: name -> file or folder of images.

    The name is the file name without extension, or the name of the folder.

    Raises:
        GoldfoldError: `no_recordings`; `recording_names_not_unique`.
    """
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    chosen = [path for path in entries if path.name[0] != "." and (path.is_dir() or path.suffix.lower() in SUFFIXES)]
    if not chosen:
        raise GoldfoldError(
            "no_recordings",
            f"{folder} has no recordings ({', '.join(SUFFIXES)} or folders of images): put them there",
        )
    named: dict[str, Path] = {}
    for path in chosen:
        name = image_names.to_nfc(path.name if path.is_dir() else path.stem)
        if name in named:
            raise GoldfoldError(
                "recording_names_not_unique", f"{named[name]} and {path} have the same name '{name}': rename one"
            )
        named[name] = path
    return named


def eight_bit_frames(recording: recordings.Recording, layout: Layout) -> Iterator[np.ndarray]:
    """Yield each frame as uint8, (h, w) or (h, w, 3).

    If `layout` has a dynamic range, arrays become B-mode images on the scale of the whole recording. Otherwise bools
    become 0 and 255, uint16 keeps its upper 8 bits, and floats in [0, 1] are scaled to [0, 255].

    Raises:
        GoldfoldError: as iteration over the recording; `frames_complex` or `frame_range_invalid`, frames need a
            dynamic range or other values.
    """
    if layout.dynamic_range_db is not None and recording.path.suffix.lower() in recordings.ARRAYS:
        largest = ultrasound.peak(recording)
        yield from (ultrasound.b_mode(frame, largest, layout.dynamic_range_db) for frame in recording)
        return
    for number, frame in enumerate(recording):
        yield _eight_bits(frame, f"frame {number} of '{recording.path}'")


def read_labels(path: Path, counts: Mapping[str, int]) -> pd.DataFrame:
    """Read `labels.csv`: the columns recording, frame (int64, from 0) and label (text), one row per labeled frame.

    counts: recording -> its number of frames. A recording may be written with or without its file extension.

    Raises:
        GoldfoldError: `file_missing`; the file is not such a CSV; `unknown_recording`; `frame_label_invalid`, a frame
            that does not exist, is labeled twice, or has an empty label.
    """
    if not path.exists():
        raise GoldfoldError(
            "file_missing", f"{path} is missing: write it with the columns recording, frame (from 0), label"
        )
    rows = image_names.read_table(path, ["recording", "frame", "label"])
    rows["recording"] = [_known(image_names.to_nfc(name.strip()), counts, path) for name in rows["recording"]]
    numbers = pd.to_numeric(rows["frame"], errors="coerce")
    limits = rows["recording"].map(counts)
    wrong = ~(numbers.ge(0) & numbers.lt(limits) & numbers.mod(1).eq(0)) | rows["label"].str.strip().eq("")
    repeated = rows.assign(frame=numbers).duplicated(["recording", "frame"])
    if (faulty := wrong | repeated).any():
        row = rows[faulty].iloc[0]
        raise GoldfoldError(
            "frame_label_invalid",
            f"{path} line {faulty.argmax() + 2}: frame '{row['frame']}' of '{row['recording']}' "
            f"({counts[row['recording']]} frames) has the label '{row['label']}'. Frames are counted from 0 and have "
            "one label each, which is not empty.",
        )
    return rows.assign(frame=numbers.astype(np.int64), label=rows["label"].str.strip())


def _known(name: str, counts: Mapping[str, int], path: Path) -> str:
    for spelling in (name, name.rpartition(".")[0]):
        if spelling in counts:
            return spelling
    raise unknown(f"recording for {path}", name, counts, code="unknown_recording")


def _eight_bits(frame: np.ndarray, name: str) -> np.ndarray:
    if frame.dtype == np.uint8:
        return frame
    if frame.dtype == np.uint16:
        return (frame >> 8).astype(np.uint8)
    if frame.dtype.kind == "c":
        raise GoldfoldError(
            "frames_complex",
            f"{name} is complex: for ultrasound, write 'dynamic_range_db: 60' into recording.yaml",
        )
    low, high = float(frame.min()), float(frame.max())
    if low < 0 or high > 1:
        raise GoldfoldError(
            "frame_range_invalid",
            f"{name} must hold uint8, uint16, or numbers in [0, 1], but holds {frame.dtype} from {low:g} to {high:g}: "
            "rescale it, or write 'dynamic_range_db: 60' into recording.yaml if it is ultrasound",
        )
    return np.rint(frame.astype(np.float64) * 255).astype(np.uint8)
