"""Detect collapsed outputs and features: constant output, one output for all images, features in one point.

All statistics are of one fixed batch, on the CPU in float64. Use some tens of different images: only if the images
differ can equal reconstructions or features be a sign of collapse.
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

FLAT = 0.01  # spatial standard deviation below which an output is constant
GRAY = (0.2, 0.8)  # range of the mean of a gray output
BLACK = 0.02
WHITE = 1 - BLACK
SAME = 0.05  # variance across reconstructions / variance across images
NARROW = 0.3  # share of the spread of isotropic features
PARALLEL = 0.95  # median cosine of all pairs
IDENTICAL = 1e-6  # of the largest magnitude: float32 rounding errors between equal features

OutputVerdict = Literal["gray", "black", "white", "same for all", "not finite"]
FeatureVerdict = Literal["dead", "one point", "not finite"]


@dataclass(frozen=True, kw_only=True)
class OutputStatistics:
    """Statistics of the reconstructions of one batch.

    spatial_std: standard deviation over the pixels of a channel, mean over channels and images.
    mean: of all values.
    variance_ratio: variance across reconstructions / variance across images, each at one pixel and averaged over
        pixels; nan if the images do not differ, as a single image.
    verdicts: 'gray' (spatial_std < 0.01 and mean in (0.2, 0.8)), 'black' (mean < 0.02), 'white' (mean > 0.98), each
        only if the images themselves are not; 'same for all' (variance_ratio < 0.05); 'not finite', with all numbers
        nan. Empty: no collapse.
    """

    spatial_std: float
    mean: float
    variance_ratio: float
    verdicts: tuple[OutputVerdict, ...]


@dataclass(frozen=True, kw_only=True)
class FeatureStatistics:
    """How much of their space n feature vectors of d dimensions use.

    effective_rank: exp of the entropy of the singular values of the (n, d) matrix divided by their sum (Roy and
        Vetterli 2007), from 1 to min(n, d); 0 if all features are 0. Features are not centered: one point has rank 1.
    spread: standard deviation of each dimension over the L2-normalized vectors, mean over dimensions (SimSiam, Chen and
        He 2021, section 4.1).
    isotropic: 1 / sqrt(d), the spread of isotropic features.
    median_cosine: of all pairs; a vector of zeros has cosine 0 with every other one.
    verdicts: 'dead' (all 0, or equal for all images), else 'one point' (spread < 0.3 isotropic, or median_cosine
        > 0.95); 'not finite', with every number but `isotropic` nan. Empty: no collapse.

    A single vector has no spread and no cosine (nan), and is dead only if it is 0.
    """

    effective_rank: float
    spread: float
    isotropic: float
    median_cosine: float
    verdicts: tuple[FeatureVerdict, ...]


def measure_outputs(images: Tensor | np.ndarray, reconstructions: Tensor | np.ndarray) -> OutputStatistics:
    """Measure whether reconstructions have collapsed.

    images, reconstructions: (n, c, h, w) floats in [0, 1], of equal shapes.

    Raises GoldfoldError for other shapes, for no images, and for values outside [0, 1]. Reconstructions that are not
    finite get the verdict 'not finite' instead.
    """
    images, reconstructions = _values(images), _values(reconstructions)
    if images.ndim != 4 or images.shape != reconstructions.shape or not images.numel():
        raise GoldfoldError(
            "wrong_image_shape",
            "collapse is measured on images and reconstructions of one shape (n, c, h, w) with n > 0, got "
            f"{tuple(images.shape)} and {tuple(reconstructions.shape)}: pass the images that the model was given",
        )
    _check_range("images", images)
    if not reconstructions.isfinite().all():
        return OutputStatistics(spatial_std=math.nan, mean=math.nan, variance_ratio=math.nan, verdicts=("not finite",))
    _check_range("reconstructions", reconstructions)
    spatial_std, mean, tone = _flatness(reconstructions)
    ratio = _ratio(_variance_across(reconstructions), _variance_across(images))
    verdicts = [tone] if tone and tone != _flatness(images)[2] else []
    verdicts += ["same for all"] if ratio < SAME else []
    return OutputStatistics(spatial_std=spatial_std, mean=mean, variance_ratio=ratio, verdicts=tuple(verdicts))


def measure_features(features: Tensor | np.ndarray) -> FeatureStatistics:
    """Measure whether features have collapsed.

    features: (n, d), or maps (n, c, h, w), which are flattened to d = c h w. Pass an encoder's map rather than its
        average over positions: on sixteen crops of one surface, averages of the maps of an ImageNet network at 1/2 to
        1/8 of the image size have a median cosine of 0.92 to 0.98 without collapse, whole maps 0.07 to 0.38.

    Raises GoldfoldError for another shape or no features.
    """
    features = _values(features)
    if features.ndim < 2 or not features.numel():
        raise GoldfoldError(
            "wrong_feature_shape",
            f"collapse is measured on features (n, d) or (n, c, h, w) with n > 0, got {tuple(features.shape)}: pass "
            "the encoder's output for a batch",
        )
    vectors = features.flatten(1)
    isotropic = vectors.shape[1] ** -0.5
    if not vectors.isfinite().all():
        nan = math.nan
        return FeatureStatistics(
            effective_rank=nan, spread=nan, isotropic=isotropic, median_cosine=nan, verdicts=("not finite",)
        )
    spread, cosine = _spread(vectors), _median_cosine(vectors)
    one_point = spread < NARROW * isotropic or cosine > PARALLEL  # both are false for nan
    verdicts: tuple[FeatureVerdict, ...] = ("dead",) if _dead(vectors) else ("one point",) if one_point else ()
    rank = effective_rank(vectors)
    return FeatureStatistics(
        effective_rank=rank, spread=spread, isotropic=isotropic, median_cosine=cosine, verdicts=verdicts
    )


def effective_rank(matrix: Tensor) -> float:
    """Return the effective rank of an (n, d) matrix; 0 for a matrix of zeros.

    It is exp(-sum of p ln p), where p are the singular values divided by their sum (Roy and Vetterli 2007).
    """
    values = torch.linalg.svdvals(matrix)
    if not values.any():
        return 0.0
    return torch.special.entr(values / values.sum()).sum().exp().item()


def _values(values: Tensor | np.ndarray) -> Tensor:
    """The values as float64 on the CPU."""
    tensor = values.detach() if isinstance(values, Tensor) else torch.tensor(values)  # a copy: arrays may be read-only
    return tensor.to("cpu", torch.float64)


def _check_range(name: str, values: Tensor) -> None:
    low, high = values.min().item(), values.max().item()
    if not (low >= -IDENTICAL and high <= 1 + IDENTICAL):  # also rejects nan
        raise GoldfoldError(
            "values_out_of_range",
            f"collapse is measured on {name} with values in [0, 1], got {low:.4g} to {high:.4g}: divide bytes by 255, "
            "and undo a standardization",
        )


def _flatness(images: Tensor) -> tuple[float, float, OutputVerdict | None]:
    """The spatial standard deviation, the mean, and the verdict on both."""
    std, mean = images.flatten(2).std(dim=2, correction=0).mean().item(), images.mean().item()
    if mean < BLACK or mean > WHITE:
        return std, mean, "black" if mean < BLACK else "white"
    return std, mean, "gray" if std < FLAT and GRAY[0] < mean < GRAY[1] else None


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
