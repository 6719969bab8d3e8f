"""PaDiM: a Gaussian of normal features at each position of the map, and the Mahalanobis distance from it.

Source: Defard, Setkov, Loesch and Audigier, ICPR 2020 workshops. It suits objects that are always aligned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from goldfold.errors import GoldfoldError

AT_ONCE = 32  # positions
FLOOR = 0.01  # least variance that is added to each one, as in the paper; a constant background has none of its own


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
    position, or `FLOOR` if that is more, is added to each variance there. n images cannot determine the covariance of n
    or more features; the paper adds 0.01 for the same reason. Where all images are equal, the Gaussian is the sphere
    with variance `FLOOR`.

    Raises GoldfoldError for fewer than two images, a shrinkage that is not positive, and features that are not finite.
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
    parts = [_fit(some.float(), shrinkage) for some in features.split(AT_ONCE, dim=1)]
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


def _fit(features: Tensor, shrinkage: float) -> tuple[Tensor, Tensor]:
    if not features.isfinite().all():
        raise GoldfoldError(
            "features_not_finite",
            "normal features contain NaN or infinity: check the images, or use a higher precision",
        )
    mean = features.mean(0)
    deviation = (features - mean).transpose(0, 1)
    covariance = deviation.mT @ deviation / len(features)
    added = (shrinkage * covariance.diagonal(dim1=1, dim2=2).mean(1)).clamp(min=FLOOR)
    identity = torch.eye(features.shape[-1], device=features.device)
    return mean, torch.linalg.cholesky(covariance + added[:, None, None] * identity)
