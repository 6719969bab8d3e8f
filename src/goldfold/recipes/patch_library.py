"""An anomaly detector that trains nothing: how far an image's features are from a library of normal images' features.

PatchCore (Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022): maps of a frozen pretrained
backbone, a coreset of the normal images' patches, and the distance of an image's strangest patch to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from goldfold import backbones, coresets, features, fields, libraries
from goldfold.competition import Plan, Recipe, Runtime
from goldfold.errors import GoldfoldError
from goldfold.params import Params, with_defaults
from goldfold.seeding import derive

if TYPE_CHECKING:
    from pandas import DataFrame

    UnitsOf = Callable[[tuple[Path, ...]], Iterator[Tensor]]

AT_ONCE = 16  # images whose patches are compared with the library together


class PatchLibrary(Params):
    """What is looked at, what of it is kept, and what an image is compared by."""

    backbone: str = Field("efficientnet_lite0", description="timm's name of the image model")
    pretrained: bool = Field(True, description="pretrained weights; random ones are for tests")
    image_size: int = Field(224, ge=32, description="pixels a side that the backbone sees")
    strides: tuple[int, ...] = Field((8, 16), min_length=1, description="pixels from patch to patch in each map used")
    unit: Literal["patch", "image"] = Field("patch", description="what is compared: patches, or their mean per image")
    drawn: int = Field(200_000, ge=1, description="patches drawn at random before the coreset is chosen among them")
    library: int = Field(10_000, ge=1, description="size of the coreset, the greedy k-centre of what was drawn")
    neighbours: int = Field(9, ge=1, description="of the nearest library patch, by which the distance is re-weighted")


def recipe(target: str, normal: Any = 0, **defaults: Any) -> Recipe:
    """The recipe for rows with a column `path`, of which those with `normal` in the column `target` are learnt from.

    Predictions are records: `score` float32 (n,), a distance, and with unit=patch `map` float16 (n, h, w), that of each
    patch. defaults: of `PatchLibrary`, as the competition's baseline wants them.
    """
    build = partial(_build, target=target, normal=normal)
    return Recipe(params=with_defaults(PatchLibrary, **defaults), build=build, combine=fields.mean)


def _build(params: PatchLibrary, rows: DataFrame, runtime: Runtime, target: str, normal: Any) -> Plan:
    known = tuple(rows.loc[rows[target] == normal, "path"])
    if not known:
        raise GoldfoldError(
            f"a library is made of normal images, and of {len(rows)} training rows none has {normal!r} in '{target}': "
            "look at the split"
        )
    units_of = _units(params, runtime)
    return Plan(
        finish=lambda _: _library(params, units_of(known), runtime),
        predict=lambda _, library, rows: _predict(params, units_of(tuple(rows["path"])), library),
    )


def _library(params: PatchLibrary, normal: Iterator[Tensor], runtime: Runtime) -> Tensor:
    """The coreset of what normal images consist of, float32 (library, d)."""
    units = torch.cat([part.flatten(0, 1).half() for part in normal])
    draw = torch.Generator().manual_seed(derive(runtime.seed, "patches"))
    drawn = units[torch.randperm(len(units), generator=draw)[: params.drawn]].float().to(runtime.device)
    size = min(params.library, len(drawn))
    return drawn[coresets.greedy_k_centre(drawn, size, progress=partial(runtime.progress, "coreset"))]


def _predict(params: PatchLibrary, shown: Iterator[Tensor], library: Tensor) -> np.ndarray:
    scores, maps = [], []
    for units in shown:
        score, distances = libraries.image_scores(units.to(library.device), library, neighbours=params.neighbours)
        side = round(distances.shape[1] ** 0.5)
        scores.append(score.float().cpu().numpy())
        maps.append(distances.unflatten(1, (side, side)).cpu().numpy().astype(np.float16))
    found = {"score": np.concatenate(scores), "map": np.concatenate(maps)}
    return fields.records(**found) if params.unit == "patch" else fields.records(score=found["score"])


def _units(params: PatchLibrary, runtime: Runtime) -> UnitsOf:
    """paths -> what is compared of their images, a few images at a time: float32 (images, patches, d).

    As in the paper each map is averaged over 3 x 3 patches, and the coarser ones are enlarged to the finest.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)  # without pretrained weights too, all folds look through the same eyes
        tower = Tower(params.backbone, params.pretrained, params.strides)
    nothing = torch.zeros(1, params.image_size, params.image_size, 3, dtype=torch.uint8)
    with torch.inference_mode():
        shapes = [kept.shape[1:] for kept in tower.eval().maps(nothing)]
    note = f"strides={params.strides}"
    kept_of = features.through(tower, params.image_size, runtime, note=note, dtype=np.float16)

    def units_of(paths: tuple[Path, ...]) -> Iterator[Tensor]:
        for kept in torch.from_numpy(kept_of(paths)).split(AT_ONCE):
            parts = kept.float().split([prod(shape) for shape in shapes], dim=1)
            maps = [F.avg_pool2d(part.unflatten(1, shape), 3, 1, 1) for part, shape in zip(parts, shapes, strict=True)]
            finest = max((each.shape[-2:] for each in maps), key=prod)
            enlarged = [F.interpolate(each, finest, mode="bilinear") for each in maps]
            units = torch.cat(enlarged, dim=1).flatten(2).transpose(1, 2)
            yield units if params.unit == "patch" else units.mean(1, keepdim=True)

    return units_of


class Tower(nn.Module):
    """Pixels uint8 (n, h, w, 3) -> a frozen backbone's maps at the chosen strides, one after the other, (n, values)."""

    def __init__(self, name: str, pretrained: bool, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.backbone, mean, std = backbones.create(name, pretrained)
        self.normalise = backbones.Normalise(mean, std)
        known = [stage["reduction"] for stage in getattr(self.backbone, "feature_info", ())]
        absent = [stride for stride in strides if stride not in known]
        if absent:
            raise GoldfoldError(
                f"backbone '{name}' has maps at strides {', '.join(map(str, known))}, not {absent[0]}: change `strides`"
            )
        self.indices = [known.index(stride) for stride in strides]
        self.to(memory_format=torch.channels_last)

    def maps(self, pixels: Tensor) -> list[Tensor]:
        return self.backbone.forward_intermediates(
            self.normalise(pixels), indices=self.indices, intermediates_only=True
        )

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.cat([each.flatten(1) for each in self.maps(pixels)], dim=1)
