"""Predict rows with an exported model. Needs numpy, onnxruntime (or openvino), and for images OpenCV and Pillow.

    python predict.py rows.csv predictions.csv      a table with the columns `id` and `path`, or `id` and features
    python predict.py images/ predictions.csv       all images of a folder, whose ids are their names
    python predict.py images/ maps.npy              predictions of any shape, in the order of the ids

The model and `preprocessing.json` lie beside this file, which goldfold wrote.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

Rows = Sequence[Mapping[str, str]]
Model = Callable[[np.ndarray], np.ndarray]

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
TURNING = (b"xif", b"XIf", b"XIF", b"Orientation")  # names of EXIF in JPEG, PNG and WebP; XMP
MARKED = 2**17  # bytes at both ends of a file where they are
GAPS = ("", "#n/a", "<na>", "n/a", "na", "nan", "-nan", "null", "none")  # cells of numbers that are missing
EDGE = 1e-7  # nearest to 0 and 1 that scikit-learn's QuantileTransformer goes


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 2:
        sys.exit((__doc__ or "").strip())
    source, target = map(Path, arguments)
    began = time.perf_counter()
    try:
        rows = read_rows(source)
        found = predict(Path(__file__).parent, rows)
        write(target, [row["id"] for row in rows], found)
    except (OSError, ValueError) as error:
        sys.exit(f"predict.py: {error}")
    print(f"{target}: {len(rows):,} rows in {time.perf_counter() - began:.1f} s")


def read_rows(source: Path) -> list[dict[str, str]]:
    """The rows of a CSV file as text, or one row for each file of a folder. Paths are relative to the CSV file."""
    if source.is_dir():
        files = sorted(path for path in source.iterdir() if path.is_file())
        return [{"id": path.stem, "path": str(path)} for path in files]
    with source.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or "id" not in rows[0]:
        raise ValueError(f"{source} has no rows with a column 'id': give a CSV file with one, or a folder of images")
    for row in rows if "path" in rows[0] else ():
        row["path"] = str(source.parent / row["path"])
    return rows


def write(target: Path, ids: Sequence[str], found: np.ndarray) -> None:
    """Write predictions (n,) or (n, columns) as CSV, or of any shape as .npy."""
    if target.suffix == ".npy":
        np.save(target, found)
        return
    if found.ndim > 2:
        raise ValueError(
            f"predictions have the shape {found.shape}, which no table holds: name a file that ends in .npy"
        )
    columns = found[:, None] if found.ndim == 1 else found
    names = ["prediction"] if found.ndim == 1 else [f"prediction_{number}" for number in range(columns.shape[1])]
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", *names])
        writer.writerows([id_, *map(repr, values)] for id_, values in zip(ids, columns.tolist(), strict=True))


def predict(folder: Path, rows: Rows, threads: int | None = None) -> np.ndarray:
    """Predictions of rows, (n, ...), by the model in `folder`; the next batch is read while one is computed."""
    given = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    model = load(folder, given, threads)
    starts = range(0, len(rows), given["batch"])
    with ThreadPoolExecutor(1) as ahead:
        batches = _ahead(ahead, [rows[start : start + given["batch"]] for start in starts], given["inputs"])
        parts = [model(batch) for batch in batches]
    if not parts:
        raise ValueError("there are no rows to predict")
    return np.concatenate(parts)


def _ahead(
    pool: ThreadPoolExecutor, parts: Sequence[Rows], inputs: Sequence[Mapping[str, Any]]
) -> Iterator[np.ndarray]:
    waiting = [pool.submit(arrays, part, inputs) for part in parts[:1]]
    for place in range(len(parts)):
        ready = waiting.pop().result()
        if place + 1 < len(parts):
            waiting.append(pool.submit(arrays, parts[place + 1], inputs))
        yield ready


def arrays(rows: Rows, inputs: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The model's input for rows: (n, ...), or (n, fits, ...) where each fit has an input of its own."""
    made = [images(rows, each) if each["kind"] == "images" else columns(rows, each) for each in inputs]
    return made[0] if len(made) == 1 else np.stack(made, axis=1)


def load(folder: Path, given: Mapping[str, Any], threads: int | None = None) -> Model:
    """The model as a function of its input. threads: of the processor; by default as many as it has cores."""
    for name, digest in given["sha256"].items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise ValueError(f"{folder / name} is not as it was exported: export the run again")
    if given["format"] == "openvino":
        return _openvino(folder / "model.xml", threads)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads or hasattr(os, "sched_getaffinity"):
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {"inputs": batch})[0]


def _openvino(path: Path, threads: int | None) -> Model:
    import openvino

    # Without the hint, layers are computed in bfloat16 where the processor has it.
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "f32",
        **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
    }
    compiled = openvino.Core().compile_model(path, "CPU", options)
    return lambda batch: np.array(compiled([batch])[0])


def images(rows: Rows, given: Mapping[str, Any]) -> np.ndarray:
    """The images of rows, resized: uint8 (n, height, width, channels)."""
    absent = [row["id"] for row in rows if not row.get("path")]
    if absent:
        raise ValueError(f"row '{absent[0]}' has no path of an image: give a column 'path'")
    shape = given["height"], given["width"], given["channels"]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return np.stack(list(pool.map(lambda row: resize(read_image(row["path"], shape[2] == 1), shape), rows)))


def resize(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Resize to (height, width, channels): by area if both sides shrink, else cubic."""
    import cv2

    if image.shape[:2] == tuple(shape[:2]):
        return image
    shrinks = image.shape[0] >= shape[0] and image.shape[1] >= shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(image, (shape[1], shape[0]), interpolation=how).reshape(shape)


def read_image(path: str, gray: bool) -> np.ndarray:
    """An image as uint8 (height, width, 3) in RGB order, or (height, width, 1), turned as its EXIF orientation says."""
    import cv2
    from PIL import Image, ImageOps

    content = Path(path).read_bytes()
    if _needs_pillow(content):
        with Image.open(io.BytesIO(content)) as opened:
            opened.load()
            image = np.array(ImageOps.exif_transpose(opened).convert("L" if gray else "RGB"))
    else:
        flags = cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR_RGB
        found = (
            cv2.imdecode(np.frombuffer(content, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION) if content else None
        )
        if found is None or found.dtype != np.uint8:
            raise ValueError(f"image '{path}' cannot be read: replace the file or leave its row out")
        image = found if content[:4] in TIFF else _upright(found, content)  # OpenCV turns TIFF itself
    return image[..., None] if gray else image


def _needs_pillow(content: bytes) -> bool:
    """Whether OpenCV reads other pixels: AVIF without its orientation, JPEG 2000 in YCC, TIFF darkened by its alpha."""
    from PIL import Image

    if content[:4] in TIFF:
        with Image.open(io.BytesIO(content)) as image:
            deep = image.mode in ("RGB", "RGBA") and ";16" in str(getattr(image, "tile", ""))
            return image.mode in ("RGBA", "RGBX", "LA") and not deep
    return content[4:8] in (b"ftyp", b"jP  ") or content[:4] == b"\xff\x4f\xff\x51"


def _upright(pixels: np.ndarray, content: bytes) -> np.ndarray:
    from PIL import Image

    ends = content[:MARKED] + content[-MARKED:]
    if not any(mark in ends for mark in TURNING):
        return pixels
    with Image.open(io.BytesIO(content)) as image:
        if image.format == "PNG" and "exif" not in image.info and b"eXIf" in content[-MARKED:]:
            image.load()  # reads what follows the pixels
        way: Any = Image.Image.getexif(image).get(0x0112)
    if way not in range(2, 9):
        return pixels
    swapped = np.swapaxes(pixels, 0, 1) if way >= 5 else pixels
    return np.ascontiguousarray(swapped[:: -1 if way in (3, 4, 7, 8) else 1, :: -1 if way in (2, 3, 6, 7) else 1])


def columns(rows: Rows, given: Mapping[str, Any]) -> np.ndarray:
    """The columns of rows as a network's input: scaled numbers, flags of their gaps, one-hot categories."""
    wanted = [*given["numeric"], *(each["name"] for each in given["categorical"])]
    absent = [name for name in wanted if name not in rows[0]]
    if absent:
        raise ValueError(f"the table has no column '{absent[0]}': give all columns that the run was trained on")
    values = np.array([[_number(row[name], name) for name in given["numeric"]] for row in rows]).reshape(len(rows), -1)
    gaps = np.isnan(values)
    scaled = _scaled(np.where(gaps, given["medians"], values), given["scaling"]) if values.size else values
    parts = [np.clip(scaled, -given["largest"], given["largest"]), gaps[:, given["flagged"]]]
    for each in given["categorical"]:
        codes = dict(each["codes"])
        found = [codes.get(_category(row[each["name"]], each["numbers"]), each["size"] - 1) for row in rows]
        parts.append(np.array(found)[:, None] == np.arange(each["size"]))
    return np.hstack(parts).astype(np.float32)


def _number(text: str, column: str) -> float:
    if text.strip().lower() in GAPS:
        return np.nan
    if text in ("True", "False"):
        return float(text == "True")
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"column '{column}' must hold numbers, and a row has {text!r}: correct it") from None


def _category(text: str, numbers: bool) -> Any:
    try:
        value = float(text == "True") if text in ("True", "False") and numbers else float(text)
    except ValueError:
        return text
    if numbers:
        return value
    return str(int(value)) if "." in text and value.is_integer() else text


def _scaled(values: np.ndarray, given: Mapping[str, Any]) -> np.ndarray:
    """Scale columns as scikit-learn's StandardScaler, or its QuantileTransformer to a normal distribution."""
    if given["kind"] == "standard":
        return (values - given["mean"]) / given["scale"]
    normal = NormalDist()
    low, high = normal.inv_cdf(EDGE - np.spacing(1)), normal.inv_cdf(1 - (EDGE - np.spacing(1)))
    references, scaled = np.array(given["references"]), np.empty_like(values)
    for place, known in enumerate(np.array(given["quantiles"])):
        own = values[:, place]
        upward = np.interp(own, known, references)
        downward = np.interp(-own, -known[::-1], -references[::-1])
        shares = (upward - downward) / 2
        shares[own + EDGE > known[-1]], shares[own - EDGE < known[0]] = 1.0, 0.0
        inside = [normal.inv_cdf(share) if 0 < share < 1 else np.inf * (share - 0.5) for share in shares.tolist()]
        scaled[:, place] = np.clip(inside, low, high)
    return scaled


if __name__ == "__main__":
    main(sys.argv[1:])
