"""Anomaly detection without training: the distance of an image's patch features to a library of normal ones.

PatchCore (Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022): feature maps of a frozen
pretrained backbone, a coreset of the normal images' patches, and the distance of an image's most anomalous patch to it.
If objects always have the same pose, PaDiM (`normality=gaussians`) is better: it compares patches at the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from goldfold.anomaly import class_routing, k_center, memory_bank, one_model_per_class, padim, patch_features
from goldfold.anomaly.padim import Gaussians
from goldfold.anomaly.synthetic_defects import damage_all
from goldfold.competition import Plan, Recipe, Runtime
from goldfold.data import fields
from goldfold.errors import GoldfoldError
from goldfold.images.views import VIEWS, undo_views
from goldfold.io.seeding import derive
from goldfold.nn import feature_cache
from goldfold.params import with_defaults
from goldfold.recipes.patch_library_params import PatchLibraryParams

if TYPE_CHECKING:
    from pandas import DataFrame

    Paths = tuple[Path, ...]
    UnitsOf = Callable[[Paths], Iterator[Tensor]]

AT_ONCE = 16  # images whose patches are compared with the library at once


def recipe(target: str, normal: Any = 0, class_: str | None = None, **defaults: Any) -> Recipe:
    """Return the recipe for rows with a column `path`; its library holds the rows whose `target` is `normal`.

    target: column with the label. normal: its value for normal images.
    class_: column with the class of the object, for `libraries=per_class`.
    defaults: defaults of `PatchLibraryParams` for this competition.

    Predictions are records; larger scores are more anomalous. All scores are means over the views.
    `score`, float32 (n,), is a distance; with contrast=true minus the median distance of the image, so it may be
    negative. `map`, float32 (n, h, w), is the distance of each patch, only with unit=patch. `pseudo`, float32 (n,), is
    the score of a copy with a synthetic defect, unless pseudo=none. `routed`, <U64 (n,), is the class whose library
    was used, only with libraries=per_class.
    """
    build = partial(_build, target=target, normal=normal, class_=class_)
    return Recipe(
        params=with_defaults(PatchLibraryParams, **defaults),
        build=build,
        combine=fields.mean,
        columns=("path", target, *filter(None, [class_])),
        example=_example,
    )


def _example(params: PatchLibraryParams, rows: int, _: tuple | None) -> np.ndarray:
    every = {"score": (), "map": (8, 8), "pseudo": ()}
    absent = {"map": params.unit == "image", "pseudo": params.pseudo == "none"}
    parts = {name: np.ones((rows, *shape), np.float32) for name, shape in every.items() if not absent.get(name)}
    return fields.records(**parts, **one_model_per_class.example(rows, params.libraries))


def _build(
    params: PatchLibraryParams, rows: DataFrame, runtime: Runtime, target: str, normal: Any, class_: str | None
) -> Plan:
    known = rows[rows[target] == normal]
    if not len(known):
        raise GoldfoldError(
            "no_normal_images",
            f"the library needs normal images, but of {len(rows)} training rows none has {normal!r} in '{target}': "
            "check split() of the competition",
        )
    whole, damaged = _units(params, runtime)
    build = partial(_plan, params, runtime, whole, damaged)
    if params.libraries == "one":
        return build(known)
    route = partial(_nearest_library, whole) if params.route == "library" else None
    return one_model_per_class.plan(build, known, known, class_, params.textures, route)


def _plan(params: PatchLibraryParams, runtime: Runtime, whole: UnitsOf, damaged: UnitsOf, known: DataFrame) -> Plan:
    return Plan(
        finish=lambda _: _library(params, whole(tuple(known["path"])), runtime),
        predict=lambda _, library, rows: _predict(params, tuple(rows["path"]), library, whole, damaged),
    )


def _nearest_library(
    whole: UnitsOf, classes: Sequence[str], of_classes: Sequence[Tensor], rows: DataFrame
) -> class_routing.Routed:
    """Route rows to the class with the nearest library, by the images without further views."""
    known = dict(zip(classes, of_classes, strict=True))
    images = (units[:, 0].to(of_classes[0].device) for units in whole(tuple(rows["path"])))
    return class_routing.concatenate([class_routing.by_memory_bank(units, known) for units in images])


def _library(params: PatchLibraryParams, normal: Iterator[Tensor], runtime: Runtime) -> Tensor | Gaussians:
    """Return the library of normal images: a coreset, float32 (library, d), or a Gaussian at each place."""
    if params.normality == "gaussians":
        known = torch.cat([part.flatten(0, 1).half() for part in normal])
        return padim.fit(known.to(runtime.device), params.shrinkage)
    units = torch.cat([part.flatten(0, 2).half() for part in normal])
    draw = torch.Generator().manual_seed(derive(runtime.seed, "patches"))
    drawn = units[torch.randperm(len(units), generator=draw)[: params.coreset_candidates]].float().to(runtime.device)
    size = min(params.library, len(drawn))
    return drawn[k_center.greedy_k_center(drawn, size, progress=partial(runtime.progress, "coreset"))]


def _predict(
    params: PatchLibraryParams, paths: Paths, library: Tensor | Gaussians, whole: UnitsOf, damaged: UnitsOf
) -> np.ndarray:
    scores, maps = _scores(params, whole(paths), library)
    predicted = {"score": scores}
    if params.unit == "patch":
        predicted["map"] = maps
    if params.pseudo != "none":
        predicted["pseudo"], _ = _scores(params, damaged(paths), library)
    return fields.records(**predicted)


def _scores(
    params: PatchLibraryParams, images: Iterator[Tensor], library: Tensor | Gaussians
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


def _units(params: PatchLibraryParams, runtime: Runtime) -> tuple[UnitsOf, UnitsOf]:
    """Return two functions: paths -> features in batches of images, float32 (images, views, patches, d).

    The first is for the images themselves, the second for their copies with synthetic defects.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)  # every fold uses the same backbone, with random weights too
        tower = patch_features.PatchBackbone(params.backbone, params.pretrained, params.strides, params.views)
    blank = torch.zeros(1, params.image_size, params.image_size, 3, dtype=torch.uint8)
    with torch.inference_mode():
        shapes = [kept.shape[1:] for kept in tower.eval().maps(blank)]
    note = f"strides={params.strides} views={params.views}"
    through = partial(feature_cache.cached_extractor, tower, params.image_size, runtime, dtype=np.float16)
    whole = through(note=note)
    damaged = through(note=f"{note} damage={params.pseudo}", transform=partial(_damaged, params.pseudo))

    def units_of(paths: Paths, kept_of: Callable[[Paths], np.ndarray]) -> Iterator[Tensor]:
        for kept in torch.from_numpy(kept_of(paths)).split(AT_ONCE):
            views = kept.float().view(len(kept) * len(VIEWS[params.views]), -1)
            values = views.split([prod(shape) for shape in shapes], dim=1)
            units = patch_features.join_maps(
                [each.unflatten(1, shape) for each, shape in zip(values, shapes, strict=True)]
            )
            units = patch_features.subtract_image_mean(units) if params.relative else units
            units = units if params.unit == "patch" else units.mean(1, keepdim=True)
            yield units.unflatten(0, (len(kept), -1))

    return partial(units_of, kept_of=whole), partial(units_of, kept_of=damaged)


def _damaged(kind: str, pixels: np.ndarray, contents: Sequence[str]) -> np.ndarray:
    return damage_all(pixels, contents, kind)[0]
