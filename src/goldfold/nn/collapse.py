"""Signs that an autoencoder has stopped to see: constant output, one output for all images, features in one point.

Everything is measured on one fixed batch, on the CPU in float64: some tens of images that differ, since it takes
differences between images to see that their reconstructions or features have none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from goldfold.errors import GoldfoldError

FLAT = 0.01  # spatial standard deviation
GREY = (0.2, 0.8)
BLACK = 0.02
WHITE = 1 - BLACK
SAME = 0.05  # variance across reconstructions / across images
NARROW = 0.3  # of the spread of isotropic features
PARALLEL = 0.95  # median cosine of pairs
IDENTICAL = 1e-6  # of the largest magnitude: what rounding in float32 leaves between equal features

OutputVerdict = Literal["grey", "black", "white", "same for all", "not finite"]
FeatureVerdict = Literal["dead", "one point", "not finite"]


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What reconstructions of one batch look like.

    spatial_std: standard deviation over the pixels of a channel, mean over channels and images.
    mean: of all values.
    variance_ratio: variance across reconstructions / variance across images, each at one pixel and averaged over
        pixels; nan where images do not differ (one image alone).
    verdicts: 'grey' (spatial_std < 0.01 and mean in (0.2, 0.8)), 'black' (mean < 0.02), 'white' (mean > 0.98), each
        unless the images are so themselves; 'same for all' (variance_ratio < 0.05); 'not finite', and then every number
        is nan. Empty: no collapse.
    """

    spatial_std: float
    mean: float
    variance_ratio: float
    verdicts: tuple[OutputVerdict, ...]


@dataclass(frozen=True, kw_only=True)
class Features:
    """How much of their space n feature vectors of d dimensions use.

    effective_rank: exp of the entropy of the singular values of the (n, d) matrix divided by their sum (Roy and
        Vetterli 2007), from 1 to min(n, d); 0 where all features are 0. Features are not centred: one point is rank 1.
    spread: standard deviation over vectors of each dimension after L2 normalisation, mean over dimensions (SimSiam,
        Chen and He 2021, section 4.1). isotropic: 1 / sqrt(d), what it is without collapse.
    median_cosine: of all pairs; a vector of zeros has cosine 0 with every other.
    verdicts: 'dead' (all 0, or the same for all images), else 'one point' (spread < 0.3 isotropic, or median_cosine
        > 0.95); 'not finite', and then every number but `isotropic` is nan. Empty: no collapse.

    One vector alone has no spread and no cosine (nan), and can be found dead by being 0 alone.
    """

    effective_rank: float
    spread: float
    isotropic: float
    median_cosine: float
    verdicts: tuple[FeatureVerdict, ...]


def of_outputs(images: Tensor | np.ndarray, reconstructions: Tensor | np.ndarray) -> Outputs:
    """Both (n, c, h, w) floats in [0, 1], of one shape.

    Raises GoldfoldError for another shape, for no images, and for values that are no such floats; reconstructions that
    are not finite get their verdict instead.
    """
    images, reconstructions = _values(images), _values(reconstructions)
    if images.ndim != 4 or images.shape != reconstructions.shape or not images.numel():
        raise GoldfoldError(
            "collapse is measured on one batch (n, c, h, w) of at least one image and its reconstructions, got "
            f"{tuple(images.shape)} and {tuple(reconstructions.shape)}; pass the images the model was given"
        )
    _check_range("images", images)
    if not reconstructions.isfinite().all():
        return Outputs(spatial_std=math.nan, mean=math.nan, variance_ratio=math.nan, verdicts=("not finite",))
    _check_range("reconstructions", reconstructions)
    spatial_std, mean, tone = _flatness(reconstructions)
    ratio = _ratio(_variance_across(reconstructions), _variance_across(images))
    verdicts = [tone] if tone and tone != _flatness(images)[2] else []
    verdicts += ["same for all"] if ratio < SAME else []
    return Outputs(spatial_std=spatial_std, mean=mean, variance_ratio=ratio, verdicts=tuple(verdicts))


def of_features(features: Tensor | np.ndarray) -> Features:
    """features: (n, d), or maps (n, c, h, w), taken whole as d = c h w.

    Give an encoder's map rather than its average over positions: on sixteen crops of one surface, averages of maps at
    1/2 to 1/8 of an ImageNet network have a median cosine of 0.92 to 0.98 without collapse, whole maps 0.07 to 0.38.

    Raises GoldfoldError where there are none.
    """
    features = _values(features)
    if features.ndim < 2 or not features.numel():
        raise GoldfoldError(
            f"collapse is measured on features (n, d) or (n, c, h, w) of at least one image, got "
            f"{tuple(features.shape)}; pass the encoder's output for a batch"
        )
    vectors = features.flatten(1)
    isotropic = vectors.shape[1] ** -0.5
    if not vectors.isfinite().all():
        nan = math.nan
        return Features(
            effective_rank=nan, spread=nan, isotropic=isotropic, median_cosine=nan, verdicts=("not finite",)
        )
    spread, cosine = _spread(vectors), _median_cosine(vectors)
    one_point = spread < NARROW * isotropic or cosine > PARALLEL  # neither holds for nan
    verdicts = ("dead",) if _dead(vectors) else ("one point",) if one_point else ()
    rank = effective_rank(vectors)
    return Features(effective_rank=rank, spread=spread, isotropic=isotropic, median_cosine=cosine, verdicts=verdicts)


def effective_rank(matrix: Tensor) -> float:
    """exp(- sum of p ln p), p = singular values of an (n, d) matrix divided by their sum; 0 for a matrix of zeros."""
    values = torch.linalg.svdvals(matrix)
    if not values.any():
        return 0.0
    return torch.special.entr(values / values.sum()).sum().exp().item()


def _values(values: Tensor | np.ndarray) -> Tensor:
    tensor = values.detach() if isinstance(values, Tensor) else torch.tensor(values)  # a copy: arrays may be read-only
    return tensor.to("cpu", torch.float64)


def _check_range(name: str, values: Tensor) -> None:
    low, high = values.min().item(), values.max().item()
    if not (low >= -IDENTICAL and high <= 1 + IDENTICAL):  # nan is refused too
        raise GoldfoldError(
            f"collapse is judged on {name} with values in [0, 1], got values from {low:.4g} to {high:.4g}; divide "
            "bytes by 255 and undo a standardisation"
        )


def _flatness(images: Tensor) -> tuple[float, float, OutputVerdict | None]:
    """(spatial standard deviation, mean, the word for what they are together)."""
    std, mean = images.flatten(2).std(dim=2, correction=0).mean().item(), images.mean().item()
    if mean < BLACK or mean > WHITE:
        return std, mean, "black" if mean < BLACK else "white"
    return std, mean, "grey" if std < FLAT and GREY[0] < mean < GREY[1] else None


def _variance_across(images: Tensor) -> float:
    return images.var(dim=0, correction=0).mean().item()


def _ratio(above: float, below: float) -> float:
    return above / below if below > IDENTICAL**2 else math.nan


def _spread(vectors: Tensor) -> float:
    return F.normalize(vectors, dim=1).std(dim=0).mean().item() if len(vectors) > 1 else math.nan


def _median_cosine(vectors: Tensor) -> float:
    units = F.normalize(vectors, dim=1)
    first, second = torch.triu_indices(len(vectors), len(vectors), offset=1)
    return np.median((units @ units.T)[first, second].numpy()).item() if len(vectors) > 1 else math.nan


def _dead(vectors: Tensor) -> bool:
    largest = vectors.abs().max()
    same = len(vectors) > 1 and (vectors - vectors[0]).abs().max() <= IDENTICAL * largest
    return bool(same or largest == 0)
