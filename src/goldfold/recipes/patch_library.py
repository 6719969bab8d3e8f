"""Anomaly detection without training: the distance of an image's patch features to a library of normal ones.

PatchCore (Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022): feature maps of a frozen
pretrained backbone, a coreset of the normal images' patches, and the distance of an image's most anomalous patch to it.
If objects always have the same pose, PaDiM (`normality=gaussians`) is better: it compares patches at the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from goldfold.anomaly import class_routing, one_model_per_class
from goldfold.anomaly.padim import Gaussians
from goldfold.competition import Plan, Recipe, Runtime
from goldfold.data import fields
from goldfold.errors import GoldfoldError
from goldfold.params import with_defaults
from goldfold.recipes.patches import references, sizes
from goldfold.recipes.patches.params import PatchLibraryParams
from goldfold.recipes.patches.scores import library_of, scores_of, units_of_files

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.recipes.patches.scores import UnitsOf


def recipe(target: str, normal: Any = 0, class_: str | None = None, **defaults: Any) -> Recipe:
    """Return the recipe for rows with a column `path`; its library holds the rows whose `target` is `normal`.

    target: column with the label. normal: its value for normal images.
    class_: column with the class of the object, for `libraries=per_class`.
    defaults: defaults of `PatchLibraryParams` for this competition.

    Predictions are records; larger scores are more anomalous. All scores are means over the views.
    `score`, float32 (n,), is a distance; with contrast=true minus the median distance of the image, so it may be
    negative. `map`, float32 (n, h, w), is the distance of each patch, only with unit=patch. `pseudo`, float32 (n,), is
    the score of a copy with a synthetic defect, unless pseudo=none. `routed`, <U64 (n,), is the class whose library
    was used, only with libraries=per_class. With a reference image (column `reference_path` of both tables) `score` and
    `map` are of the difference to it, and `aligned`, float32 (n,), is 1 where the reference was aligned.
    """
    build = partial(_build, target=target, normal=normal, class_=class_)
    return Recipe(
        params=with_defaults(PatchLibraryParams, **defaults),
        build=build,
        combine=fields.mean,
        columns=("path", target, *filter(None, [class_])),
        example=_example,
        check=references.check,
    )


def _example(params: PatchLibraryParams, rows: int, _: tuple | None) -> np.ndarray:
    every = {"score": (), "map": (8, 8), "pseudo": (), "aligned": ()}
    absent = {"map": params.unit == "image", "pseudo": params.pseudo == "none", "aligned": not _aligns(params)}
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
    whole, damaged = units_of_files(params, runtime)
    build = partial(_plan, params, runtime, whole, damaged)
    if params.libraries == "one":
        probe = partial(sizes.probe, params, runtime, whole, known, (target, normal))
        probed = params.unit == "patch" and params.reference == "none"
        return replace(build(known), probe=probe if probed else None)
    route = partial(_nearest_library, whole) if params.route == "library" else None
    return one_model_per_class.plan(build, known, known, class_, params.textures, route)


def _plan(params: PatchLibraryParams, runtime: Runtime, whole: UnitsOf, damaged: UnitsOf, known: DataFrame) -> Plan:
    def finish(_: nn.Module | None) -> Tensor | Gaussians | None:
        used = params.reference == "none" or params.fusion == "product" or params.libraries == "per_class"
        return library_of(params, whole(tuple(known["path"])), runtime) if used else None

    if params.reference == "none":
        return Plan(finish=finish, predict=lambda _, library, rows: _predict(params, rows, library, whole, damaged))
    return Plan(finish=finish, predict=lambda _, library, rows: _compare(params, runtime, rows, library, whole))


def _nearest_library(
    whole: UnitsOf, classes: Sequence[str], of_classes: Sequence[Tensor], rows: DataFrame
) -> class_routing.Routed:
    """Route rows to the class with the nearest library, by the images without further views."""
    known = dict(zip(classes, of_classes, strict=True))
    images = (units[:, 0].to(of_classes[0].device) for units in whole(tuple(rows["path"])))
    return class_routing.concatenate([class_routing.by_memory_bank(units, known) for units in images])


def _predict(
    params: PatchLibraryParams, rows: DataFrame, library: Tensor | Gaussians, whole: UnitsOf, damaged: UnitsOf
) -> np.ndarray:
    paths = tuple(rows["path"])
    scores, maps = scores_of(params, whole(paths), library)
    predicted = {"score": scores}
    if params.unit == "patch":
        predicted["map"] = maps
    if params.pseudo != "none":
        predicted["pseudo"], _ = scores_of(params, damaged(paths), library)
    return fields.records(**predicted)


def _compare(
    params: PatchLibraryParams, runtime: Runtime, rows: DataFrame, library: Tensor | Gaussians | None, whole: UnitsOf
) -> np.ndarray:
    compared = references.compare(params, runtime, rows, whole)
    scores, maps = compared.scores, compared.maps
    if params.fusion == "product" and library is not None:
        scores, maps = references.fuse(compared, *scores_of(params, whole(tuple(rows["path"])), library))
    aligned = {"aligned": compared.aligned.astype(np.float32)} if _aligns(params) else {}
    return fields.records(score=scores, map=maps, **aligned)


def _aligns(params: PatchLibraryParams) -> bool:
    return params.reference != "none" and params.alignment != "none"
