"""From which size on a patch library sees defects, and whether a finer one would see smaller ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from goldfold.anomaly import padim
from goldfold.anomaly.defect_sizes import SIZES, auroc_by_size, smallest_seen, spotted
from goldfold.anomaly.padim import Gaussians
from goldfold.data import fields
from goldfold.images import reading
from goldfold.io.seeding import derive
from goldfold.recipes.patches.scores import scores_of, units_of_pixels

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.competition import Runtime
    from goldfold.recipes.patches.params import PatchLibraryParams
    from goldfold.recipes.patches.scores import Paths, UnitsOf

SHARE = 0.2  # of the images that a run predicts
FEWEST, MOST = 4, 32  # normal images that get a spot of each size
LIBRARY = 2  # of a trial, in images per normal image that gets spots
PASSES = 2 * len(SIZES) + LIBRARY + 1  # of the backbone per such image: spots twice, a trial's library and the image
TRIAL = 4000  # patches of a trial's library
LEAST_STRIDE = 8  # that can be halved
LARGER = 4  # a library for half of the strides has four times as many patches to stand for


def probe(
    params: PatchLibraryParams,
    runtime: Runtime,
    whole: UnitsOf,
    known: DataFrame,
    normal: tuple[str, Any],
    _: None,
    library: Tensor | Gaussians,
    rows: DataFrame,
    predictions: np.ndarray,
    images: int,
) -> dict[str, Any]:
    """AUROC of spots of each size on held-out normal images, for `Plan.probe`, and of a finer trial if some are missed.

    whole: features of files. known: the normal training rows. normal: target column and its value for normal images.
    library: of the normal training rows.

    Returns `defect_sizes`: images (number with a spot of each size), auroc, smallest_seen and, if a size is missed,
    trial: set (the finer parameters), images (in its library), auroc and finer (both with small libraries of the same
    images, with the strides of the parameters and with half of them). Empty for fewer than four images of each size.
    """
    column, value = normal
    held_out = rows[rows[column] == value].reset_index(drop=True)
    count = min(MOST, int(SHARE * images) // PASSES, len(held_out))
    if count < FEWEST:
        return {}
    normals = fields.field(predictions, "score")[(rows[column] == value).to_numpy()]
    paths = tuple(held_out["path"].iloc[_evenly_ranked(normals, count)])
    embed = units_of_pixels(params, runtime.device)
    units = {size: list(embed(_spotted(params, paths, size))) for size in SIZES}
    auroc = auroc_by_size(normals, {size: scores_of(params, own, library)[0] for size, own in units.items()})
    found: dict[str, Any] = {"images": count, "auroc": _by_text(auroc), "smallest_seen": smallest_seen(auroc)}
    finer = finer_params(params)
    if finer is not None and found["smallest_seen"] != min(SIZES):
        draw = np.random.default_rng(derive(runtime.seed, "defect sizes"))
        base = tuple(known["path"].iloc[np.sort(draw.permutation(len(known))[: LIBRARY * count])])
        kept, clean = torch.cat(list(whole(base + paths))).split((len(base), len(paths)))
        found["trial"] = {
            "set": {name: getattr(finer, name) for name in ("strides", "library") if _differ(params, finer, name)},
            "images": len(base),
            "auroc": _by_text(_trial(params, runtime, [kept], [clean], units)),
            "finer": _by_text(_finer_trial(finer, runtime, base, paths)),
        }
    return {"defect_sizes": found}


def _evenly_ranked(scores: np.ndarray, count: int) -> np.ndarray:
    """Positions of `count` scores at equal distances in their ranking: without a spot, the AUROC of few is 0.5, too."""
    ranked = np.argsort(scores, kind="stable")
    return np.sort(ranked[((np.arange(count) + 0.5) * len(ranked) / count).astype(int)])


def finer_params(params: PatchLibraryParams) -> PatchLibraryParams | None:
    """The parameters with half of the strides and a larger coreset; None if the strides are fine already."""
    if min(params.strides) < LEAST_STRIDE:
        return None
    changed: dict[str, Any] = {"strides": tuple(stride // 2 for stride in params.strides)}
    if params.normality == "coreset":
        changed["library"] = LARGER * params.library
    return params.model_copy(update=changed)


def _differ(params: PatchLibraryParams, finer: PatchLibraryParams, name: str) -> bool:
    return getattr(params, name) != getattr(finer, name)


def _by_text(auroc: Mapping[int, float]) -> dict[str, float]:
    """Size as text -> AUROC, as JSON has it."""
    return {str(size): value for size, value in auroc.items()}


def _spotted(params: PatchLibraryParams, paths: Paths, size: int) -> Iterator[np.ndarray]:
    return (spotted(path, size, params.image_size) for path in paths)


def _finer_trial(finer: PatchLibraryParams, runtime: Runtime, base: Paths, paths: Paths) -> dict[int, float]:
    """A trial of other parameters, whose features are not kept."""
    embed = units_of_pixels(finer, runtime.device)
    whole = [(reading.resize(reading.read(path), finer.image_size) for path in files) for files in (base, paths)]
    spots = {size: embed(_spotted(finer, paths, size)) for size in SIZES}
    return _trial(finer, runtime, embed(whole[0]), embed(whole[1]), spots)


def _trial(
    params: PatchLibraryParams,
    runtime: Runtime,
    base: Iterable[Tensor],
    clean: Iterable[Tensor],
    spots: Mapping[int, Iterable[Tensor]],
) -> dict[int, float]:
    """AUROC of spots of each size against the images without them, with a small library of patches drawn at random."""
    library = _small_library(params, runtime, base)
    scores = {size: scores_of(params, units, library)[0] for size, units in spots.items()}
    return auroc_by_size(scores_of(params, clean, library)[0], scores)


def _small_library(params: PatchLibraryParams, runtime: Runtime, base: Iterable[Tensor]) -> Tensor | Gaussians:
    if params.normality == "gaussians":
        return padim.fit(torch.cat([part.flatten(0, 1) for part in base]).to(runtime.device), params.shrinkage)
    units = torch.cat([part.flatten(0, 2) for part in base])
    draw = torch.Generator().manual_seed(derive(runtime.seed, "trial"))
    return units[torch.randperm(len(units), generator=draw)[:TRIAL]].to(runtime.device)
