"""A folder of recordings: which there are, how to read them as pictures, and which label each frame has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from pydantic import Field, ValidationError

from goldfold.errors import GoldfoldError, unknown
from goldfold.images import names as image_names
from goldfold.params import Params
from goldfold.sequences import recordings, ultrasound

KINDS = recordings.ARRAYS + recordings.VIDEOS


class Layout(Params):
    """What the arrays of a folder's recordings hold, as its `recording.yaml` says; video and images say it themselves.

    dynamic_range_db makes them ultrasound, 60 being common; None means pictures: uint8, uint16, or numbers in [0, 1].
    """

    variable: str | None = None
    frames_axis: int = Field(0, ge=0)
    dynamic_range_db: float | None = Field(None, gt=0)


def layout(folder: Path) -> Layout:
    """What `recording.yaml` in a folder says of the arrays there; the defaults where there is none.

    Raises:
        GoldfoldError: it is no YAML, names something that does not exist, or gives it a value that cannot be.
    """
    path = folder / "recording.yaml"
    if not path.exists():
        return Layout()
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if not isinstance(told, dict):
            raise GoldfoldError(f"{path} must hold lines such as 'variable: frames', not {told!r}: write it so")
        for name in told:
            if name not in Layout.model_fields:
                raise unknown(f"key of {path}", str(name), Layout.model_fields)
        return Layout(**told)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise GoldfoldError(f"{path} is no YAML in utf-8 ({' '.join(str(error).split())}): mend it there") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise GoldfoldError(f"{path}: {first['loc'][0]} is {first['input']!r}, {first['msg']}: change it") from error


def found(folder: Path) -> dict[str, Path]:
    """The recordings right below a folder, by name: files without ending, folders of images; in the order of names.

    Raises:
        GoldfoldError: there is none, or two have one name.
    """
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    chosen = [path for path in there if path.name[0] != "." and (path.is_dir() or path.suffix.lower() in KINDS)]
    if not chosen:
        kinds = ", ".join(KINDS)
        raise GoldfoldError(
            f"{folder} must hold recordings ({kinds} or folders of images) and holds none: put them there"
        )
    named: dict[str, Path] = {}
    for path in chosen:
        name = image_names.to_nfc(path.name if path.is_dir() else path.stem)
        if name in named:
            raise GoldfoldError(f"recordings need names of their own, unlike {named[name]} and {path}: rename one")
        named[name] = path
    return named


def pictures(recording: recordings.Recording, layout: Layout) -> Iterator[np.ndarray]:
    """Each frame as uint8, (h, w) or (h, w, 3): B-mode of the whole recording's scale where `layout` says ultrasound.

    Else bool becomes 0 and 255, uint16 its upper 8 bits, and floats in [0, 1] are scaled.

    Raises:
        GoldfoldError: as iteration does; complex frames, or numbers of another range, and no dynamic_range_db.
    """
    if layout.dynamic_range_db is not None and recording.path.suffix.lower() in recordings.ARRAYS:
        largest = ultrasound.peak(recording)
        yield from (ultrasound.b_mode(frame, largest, layout.dynamic_range_db) for frame in recording)
        return
    for number, frame in enumerate(recording):
        yield _eight_bits(frame, f"frame {number} of '{recording.path}'")


def labels(path: Path, counts: Mapping[str, int]) -> pd.DataFrame:
    """`labels.csv`, the columns recording, frame (int64, from 0) and label (text), a row for each frame that has one.

    counts: how many frames each recording has. A recording may be written with its ending or without.

    Raises:
        GoldfoldError: it is no such CSV; a recording or a frame that does not exist, one labelled twice, one without.
    """
    if not path.exists():
        raise GoldfoldError(f"{path} is missing: write it with the columns recording, frame, label, frames from 0")
    told = image_names.read_table(path, ["recording", "frame", "label"])
    told["recording"] = [_known(image_names.to_nfc(name.strip()), counts, path) for name in told["recording"]]
    numbers = pd.to_numeric(told["frame"], errors="coerce")
    limits = told["recording"].map(counts)
    wrong = ~(numbers.ge(0) & numbers.lt(limits) & numbers.mod(1).eq(0)) | told["label"].str.strip().eq("")
    again = told.assign(frame=numbers).duplicated(["recording", "frame"])
    if (faulty := wrong | again).any():
        row = told[faulty].iloc[0]
        rule = f"frame '{row['frame']}' of '{row['recording']}' ({counts[row['recording']]} frames) as '{row['label']}'"
        raise GoldfoldError(
            f"{path} must give frames, counted from 0, one label each, unlike line {faulty.argmax() + 2}, "
            f"{rule}: mend it"
        )
    return told.assign(frame=numbers.astype(np.int64), label=told["label"].str.strip())


def _known(name: str, counts: Mapping[str, int], path: Path) -> str:
    for spelt in (name, name.rpartition(".")[0]):
        if spelt in counts:
            return spelt
    raise unknown(f"recording that {path} names", name, counts)


def _eight_bits(frame: np.ndarray, of: str) -> np.ndarray:
    if frame.dtype == np.uint8:
        return frame
    if frame.dtype == np.uint16:
        return (frame >> 8).astype(np.uint8)
    if frame.dtype.kind == "c":
        raise GoldfoldError(f"{of} is complex: write 'dynamic_range_db: 60' into recording.yaml if it is ultrasound")
    low, high = float(frame.min()), float(frame.max())
    if low < 0 or high > 1:
        raise GoldfoldError(
            f"{of} must hold uint8, uint16, or numbers in [0, 1], and holds {frame.dtype} from {low:g} to {high:g}: "
            "rescale them, or write 'dynamic_range_db: 60' into recording.yaml if they are echoes of ultrasound"
        )
    return np.rint(frame.astype(np.float64) * 255).astype(np.uint8)
