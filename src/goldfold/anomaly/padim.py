"""PaDiM: a Gaussian of normal features at each position of the map, and the Mahalanobis distance from it.

Source: Defard, Setkov, Loesch and Audigier, ICPR 2020 workshops. It suits objects that are always aligned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from goldfold.errors import GoldfoldError

AT_ONCE = 32  # positions
FLOOR = 1e-4  # of the mean variance over all positions; where the background is constant, a position has less


@dataclass(frozen=True)
class Gaussians:
    """A Gaussian per position. mean: float32 (positions, d). factor: float32 (positions, d, d), Cholesky factor.

    The factor is lower triangular; factor times its transpose is the covariance.
    """

    mean: Tensor
    factor: Tensor


def fit(features: Tensor, shrinkage: float) -> Gaussians:
    """Fit the Gaussian of the features of n images at each position: their mean, and their covariance plus shrinkage.

    features: float (n, positions, d), n >= 2. shrinkage: greater than 0; this multiple of the mean variance at a
    position is added to each variance there. n images cannot determine the covariance of n or more features; the paper
    adds 0.01 for the same reason. A mean variance below `FLOOR` counts as `FLOOR`, so that a position where all images
    are equal has a narrow Gaussian.

    Raises GoldfoldError for fewer than two images, a shrinkage that is not positive, and features that are not finite
    or vary at no position.
    """
    if features.ndim != 3 or len(features) < 2:
        raise GoldfoldError(
            "too_few_images",
            f"a Gaussian needs features (images, positions, d) of two or more images, got {tuple(features.shape)}: add "
            "images",
        )
    if not shrinkage > 0:
        raise GoldfoldError(
            "shrinkage_not_positive", f"shrinkage must be greater than 0, got {shrinkage:g}: 0.01 is usual"
        )
    variances = [some.float().var(0, correction=0).mean(1) for some in features.split(AT_ONCE, dim=1)]
    overall = float(torch.cat(variances).mean())
    if not 0 < overall < float("inf"):
        raise GoldfoldError(
            "features_constant",
            "normal features are not finite, or vary at no position: check the images, or use other layers",
        )
    parts = [_fit(some.float(), shrinkage, FLOOR * overall) for some in features.split(AT_ONCE, dim=1)]
    mean, factor = (torch.cat(part) for part in zip(*parts, strict=True))
    return Gaussians(mean, factor)


def distances(features: Tensor, gaussians: Gaussians) -> Tensor:
    """Mahalanobis distance of features from the Gaussian at their position, float32 (n, positions).

    features: float (n, positions, d).
    """
    parts = []
    for some, mean, factor in zip(
        features.split(AT_ONCE, dim=1), gaussians.mean.split(AT_ONCE), gaussians.factor.split(AT_ONCE), strict=True
    ):
        deviation = (some.float() - mean).permute(1, 2, 0)
        parts.append(torch.linalg.solve_triangular(factor, deviation, upper=False).norm(dim=1))
    return torch.cat(parts).T


def _fit(features: Tensor, shrinkage: float, floor: float) -> tuple[Tensor, Tensor]:
    mean = features.mean(0)
    deviation = (features - mean).transpose(0, 1)
    covariance = deviation.mT @ deviation / len(features)
    variance = covariance.diagonal(dim1=1, dim2=2).mean(1).clamp(min=floor)
    identity = torch.eye(features.shape[-1], device=features.device)
    return mean, torch.linalg.cholesky(covariance + shrinkage * variance[:, None, None] * identity)
