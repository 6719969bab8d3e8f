"""An anomaly detector that learns to reconstruct normal images: what it cannot reconstruct, or has not seen, is odd.

A U-Net whose skip connections can be left out: with all of them copying the image, defects and all, is the easiest way
to a low loss. Three scores of one network: the error of its pixels, of its bottleneck's features between image and
reconstruction, and the distance of these features to a library of normal images' ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from goldfold.anomaly import (
    autoencoder_diagnostics,
    autoencoders,
    memory_bank,
    one_model_per_class,
    reconstruction_error,
)
from goldfold.anomaly.autoencoder_diagnostics import to_float
from goldfold.anomaly.autoencoders import Autoencoder, Skips
from goldfold.anomaly.synthetic_defects import Kind, damage, damage_all
from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.data import fields
from goldfold.errors import GoldfoldError
from goldfold.images import augmentation
from goldfold.images import reading as images
from goldfold.io import seeding
from goldfold.nn import batches, schedules
from goldfold.params import BackboneName, Epochs, Models, Params, Pretrained, with_defaults

if TYPE_CHECKING:
    from albumentations import Compose
    from pandas import DataFrame


SCORES = {name: f"score_{name}" for name in ("pixel", "feature", "library")}


class Reconstruction(Params):
    """The network, what it sees, how it learns, and what its score is."""

    backbone: BackboneName = Field(
        "efficientnet_lite0", description="timm's name of the encoder; plain: a U-Net from scratch"
    )
    pretrained: Pretrained = Field(True, description="pretrained weights of the encoder")
    skips: Skips = Field("none", description="all, none, or a list of levels, 1 is the finest")
    widths: tuple[int, ...] = Field((128, 64, 48, 32, 16), description="decoder's channels, coarse to fine; plain: all")
    image_size: int = Field(128, ge=16, description="pixels a side that the network sees")
    learnt: int | None = Field(None, ge=2, description="normal images learnt from, drawn at random; all by default")
    kept_back: float = Field(0.1, gt=0, lt=1, description="share of them that is monitored instead of learnt from")
    crop: float = Field(1.0, gt=0, le=1, description="smallest share of the image a random crop keeps; 1: no crops")
    augmentation: Literal["none", "flips", "moves", "light"] = "none"
    dropout: bool = Field(False, description="holes in what the network sees; it is to reconstruct the image without")
    damages: tuple[Kind, ...] = Field((), description="painted into half of what it sees; it is to reconstruct without")
    mse: float = Field(1.0, ge=0, description="weight of the squared error")
    ssim: float = Field(1.0, ge=0, description="weight of 1 - SSIM")
    score: Literal["pixel", "feature", "library"] = "pixel"
    library: int = Field(256, ge=1, description="normal images in the feature library, drawn at random")
    unit: Literal["image", "patch"] = Field("image", description="what the library holds: whole maps or positions")
    neighbors: int = Field(
        1, ge=1, description="k nearest neighbors in the library that average or re-weight distances"
    )
    pseudo: Kind | Literal["none"] = Field("cutpaste_scar", description="damage by which epochs are monitored")
    models: Models = Field("one", description="per_class: one for each, and images are routed")
    textures: tuple[str, ...] = Field((), description="classes that routing tells apart by colour, not by place")
    epochs: Epochs = Field(30, ge=1)
    batch_size: int = Field(16, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    schedule: schedules.Name = "cosine"

    @model_validator(mode="after")
    def _learns(self) -> Reconstruction:
        if not self.mse + self.ssim:
            raise ValueError("one of mse and ssim must be above 0, or nothing is learned")
        return self


def recipe(target: str, normal: Any = 0, class_: str | None = None, **defaults: Any) -> Recipe:
    """The recipe for rows with a column `path`, of which those with `normal` in the column `target` are learnt from.

    class_: a column with the kind of object, for what the features are compared with while training; never learnt.
    defaults: of `Reconstruction`, as the competition's baseline wants them.

    Predictions are records, larger is stranger: `score`, which is one of `score_pixel`, `score_feature` and
    `score_library`, all float32 (n,); `map` float16 (n, size, size), the error of pixels; `pseudo` float32 (n,), the
    score of a damaged copy, where a damage is set.
    """
    build = partial(_build, target=target, normal=normal, class_=class_)
    return Recipe(
        params=with_defaults(Reconstruction, **defaults), build=build, combine=fields.mean, other_scores=SCORES
    )


def _build(
    params: Reconstruction, rows: DataFrame, runtime: Runtime, *, target: str, normal: Any, class_: str | None
) -> Plan:
    build = partial(_plan, params, runtime, target, normal, class_)
    if params.models == "one":
        return build(rows)
    return one_model_per_class.plan(build, rows, rows[rows[target] == normal], class_, params.textures)


def _plan(
    params: Reconstruction, runtime: Runtime, target: str, normal: Any, class_: str | None, rows: DataFrame
) -> Plan:
    learnt, monitored = _parted(params, rows[rows[target] == normal], runtime.seed)
    pixels = images.load_resized(list(learnt["path"]), params.image_size)
    shown = images.load_resized(list(monitored["path"]), params.image_size)
    classes = list(monitored[class_]) if class_ in rows and monitored[class_].notna().all() else None
    kept = autoencoder_diagnostics.held_out(shown, list(monitored["id"]), params.pseudo, classes, runtime.device)
    item = partial(_sample, pixels, list(learnt["id"]), _changes(params), runtime.seed, params.damages)
    rest = len(learnt) > params.batch_size  # batch norm learns nothing good from a small one
    stage = Stage(
        name="reconstruct",
        epochs=params.epochs,
        batches=batches.from_dataset(
            item,
            len(learnt),
            params.batch_size,
            runtime.seed,
            runtime.workers,
            drop_last=rest,
        ),
        losses=partial(_losses, params, runtime.device),
        optimizer=partial(_optimizer, params),
        schedule=schedules.create(params.schedule, warmup=0.05),
    )
    draw = np.random.default_rng(seeding.derive(runtime.seed, "library"))
    in_library = np.sort(draw.permutation(len(pixels))[: params.library])
    return Plan(
        model=_network(params),
        stages=[stage],
        finish=lambda model: _library(params, model, pixels[in_library], runtime.device),
        predict=partial(_predict, params, runtime.device),
        monitor=lambda model: autoencoder_diagnostics.measure(model, kept, params.mse, params.ssim),
        pictures=partial(_pictures, params, runtime.device),
    )


def _parted(params: Reconstruction, normal: DataFrame, seed: int) -> tuple[DataFrame, DataFrame]:
    """Normal rows to learn from, and at least one that is kept back."""
    if len(normal) < 2:
        raise GoldfoldError(
            f"an autoencoder learns from normal images and keeps one back to be watched by, and this fold has "
            f"{len(normal)}: add images, or use the recipe patch_library, which needs one"
        )
    drawn = np.random.default_rng(seeding.derive(seed, "kept back")).permutation(len(normal))[: params.learnt]
    kept = max(1, round(params.kept_back * len(drawn)))
    return normal.iloc[np.sort(drawn[kept:])], normal.iloc[np.sort(drawn[:kept])]


def _network(params: Reconstruction) -> Autoencoder:
    if params.backbone == "plain":
        bottleneck, *coarse_to_fine = params.widths
        model = autoencoders.plain(params.skips, coarse_to_fine[::-1], bottleneck)
    else:
        model = autoencoders.on_backbone(params.backbone, params.pretrained, params.skips, params.widths)
    return model.to(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Changes:
    """view: what both the network and its target are; holes: what the network alone sees."""

    view: Compose
    holes: Compose | None


def _changes(params: Reconstruction) -> Changes:
    import albumentations as A

    size = params.image_size
    crop = [A.RandomResizedCrop((size, size), scale=(params.crop, 1.0))] if params.crop < 1 else []
    holes = A.Compose([A.CoarseDropout((4, 8), (1 / 16, 1 / 8), (1 / 16, 1 / 8), p=1.0)]) if params.dropout else None
    return Changes(A.Compose([*crop, augmentation.pipeline(params.augmentation, size)]), holes)


def _sample(
    pixels: np.ndarray, ids: Sequence, changes: Changes, seed: int, damages: Sequence[str], epoch: int, position: int
) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees and what it is to make of it, both uint8 (size, size, 3)."""
    name = ids[position]
    wanted = augmentation.apply(changes.view, seed, epoch, name, image=pixels[position])["image"]
    seen = wanted
    if damages:
        drawn = seeding.derive(seed, "damage", epoch, name)
        if drawn % 2:
            seen, _ = damage(seen, damages[drawn // 2 % len(damages)], drawn, name)
    if changes.holes:
        seen = augmentation.apply(changes.holes, seed, epoch, f"holes {name}", image=seen)["image"]
    return seen.copy(), wanted.copy()


def _losses(
    params: Reconstruction, device: torch.device, model: nn.Module, batch: tuple[Tensor, Tensor]
) -> Mapping[str, Tensor]:
    seen, wanted = (to_float(part.to(device, non_blocking=True), device) for part in batch)
    return reconstruction_error.losses(wanted, model(seen), mse=params.mse, ssim=params.ssim)


def _optimizer(params: Reconstruction, model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, fused=True)


def _library(params: Reconstruction, model: Autoencoder, pixels: np.ndarray, device: torch.device) -> Tensor:
    """Features of normal images, float32 (images, d), or (images x positions, channels)."""
    parts = [_units(params, model.encode(some)) for some in autoencoder_diagnostics.batches(to_float(pixels, device))]
    units = torch.cat(parts)
    return units.flatten(0, 1) if params.unit == "patch" else units


def _units(params: Reconstruction, maps: Tensor) -> Tensor:
    """Bottleneck maps (n, c, h, w) as what the library holds: (n, c h w), or (n, h w, c)."""
    return maps.float().flatten(2).transpose(1, 2) if params.unit == "patch" else maps.float().flatten(1)


def _predict(
    params: Reconstruction, device: torch.device, model: Autoencoder, library: Tensor, rows: DataFrame
) -> np.ndarray:
    parts = []
    for start in range(0, len(rows), autoencoder_diagnostics.BATCH_SIZE):
        some = rows.iloc[start : start + autoencoder_diagnostics.BATCH_SIZE]
        pixels = images.load_resized(list(some["path"]), params.image_size)
        found = _scores(params, model, library, to_float(pixels, device))
        if params.pseudo != "none":
            damaged, _ = damage_all(pixels, list(some["id"]), params.pseudo)
            found["pseudo"] = _scores(params, model, library, to_float(damaged, device))["score"]
        parts.append(fields.records(**found))
    return np.concatenate(parts)


def _scores(params: Reconstruction, model: Autoencoder, library: Tensor, shown: Tensor) -> dict[str, np.ndarray]:
    outputs, features = model.reconstruct_and_encode(shown)
    maps = reconstruction_error.error_map(shown, outputs, params.mse, params.ssim)
    units = _units(params, features)
    neighbors = min(params.neighbors, len(library))
    if params.unit == "patch":
        distances, _ = memory_bank.image_scores(units, library, neighbors)
    else:
        distances = memory_bank.vector_scores(units, library, neighbors)
    found = {
        SCORES["pixel"]: reconstruction_error.score(maps),
        SCORES["feature"]: reconstruction_error.feature_error(features, model.encode(outputs)),
        SCORES["library"]: distances,
    }
    scores = {name: values.float().cpu().numpy() for name, values in found.items()}
    return {"score": scores[SCORES[params.score]], **scores, "map": maps.cpu().numpy().astype(np.float16)}


def _pictures(
    params: Reconstruction, device: torch.device, model: Autoencoder, library: Tensor, rows: DataFrame
) -> dict[str, np.ndarray]:
    shown = to_float(images.load_resized(list(rows["path"]), params.image_size), device)
    outputs = model(shown)
    maps = reconstruction_error.error_map(shown, outputs, params.mse, params.ssim)
    return {"reconstruction": outputs.permute(0, 2, 3, 1).cpu().numpy(), "error": maps.cpu().numpy()}
