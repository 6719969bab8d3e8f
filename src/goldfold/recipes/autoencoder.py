"""Anomaly detection with an autoencoder (U-Net) that is trained to reconstruct normal images.

Skip connections can be left out: with all of them the easiest way to a low loss is to copy the image, defects included.
One network gives three anomaly scores: the pixel error of the reconstruction, the difference between the bottleneck
features of image and reconstruction, and the distance of the image's bottleneck features to a library of normal ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.anomaly import (
    autoencoder_diagnostics,
    autoencoders,
    memory_bank,
    one_model_per_class,
    reconstruction_error,
)
from goldfold.anomaly.autoencoder_diagnostics import to_float
from goldfold.anomaly.autoencoders import Autoencoder
from goldfold.anomaly.synthetic_defects import damage, damage_all
from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.data import fields
from goldfold.errors import GoldfoldError
from goldfold.images import augmentation, reading
from goldfold.io import seeding
from goldfold.nn import batches, folding, schedules
from goldfold.nn.optimizers import AdamW
from goldfold.params import with_defaults
from goldfold.recipes.parameters.autoencoder import AutoencoderParams

if TYPE_CHECKING:
    from albumentations import Compose
    from pandas import DataFrame

    from goldfold.anomaly.synthetic_defects import Kind


SCORES = {name: f"score_{name}" for name in ("pixel", "feature", "library")}


def recipe(target: str, normal: Any = 0, class_: str | None = None, **defaults: Any) -> Recipe:
    """Return the recipe for rows with a column `path`; it trains on the rows whose `target` is `normal`.

    target: column with the label. normal: its value for normal images.
    class_: column with the class of the object, for `models=per_class` and the per-epoch diagnostics; never trained on.
    defaults: defaults of `AutoencoderParams` for this competition.

    Predictions are records; larger scores are more anomalous. `score` is the one of `score_pixel`, `score_feature` and
    `score_library` that the parameters choose, all float32 (n,). `map`, float32 (n, size, size), is the pixel error.
    `pseudo`, float32 (n,), is the score of a copy with a synthetic defect, unless pseudo=none.
    """
    build = partial(_build, target=target, normal=normal, class_=class_)
    return Recipe(
        params=with_defaults(AutoencoderParams, **defaults),
        build=build,
        combine=fields.mean,
        other_scores=SCORES,
        columns=("path", target, *filter(None, [class_])),
        example=_example,
    )


def _example(params: AutoencoderParams, rows: int, _: tuple | None) -> np.ndarray:
    names = ["score", *SCORES.values(), "map", *(["pseudo"] if params.pseudo != "none" else [])]
    shapes = {"map": (rows, params.image_size, params.image_size)}
    parts = {name: np.ones(shapes.get(name, rows), np.float32) for name in names}
    return fields.records(**parts, **one_model_per_class.example(rows, params.models))


def _build(
    params: AutoencoderParams, rows: DataFrame, runtime: Runtime, *, target: str, normal: Any, class_: str | None
) -> Plan:
    build = partial(_plan, params, runtime, target, normal, class_)
    if params.models == "one":
        return build(rows)
    return one_model_per_class.plan(build, rows, rows[rows[target] == normal], class_, params.textures)


def _plan(
    params: AutoencoderParams, runtime: Runtime, target: str, normal: Any, class_: str | None, rows: DataFrame
) -> Plan:
    train, holdout = _train_and_holdout(params, rows[rows[target] == normal], runtime.seed)
    pixels = reading.load_resized(list(train["path"]), params.image_size)
    holdout_pixels = reading.load_resized(list(holdout["path"]), params.image_size)
    classes = list(holdout[class_]) if class_ in rows and holdout[class_].notna().all() else None
    kept = autoencoder_diagnostics.held_out(holdout_pixels, list(holdout["id"]), params.pseudo, classes, runtime.device)
    item = partial(
        _sample, pixels, augmentation.distinct_ids(train["id"]), _transforms(params), runtime.seed, params.damages
    )
    drop_last = len(train) > params.batch_size  # statistics of batch norm suffer from a small last batch
    stage = Stage(
        name="reconstruct",
        epochs=params.epochs,
        batches=batches.from_dataset(
            item,
            len(train),
            params.batch_size,
            runtime.seed,
            runtime.workers,
            drop_last=drop_last,
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
        finish=lambda model: _library(params, cast(Autoencoder, model), pixels[in_library], runtime.device),
        predict=partial(_predict, params, runtime.device),
        monitor=lambda model: autoencoder_diagnostics.measure(cast(Autoencoder, model), kept, params.mse, params.ssim),
        pictures=partial(_pictures, params, runtime.device),
    )


def _train_and_holdout(params: AutoencoderParams, normal: DataFrame, seed: int) -> tuple[DataFrame, DataFrame]:
    """Draw the normal rows to train on, and at least one for the per-epoch diagnostics."""
    if len(normal) < 2:
        raise GoldfoldError(
            "too_few_normal_images",
            "an autoencoder needs 2 normal images, one to train on and one for the diagnostics, and this fold has "
            f"{len(normal)}: add images, or use the recipe patch_library, which needs one",
        )
    drawn = np.random.default_rng(seeding.derive(seed, "kept back")).permutation(len(normal))[: params.train_images]
    count = max(1, round(params.holdout * len(drawn)))
    return normal.iloc[np.sort(drawn[count:])], normal.iloc[np.sort(drawn[:count])]


def _network(params: AutoencoderParams) -> Autoencoder:
    if params.backbone == "plain":
        bottleneck, *coarse_to_fine = params.widths
        model = autoencoders.plain(params.skips, coarse_to_fine[::-1], bottleneck)
    else:
        model = autoencoders.on_backbone(params.backbone, params.pretrained, params.skips, params.widths)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stub


@dataclass(frozen=True)
class Transforms:
    """Random transforms of an image. view: of input and target. holes: of the input only."""

    view: Compose
    holes: Compose | None


def _transforms(params: AutoencoderParams) -> Transforms:
    import albumentations as A

    size = params.image_size
    crop = [A.RandomResizedCrop((size, size), scale=(params.crop, 1.0))] if params.crop < 1 else []
    holes = A.Compose([A.CoarseDropout((4, 8), (1 / 16, 1 / 8), (1 / 16, 1 / 8), p=1.0)]) if params.dropout else None
    return Transforms(A.Compose([*crop, augmentation.pipeline(params.augmentation, size)]), holes)


def _sample(
    pixels: np.ndarray,
    ids: Sequence,
    transforms: Transforms,
    seed: int,
    damages: Sequence[Kind],
    epoch: int,
    position: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the network's input and its target, both uint8 (size, size, 3)."""
    name = ids[position]
    target = augmentation.apply(transforms.view, seed, epoch, name, image=pixels[position])["image"]
    inputs = target
    if damages:
        drawn = seeding.derive(seed, "damage", epoch, name)
        if drawn % 2:
            inputs, _ = damage(inputs, damages[drawn // 2 % len(damages)], drawn, name)
    if transforms.holes:
        inputs = augmentation.apply(transforms.holes, seed, epoch, f"holes {name}", image=inputs)["image"]
    return inputs.copy(), target.copy()


def _losses(
    params: AutoencoderParams, device: torch.device, model: nn.Module, batch: tuple[Tensor, Tensor]
) -> Mapping[str, Tensor]:
    inputs, target = (to_float(part.to(device, non_blocking=True), device) for part in batch)
    return reconstruction_error.losses(target, model(inputs), mse=params.mse, ssim=params.ssim)


def _optimizer(params: AutoencoderParams, model: nn.Module) -> torch.optim.Optimizer:
    return AdamW(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, fused=True)


def _library(params: AutoencoderParams, model: Autoencoder, pixels: np.ndarray, device: torch.device) -> Tensor:
    """Return the features of normal images, float32 (images, d), or (images * positions, channels)."""
    parts = [_units(params, model.encode(some)) for some in autoencoder_diagnostics.batches(to_float(pixels, device))]
    units = torch.cat(parts)
    return units.flatten(0, 1) if params.unit == "patch" else units


def _units(params: AutoencoderParams, maps: Tensor) -> Tensor:
    """Turn bottleneck maps (n, c, h, w) into the library's vectors: (n, c h w), or (n, h w, c)."""
    return maps.float().flatten(2).transpose(1, 2) if params.unit == "patch" else maps.float().flatten(1)


def _predict(
    params: AutoencoderParams, device: torch.device, model: Autoencoder, library: Tensor, rows: DataFrame
) -> np.ndarray:
    parts = []
    frozen = None
    for part in batches.prediction_batches(len(rows), autoencoder_diagnostics.BATCH_SIZE, params.image_size, device):
        some = rows.iloc[part]
        pixels = reading.load_resized(list(some["path"]), params.image_size)
        frozen = frozen or folding.fold(model, to_float(pixels[:1], device))
        predicted = _scores(params, frozen, library, to_float(pixels, device), SCORES)
        if params.pseudo != "none":
            damaged, _ = damage_all(pixels, list(some["id"]), params.pseudo)
            scored = _scores(params, frozen, library, to_float(damaged, device), [params.score])
            predicted["pseudo"] = scored["score"]
        parts.append(fields.records(**predicted))
    return np.concatenate(parts)


def _scores(
    params: AutoencoderParams, model: Autoencoder, library: Tensor, images: Tensor, names: Iterable[str]
) -> dict[str, np.ndarray]:
    """The scores `names` of images, the config's own as `score`, and the maps of the error."""
    outputs, features = model.reconstruct_and_encode(images)
    maps = reconstruction_error.error_map(images, outputs, params.mse, params.ssim)
    compute = {
        "pixel": lambda: reconstruction_error.score(maps),
        "feature": lambda: reconstruction_error.feature_error(features, model.encode(outputs)),
        "library": lambda: _distances(params, library, features),
    }
    scores = {SCORES[name]: compute[name]().float().cpu().numpy() for name in names}
    return {"score": scores[SCORES[params.score]], **scores, "map": maps.float().cpu().numpy()}


def _distances(params: AutoencoderParams, library: Tensor, features: Tensor) -> Tensor:
    """The distance of each image to the library."""
    units, neighbors = _units(params, features), min(params.neighbors, len(library))
    if params.unit == "patch":
        return memory_bank.image_scores(units, library, neighbors)[0]
    return memory_bank.vector_scores(units, library, neighbors)


def _pictures(
    params: AutoencoderParams, device: torch.device, model: Autoencoder, library: Tensor, rows: DataFrame
) -> dict[str, np.ndarray]:
    images = to_float(reading.load_resized(list(rows["path"]), params.image_size), device)
    outputs = model(images)
    maps = reconstruction_error.error_map(images, outputs, params.mse, params.ssim)
    return {"reconstruction": outputs.permute(0, 2, 3, 1).cpu().numpy(), "error": maps.cpu().numpy()}
