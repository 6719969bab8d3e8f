"""Compare each image with its reference, an image of the same object without a defect, after alignment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from goldfold.anomaly import alignment, patch_features
from goldfold.anomaly.alignment import Laid
from goldfold.errors import GoldfoldError
from goldfold.images import reading
from goldfold.images.views import undo_views
from goldfold.recipes.patches.scores import units_of_pixels

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Runtime
    from goldfold.recipes.patches.params import PatchLibraryParams
    from goldfold.recipes.patches.scores import UnitsOf

COLUMN = "reference_path"


class Compared(NamedTuple):
    """Images beside their references.

    scores: (n,) and maps: (n, h, w) float32, gray levels for pixels, distances for patches. aligned: bool (n,).
    """

    scores: np.ndarray
    maps: np.ndarray
    aligned: np.ndarray


def check(params: PatchLibraryParams, train: DataFrame, test: DataFrame) -> None:
    """Check that every row has a reference of its size that is not the image itself, if references are used.

    Raises:
        GoldfoldError: `no_reference_column`, `reference_missing`, `reference_is_image`, `reference_size_differs`.
    """
    if params.reference == "none":
        return
    for name, rows in (("train", train), ("test", test)):
        _check_column(rows, f"the {name} table")
        pairs = list(zip(rows["id"], map(Path, rows["path"]), rows[COLUMN], strict=True))
        absent = [(id_, file) for id_, _, file in pairs if not isinstance(file, str | Path) or not Path(file).is_file()]
        if absent:
            id_, file = absent[0]
            raise GoldfoldError(
                "reference_missing",
                f"{len(absent):,} of {len(rows):,} rows of the {name} table have no file in '{COLUMN}', first row "
                f"{id_!r} with {str(file)!r}: give every row the path of an image of its object without a defect",
            )
        contents = [reading.content_hashes(list(files)) for files in zip(*(pair[1:] for pair in pairs), strict=True)]
        for (id_, path, file), content, of_reference in zip(pairs, *contents, strict=True):
            if content == of_reference:
                raise GoldfoldError(
                    "reference_is_image",
                    f"row {id_!r} of the {name} table has itself as its reference ('{file}' has the same bytes as "
                    f"'{path}'), so that nothing can differ: name another image, or leave out the row",
                )
            _check_size(name, id_, path, Path(file))


def _check_column(rows: DataFrame, where: str) -> None:
    if COLUMN not in rows:
        raise GoldfoldError(
            "no_reference_column",
            f"{where} has no column '{COLUMN}' with the path of the reference image of each row: add it in load(), one "
            "path per row or one per class of objects, or set reference=none",
        )


def _check_size(name: str, id_: object, path: Path, reference: Path) -> None:
    (height, width), (rows, columns) = reading.size(path), reading.size(reference)
    if (height, width) != (rows, columns):
        raise GoldfoldError(
            "reference_size_differs",
            f"the reference '{reference}' of row {id_!r} of the {name} table has {columns} x {rows} pixels, and its "
            f"image '{path}' {width} x {height}: crop or resize it to the image's size",
        )


def compare(params: PatchLibraryParams, runtime: Runtime, rows: DataFrame, whole: UnitsOf) -> Compared:
    """Compare the image of each row with its reference, moved onto the image where that succeeds.

    whole: features of files, for `reference=patches`.
    """
    _check_column(rows, "the table to predict")
    laid: list[bool] = []
    pairs = _pairs(params, runtime, rows, laid)
    if params.reference == "pixels":
        side = -(-params.image_size // min(params.strides))
        each = (alignment.largest_of_cells(alignment.difference(*pair), (side, side)) for pair in pairs)
        maps = torch.from_numpy(np.stack(list(each)))
    else:
        references = (reading.resize(reference, params.image_size) for _, reference in pairs)
        of_images, of_references = whole(tuple(rows["path"])), units_of_pixels(params, runtime.device)(references)
        images = zip(chain.from_iterable(of_images), chain.from_iterable(of_references), strict=True)
        maps = torch.cat([_distances(params, *pair) for pair in images])
    smooth = patch_features.blur(maps, params.blur * maps.shape[1] / params.image_size)
    if params.score == "farthest":
        scores = maps.flatten(1).max(dim=1).values
    else:
        scores = patch_features.top_mean(smooth.flatten(1), params.top)
    return Compared(scores.numpy(), smooth.numpy(), np.array(laid))


def fuse(compared: Compared, scores: np.ndarray, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Geometric means of both scores, (n,), and of both maps, (n, h, w): their scales do not matter for the ranking."""
    return np.sqrt(compared.scores * scores), np.sqrt(compared.maps * maps)


def _pairs(
    params: PatchLibraryParams, runtime: Runtime, rows: DataFrame, aligned: list[bool]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each image and the reference in its place, uint8 (h, w, 3); whether that is aligned is added to the list."""
    files: Sequence[tuple[Path, Path]] = list(zip(rows["path"], rows[COLUMN], strict=True))
    for done, (path, reference) in enumerate(files, 1):
        image, other = reading.read(path), reading.read(reference)
        if image.shape != other.shape:
            _check_size("predicted", rows["id"].iloc[done - 1], Path(path), Path(reference))
        found: Laid = alignment.lay_over(image, other, params.alignment, params.largest_shift)
        aligned.append(found.aligned)
        yield image, found.pixels
        runtime.progress("references", done, len(files))


def _distances(params: PatchLibraryParams, image: Tensor, reference: Tensor) -> Tensor:
    """Distances of the patches of one image to those of its reference, both (views, p, d), as a map (1, h, w)."""
    apart = (image - reference).norm(dim=-1)
    side = round(apart.shape[1] ** 0.5)
    upright = undo_views(list(apart.view(len(apart), 1, side, side)), params.views)
    return torch.stack(upright).mean(0)
