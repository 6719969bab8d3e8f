"""Features of patches, the library of normal ones, and the scores of images: the parts of the patch library recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import islice
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.anomaly import k_center, memory_bank, padim, patch_features
from goldfold.anomaly.padim import Gaussians
from goldfold.anomaly.patch_features import PatchBackbone
from goldfold.anomaly.synthetic_defects import damage_all
from goldfold.images.views import VIEWS, undo_views
from goldfold.io.seeding import derive
from goldfold.nn import feature_cache, folding
from goldfold.nn.batches import rows_at_once

if TYPE_CHECKING:
    from goldfold.competition import Runtime
    from goldfold.recipes.patches.params import PatchLibraryParams

    Paths = tuple[Path, ...]
    UnitsOf = Callable[[Paths], Iterator[Tensor]]

VALUES = 2**25  # of patches that are compared with the library at once
MOST = 64  # images at once


def units_of_files(params: PatchLibraryParams, runtime: Runtime) -> tuple[UnitsOf, UnitsOf]:
    """Return two functions: paths -> features in batches of images, float32 (images, views, patches, d).

    The first is for the images themselves, the second for their copies with synthetic defects.
    """
    tower = _tower(params)
    note = f"strides={params.strides} views={params.views} (h, w, d)"
    through = partial(feature_cache.cached_extractor, tower, params.image_size, runtime, dtype=np.float16)
    whole = through(note=note)
    damaged = through(note=f"{note} damage={params.pseudo}", transform=partial(_damaged, params.pseudo))
    shapes = _shapes(params, tower)
    units = partial(_units, params, shapes)
    positions, width = max(height * width for height, width, _ in shapes), sum(width for _, _, width in shapes)
    at_once = max(1, min(MOST, VALUES // (positions * width * len(VIEWS[params.views]))))

    def units_of(paths: Paths, kept_of: Callable[[Paths], np.ndarray]) -> Iterator[Tensor]:
        return map(units, torch.from_numpy(kept_of(paths)).split(at_once))

    return partial(units_of, kept_of=whole), partial(units_of, kept_of=damaged)


def units_of_pixels(
    params: PatchLibraryParams, device: torch.device
) -> Callable[[Iterable[np.ndarray]], Iterator[Tensor]]:
    """Return a function: images -> features as of `units_of_files`, which are not cached.

    It takes images uint8 (image_size, image_size, 3).
    """
    shapes = _shapes(params, _tower(params))
    tower, at_once = _folded(params, device), rows_at_once(feature_cache.ON_CPU, params.image_size, device)

    def units_of(pixels: Iterable[np.ndarray]) -> Iterator[Tensor]:
        images = iter(pixels)
        while some := list(islice(images, at_once)):
            with torch.inference_mode(), torch.autocast(device.type, enabled=False):
                kept = tower(torch.from_numpy(np.stack(some)).to(device)).half().cpu()  # as in the cache
            yield _units(params, shapes, kept)

    return units_of


@lru_cache(maxsize=2)  # of a run's parameters and of a trial of others, in all folds
def _tower(params: PatchLibraryParams) -> PatchBackbone:
    with torch.random.fork_rng():
        torch.manual_seed(0)  # every fold uses the same backbone, with random weights too
        return PatchBackbone(params.backbone, params.pretrained, params.strides, params.views).eval()


@lru_cache(maxsize=2)
def _folded(params: PatchLibraryParams, device: torch.device) -> nn.Module:
    return folding.fold_for_images(_tower(params).to(device), (params.image_size, params.image_size), device)


def _shapes(params: PatchLibraryParams, tower: PatchBackbone) -> list[tuple[int, int, int]]:
    """The shape (h, w, d) of each of the backbone's maps."""
    device = tower.normalize.mean.device
    blank = torch.zeros(1, params.image_size, params.image_size, 3, dtype=torch.uint8, device=device)
    with torch.inference_mode():
        return [(kept.shape[2], kept.shape[3], kept.shape[1]) for kept in tower.maps(blank)]


def _units(params: PatchLibraryParams, shapes: Sequence[tuple[int, int, int]], kept: Tensor) -> Tensor:
    """Units of images, float32 (images, views, patches, d), from what the backbone returned, (images, values)."""
    views = kept.float().view(len(kept) * len(VIEWS[params.views]), -1)
    values = views.split([prod(shape) for shape in shapes], dim=1)
    maps = [each.unflatten(1, shape).permute(0, 3, 1, 2) for each, shape in zip(values, shapes, strict=True)]
    units = patch_features.join_maps(maps)
    units = patch_features.subtract_image_mean(units) if params.relative else units
    units = units if params.unit == "patch" else units.mean(1, keepdim=True)
    return units.unflatten(0, (len(kept), -1))


def _damaged(kind: str, pixels: np.ndarray, contents: Sequence[str]) -> np.ndarray:
    return damage_all(pixels, contents, kind)[0]


def library_of(params: PatchLibraryParams, normal: Iterator[Tensor], runtime: Runtime) -> Tensor | Gaussians:
    """Return the library of normal images: a coreset, float32 (library, d), or a Gaussian at each place."""
    if params.normality == "gaussians":
        known = torch.cat([part.flatten(0, 1).half() for part in normal])
        return padim.fit(known.to(runtime.device), params.shrinkage)
    units = torch.cat([part.flatten(0, 2).half() for part in normal])
    draw = torch.Generator().manual_seed(derive(runtime.seed, "patches"))
    drawn = units[torch.randperm(len(units), generator=draw)[: params.coreset_candidates]].float().to(runtime.device)
    size = min(params.library, len(drawn))
    return drawn[k_center.greedy_k_center(drawn, size, progress=partial(runtime.progress, "coreset"))]


def scores_of(
    params: PatchLibraryParams, images: Iterable[Tensor], library: Tensor | Gaussians
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores, float32 (n,), and anomaly maps, float32 (n, h, w)."""
    parts = [_score_batch(params, units, library) for units in images]
    scores, maps = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    return scores, maps


def _score_batch(params: PatchLibraryParams, units: Tensor, library: Tensor | Gaussians) -> tuple[Tensor, Tensor]:
    """Score units (n, views, p, d); maps are turned back to the upright image, then averaged over views."""
    scores, distances = _distances(params, units.flatten(0, 1), library)
    side = round(distances.shape[1] ** 0.5)
    views = distances.unflatten(1, (side, side)).unflatten(0, units.shape[:2]).unbind(1)
    upright = undo_views(views, params.views)
    maps = patch_features.blur(torch.stack(upright).mean(0), params.blur * side / params.image_size)
    farthest = scores.unflatten(0, units.shape[:2]).mean(1).cpu()
    score = farthest if params.score == "farthest" else patch_features.top_mean(maps.flatten(1), params.top)
    return score - maps.flatten(1).quantile(0.5, dim=1) if params.contrast else score, maps


def _distances(params: PatchLibraryParams, units: Tensor, library: Tensor | Gaussians) -> tuple[Tensor, Tensor]:
    """Return the score of each view's farthest patch, (n,), and all patch distances, (n, p), of units (n, p, d)."""
    if isinstance(library, Gaussians):
        distances = padim.distances(units.to(library.mean.device), library)
        return distances.max(1).values, distances
    neighbors = params.neighbors if params.score == "farthest" else 1
    return memory_bank.image_scores(units.to(library.device), library, neighbors=neighbors)
