"""An anomaly detector that trains nothing: how far an image's features are from a library of normal images' features.

PatchCore (Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022): maps of a frozen pretrained
backbone, a coreset of the normal images' patches, and the distance of an image's strangest patch to it. Where objects
always lie alike, PaDiM (see `gaussians`) tells more: patches are compared with those at their own place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from goldfold.anomaly import (
    class_routing,
    k_center,
    memory_bank,
    one_model_per_class,
    padim,
    patch_features,
)
from goldfold.anomaly.padim import Gaussians
from goldfold.anomaly.synthetic_defects import Kind, damage_all
from goldfold.competition import Plan, Recipe, Runtime
from goldfold.data import fields
from goldfold.errors import GoldfoldError
from goldfold.images.views import VIEWS, MapViewSet, undo_views
from goldfold.io.seeding import derive
from goldfold.nn import feature_cache
from goldfold.params import BackboneName, Libraries, Params, Pretrained, Role, with_defaults

if TYPE_CHECKING:
    from pandas import DataFrame

    Paths = tuple[Path, ...]
    UnitsOf = Callable[[Paths], Iterator[Tensor]]

AT_ONCE = 16  # images whose patches are compared with the library together


class PatchLibrary(Params):
    """What is looked at, what of it is kept, and what an image is compared by."""

    backbone: BackboneName = Field("efficientnet_lite0", description="timm's name of the image model")
    pretrained: Pretrained = Field(True, description="pretrained weights; random ones are for tests")
    image_size: int = Field(224, ge=32, description="pixels a side that the backbone sees")
    strides: tuple[int, ...] = Field((8, 16), min_length=1, description="pixels from patch to patch in each map used")
    views: Annotated[MapViewSet, Role.VIEWS] = Field(
        "none", description="views, in the library and of what is compared"
    )
    relative: bool = Field(False, description="compare patches less their image's mean patch")
    unit: Literal["patch", "image"] = Field("patch", description="what is compared: patches, or their mean per image")
    normality: Literal["coreset", "gaussians"] = Field(
        "coreset", description="what patches are compared with: some normal ones, or a Gaussian at each place"
    )
    shrinkage: float = Field(0.1, gt=0, description="of the mean variance, added to each Gaussian's variances")
    drawn: int = Field(200_000, ge=1, description="patches drawn at random before the coreset is chosen among them")
    library: int = Field(10_000, ge=1, description="size of the coreset, the greedy k-centre of what was drawn")
    score: Literal["farthest", "top"] = Field(
        "farthest", description="the farthest patch, or the mean of the top share"
    )
    neighbors: int = Field(
        9, ge=1, description="k nearest neighbors in the library that re-weight the farthest patch's distance"
    )
    top: float = Field(0.03, gt=0, le=1, description="share of an image's patches whose distances score=top averages")
    contrast: bool = Field(False, description="score less the median of the image's distances")
    blur: float = Field(0.0, ge=0, description="sigma of the Gaussian over the map, in pixels that the backbone sees")
    pseudo: Kind | Literal["none"] = Field("none", description="damage to a copy of each image, which is scored too")
    libraries: Libraries = Field("one", description="per_class: one for each, and images are routed")
    route: Literal["prototype", "library"] = Field("library", description="to the nearest mean image, or library")
    textures: tuple[str, ...] = Field((), description="classes that prototypes tell apart by colour, not by place")

    @model_validator(mode="after")
    def _patches_differ(self) -> PatchLibrary:
        if self.unit == "image" and (self.relative or self.contrast):
            raise ValueError("relative and contrast tell an image's patches apart: with unit=image leave both false")
        if self.normality == "gaussians" and self.libraries == "per_class" and self.route == "library":
            raise ValueError("route=library compares with coresets: with normality=gaussians set route=prototype")
        return self


def recipe(target: str, normal: Any = 0, class_: str | None = None, **defaults: Any) -> Recipe:
    """The recipe for rows with a column `path`, of which those with `normal` in the column `target` are learnt from.

    Predictions are records, larger is stranger: `score` float32 (n,), a distance, or with contrast=true a distance less
    the median distance in the same image, which may be below 0; with unit=patch `map` float16 (n, h, w), the distance
    of each patch; unless pseudo=none `pseudo` float32 (n,), the score of a damaged copy. All of them are means
    over the views; `routed` <U64 (n,), the class whose library judged, where each has one. class_: a column with
    the kind of object, for these. defaults: of `PatchLibrary`, as the competition's baseline wants them.
    """
    build = partial(_build, target=target, normal=normal, class_=class_)
    return Recipe(params=with_defaults(PatchLibrary, **defaults), build=build, combine=fields.mean)


def _build(
    params: PatchLibrary, rows: DataFrame, runtime: Runtime, target: str, normal: Any, class_: str | None
) -> Plan:
    known = rows[rows[target] == normal]
    if not len(known):
        raise GoldfoldError(
            f"a library is made of normal images, and of {len(rows)} training rows none has {normal!r} in '{target}': "
            "look at the split"
        )
    whole, damaged = _units(params, runtime)
    build = partial(_plan, params, runtime, whole, damaged)
    if params.libraries == "one":
        return build(known)
    route = partial(_nearest_library, whole) if params.route == "library" else None
    return one_model_per_class.plan(build, known, known, class_, params.textures, route)


def _plan(params: PatchLibrary, runtime: Runtime, whole: UnitsOf, damaged: UnitsOf, known: DataFrame) -> Plan:
    return Plan(
        finish=lambda _: _library(params, whole(tuple(known["path"])), runtime),
        predict=lambda _, library, rows: _predict(params, tuple(rows["path"]), library, whole, damaged),
    )


def _nearest_library(
    whole: UnitsOf, classes: Sequence[str], of_classes: Sequence[Tensor], rows: DataFrame
) -> class_routing.Routed:
    """By the images as they are, without further views."""
    known = dict(zip(classes, of_classes, strict=True))
    shown = (units[:, 0].to(of_classes[0].device) for units in whole(tuple(rows["path"])))
    return class_routing.concatenate([class_routing.by_memory_bank(units, known) for units in shown])


def _library(params: PatchLibrary, normal: Iterator[Tensor], runtime: Runtime) -> Tensor | Gaussians:
    """What normal images consist of: a coreset, float32 (library, d), or what is usual at each place."""
    if params.normality == "gaussians":
        known = torch.cat([part.flatten(0, 1).half() for part in normal])
        return padim.fit(known.to(runtime.device), params.shrinkage)
    units = torch.cat([part.flatten(0, 2).half() for part in normal])
    draw = torch.Generator().manual_seed(derive(runtime.seed, "patches"))
    drawn = units[torch.randperm(len(units), generator=draw)[: params.drawn]].float().to(runtime.device)
    size = min(params.library, len(drawn))
    return drawn[k_center.greedy_k_center(drawn, size, progress=partial(runtime.progress, "coreset"))]


def _predict(
    params: PatchLibrary, paths: Paths, library: Tensor | Gaussians, whole: UnitsOf, damaged: UnitsOf
) -> np.ndarray:
    scores, maps = _judged(params, whole(paths), library)
    found = {"score": scores}
    if params.unit == "patch":
        found["map"] = maps.astype(np.float16)
    if params.pseudo != "none":
        found["pseudo"], _ = _judged(params, damaged(paths), library)
    return fields.records(**found)


def _judged(
    params: PatchLibrary, shown: Iterator[Tensor], library: Tensor | Gaussians
) -> tuple[np.ndarray, np.ndarray]:
    """Scores float32 (n,) and maps float32 (n, h, w)."""
    parts = [_judged_few(params, units, library) for units in shown]
    scores, maps = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    return scores, maps


def _judged_few(params: PatchLibrary, units: Tensor, library: Tensor | Gaussians) -> tuple[Tensor, Tensor]:
    """The same for units (n, views, p, d): maps are turned back to the image as it is, then averaged over views."""
    scores, distances = _compared(params, units.flatten(0, 1), library)
    side = round(distances.shape[1] ** 0.5)
    views = distances.unflatten(1, (side, side)).unflatten(0, units.shape[:2]).unbind(1)
    upright = undo_views(views, params.views)
    maps = patch_features.blur(torch.stack(upright).mean(0), params.blur * side / params.image_size)
    farthest = scores.unflatten(0, units.shape[:2]).mean(1).cpu()
    score = farthest if params.score == "farthest" else patch_features.top_mean(maps.flatten(1), params.top)
    return score - maps.flatten(1).quantile(0.5, dim=1) if params.contrast else score, maps


def _compared(params: PatchLibrary, units: Tensor, library: Tensor | Gaussians) -> tuple[Tensor, Tensor]:
    """The score of each view's farthest patch, (n,), and the distance of each patch, (n, p), of units (n, p, d)."""
    if isinstance(library, Gaussians):
        distances = padim.distances(units.to(library.mean.device), library)
        return distances.max(1).values, distances
    neighbors = params.neighbors if params.score == "farthest" else 1
    return memory_bank.image_scores(units.to(library.device), library, neighbors=neighbors)


def _units(params: PatchLibrary, runtime: Runtime) -> tuple[UnitsOf, UnitsOf]:
    """paths -> what is compared of their images, a few images at a time, float32 (images, views, patches, d).

    The first function shows the images as they are, the second their damaged copies.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)  # without pretrained weights too, all folds look through the same eyes
        tower = patch_features.PatchBackbone(params.backbone, params.pretrained, params.strides, params.views)
    nothing = torch.zeros(1, params.image_size, params.image_size, 3, dtype=torch.uint8)
    with torch.inference_mode():
        shapes = [kept.shape[1:] for kept in tower.eval().maps(nothing)]
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
