"""Several labels per row from frozen features of image and text: direction/magnitude fusion with a hash layer.

Towers run once per image and text. A head fuses both and classifies, through a layer of hash codes if the model has
one; the codes of the training rows also tag a row by its nearest neighbors. Product quantization of the head's last
hidden features is the alternative to a hash layer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.data import columns, fields
from goldfold.data.column_values import as_texts, count_without_text
from goldfold.errors import GoldfoldError
from goldfold.nn import backbones, batches, feature_cache, hash_fusion, image_towers, schedules, text_towers
from goldfold.nn.hash_fusion import Fused, FusionHead
from goldfold.nn.optimizers import AdamW
from goldfold.optional_parts import Codes
from goldfold.params import with_defaults
from goldfold.recipes.parameters.fusion import HASHED, HIDDEN, WITH_LOSSES, FusionParams
from goldfold.recipes.targets import SeveralLabels, several
from goldfold.retrieval.hashing import codebooks, product_quantization
from goldfold.retrieval.hashing.codebooks import Codebook
from goldfold.retrieval.hashing.codes import tag_scores

if TYPE_CHECKING:
    from pandas import DataFrame

    Features = Callable[[DataFrame], list[Tensor]]

SHARPEST = 10.0  # of annealed codes at the end of training
FLAT = 1e-4  # standard deviation of a logarithm of lengths that says nothing


class Index(NamedTuple):
    """The training rows: codes, uint8 (n, ceil(bits / 8)), made by the codebook, and labels, bool (n, labels)."""

    codebook: Codebook
    codes: np.ndarray
    labels: np.ndarray


def recipe(targets: Sequence[str], **defaults: Any) -> Recipe:
    """Return the recipe for rows with a column `path`, a column of texts, and a column of 0 and 1 per label.

    targets: the label columns; predictions have their order.
    defaults: defaults of `FusionParams` for this competition.

    Predictions are (n, labels) probabilities of the head; with codes records with them as `score` and the votes of the
    nearest training codes as `knn`, for which the metric is also reported. Of models with a hash layer they also have
    the code before its sign as `code`, float32 (n, bits).
    """
    labels = several(targets)
    return Recipe(
        params=with_defaults(labels.params(FusionParams), **defaults),
        build=partial(_build, targets=labels),
        labels=labels.declared,
        columns=("path", *labels.columns),
        example=partial(_example, labels),
        check=_check_texts,
        other_scores={"KNN": "knn"},
        combine=fields.mean,
    )


def _check_texts(params: FusionParams, train: DataFrame, test: DataFrame) -> None:
    """Refuse tables without texts that a text tower could read; single ones may be empty."""
    if not params.towers and params.text_tower == "none":
        return
    columns.require(test, params.text_column, "text column in the test table")
    if count_without_text(train, params.text_column) == len(train):
        raise GoldfoldError(
            "no_texts",
            f"none of {len(train)} train rows has a text in '{params.text_column}': read the texts in load(), or set "
            "text_tower=none",
        )


def _example(targets: SeveralLabels, params: FusionParams, rows: int, classes: tuple | None) -> np.ndarray:
    scores = targets.example(rows)
    return _records(params, scores, scores, np.ones((rows, params.bits), np.float32)) if params.coded else scores


def _records(params: FusionParams, scores: np.ndarray, votes: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    code = {"code": outputs} if params.model in HASHED else {}
    return fields.records(score=scores, knn=votes, **code)


def _build(params: FusionParams, rows: DataFrame, runtime: Runtime, targets: SeveralLabels) -> Plan:
    _check_codes(params, len(rows))
    tower = _text_tower(params)
    features = _features(params, tower, runtime)
    inputs, labels = features(rows), targets.labels(rows)
    decompose = params.model not in ("mlp_baseline", "no_decompose")
    if decompose:
        _check_magnitudes(inputs)
    known = torch.from_numpy(labels).to(runtime.device)
    model = FusionHead(
        (inputs[0].shape[1], inputs[1].shape[1] if len(inputs) > 1 else 0),
        targets.outputs,
        decompose=decompose,
        hidden=(HIDDEN,) if params.model == "mlp_baseline" else (1024, HIDDEN),
        bits=params.bits if params.model in HASHED else None,
        dropout=params.dropout,
        codes=params.codes,
    )
    if params.prior_bias:
        shares = torch.from_numpy(labels).mean(dim=0).clamp(0.5 / len(rows), 1 - 0.5 / len(rows))
        model.classifier.bias.data.copy_(torch.logit(shares))
    if params.standardize:
        model.standardize(*(each.cpu() for each in inputs))
    steps = params.epochs * -(-len(rows) // params.batch_size)
    stage = Stage(
        name="fuse",
        epochs=params.epochs,
        batches=batches.in_memory((*inputs, known), params.batch_size, runtime.seed),
        losses=partial(_losses, params, targets.loss(params, labels), SHARPEST ** (1 / steps)),
        optimizer=partial(_optimizer, params),
        schedule=schedules.create(params.schedule, params.warmup),
    )
    return Plan(
        model=model,
        stages=[stage],
        finish=partial(_index, params, inputs, labels, runtime.seed),
        predict=partial(_predict, params, features, targets),
        codes=_codes(params, features) if params.coded else None,
        probe=text_towers.probe(tower, lambda rows: [as_texts(rows, params.text_column)], rows) if tower else None,
    )


def _text_tower(params: FusionParams) -> text_towers.TextTower | None:
    """The frozen tower of texts; None without texts."""
    wanted = params.towers or params.text_tower
    return None if wanted == "none" else text_towers.load(wanted)


def _losses(
    params: FusionParams,
    loss: Callable[[Tensor, Tensor], dict[str, Tensor]],
    growth: float,
    model: Any,
    batch: Sequence[Tensor],
) -> dict[str, Tensor]:
    *inputs, labels = batch
    own: FusionHead = getattr(model, "module", model)
    if own.training and params.codes == "annealed":
        own.sharpness.mul_(growth)
    found = model(*inputs)
    terms = loss(found.logits, labels)
    if params.model in WITH_LOSSES:
        if params.alignment_weight and len(inputs) > 1:
            terms["alignment"] = params.alignment_weight * own.alignment(*inputs)
        if params.hash_weight:
            terms["hash"] = params.hash_weight * hash_fusion.hash_loss(found.codes)
    return terms


def _optimizer(params: FusionParams, model: nn.Module) -> torch.optim.Optimizer:
    return AdamW(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, fused=True)


def _index(
    params: FusionParams, inputs: Sequence[Tensor], labels: np.ndarray, seed: int, model: nn.Module
) -> Index | None:
    """The index of the training rows; None without codes."""
    if not params.coded:
        return None
    outputs = _outputs(model(*inputs))
    hashed = params.model in HASHED
    book = codebooks.Signs(params.bits) if hashed else codebooks.products(outputs, params.bits, seed)
    return Index(book, book.encode(outputs), labels > 0)


def _outputs(found: Fused) -> np.ndarray:
    """What codes are made of, float32 (n, d): the hash layer's outputs, or the last hidden features without one."""
    return (found.hidden if found.codes is None else found.codes).float().cpu().numpy()


def _predict(
    params: FusionParams,
    features: Features,
    targets: SeveralLabels,
    model: nn.Module,
    index: Index | None,
    rows: DataFrame,
) -> np.ndarray:
    """Return what `recipe` says."""
    found = model(*features(rows))
    scores = targets.probabilities(found.logits.cpu().double()).numpy()
    if index is None:
        return scores
    outputs = _outputs(found)
    near = index.codebook.nearest(outputs, index.codes, params.neighbors)
    votes = tag_scores(*near, index.labels, vote=params.vote, temperature=params.temperature)
    return _records(params, scores, votes, outputs)


def _codes(params: FusionParams, features: Features) -> Codes:
    """How the engine makes and compares codes."""

    def encode(model: nn.Module, index: Index, rows: DataFrame) -> np.ndarray:
        return index.codebook.encode(_outputs(model(*features(rows))))

    def distances(model: nn.Module, index: Index, rows: DataFrame, codes: np.ndarray) -> np.ndarray:
        return index.codebook.distances(_outputs(model(*features(rows))), codes)

    hashed = params.model in HASHED
    return Codes(
        kind="hash" if hashed else "product_quantization",
        bits=params.bits,
        distance="Hamming distance" if hashed else "squared distance of directions",
        encode=encode,
        distances=distances,
        arrays=lambda index: index.codebook.arrays(),
    )


def _features(params: FusionParams, tower: text_towers.TextTower | None, runtime: Runtime) -> Features:
    """Return a function: rows -> features of images and, with a text tower, of texts, on the runtime's device."""
    if params.towers:
        image = image_towers.load(params.towers)
        of_images = feature_cache.cached_extractor(image, image.image_size, runtime)
    else:
        of_images = feature_cache.cached_extractor(_backbone(params), params.image_size, runtime)
    of_texts = text_towers.cached_texts(tower, runtime) if tower else None

    def features(rows: DataFrame) -> list[Tensor]:
        found = [of_images(tuple(map(Path, rows["path"])))]
        if of_texts is not None:
            found.append(of_texts(as_texts(rows, params.text_column)))
        return [torch.from_numpy(each).to(runtime.device) for each in found]

    return features


@lru_cache(maxsize=1)  # of all folds of a run
def _backbone(params: FusionParams) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)  # every fold uses the same backbone, with random weights too
        net, mean, std = backbones.create(params.backbone, params.pretrained, image_size=params.image_size)
    return nn.Sequential(OrderedDict(normalize=backbones.Normalize(mean, std), network=net))


def _check_codes(params: FusionParams, rows: int) -> None:
    """Refuse what codes cannot have, before anything is computed."""
    if params.coded:
        codebooks.check_neighbors(params.neighbors, rows)
        if params.model not in HASHED:
            product_quantization.check(params.bits, HIDDEN)


def _check_magnitudes(inputs: Sequence[Tensor]) -> None:
    """Refuse features of constant length, as normalized ones have: their magnitude says nothing."""
    for name, features in zip(("image", "text"), inputs, strict=False):
        lengths = hash_fusion.magnitudes(features)
        if len(features) > 1 and lengths.std() < FLAT:
            raise GoldfoldError(
                "constant_feature",
                f"the {name} features of all {len(features)} rows have the length {lengths.exp().mean():.4g}, so their "
                "magnitude says nothing: use a tower that does not normalize, or model=no_decompose",
            )
