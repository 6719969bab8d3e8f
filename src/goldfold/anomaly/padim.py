"""What normal images look like at each place: a Gaussian of their features there, and how far others are from it.

PaDiM (Defard, Setkov, Loesch and Audigier, ICPR 2020 workshops), for objects that always lie alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from goldfold.errors import GoldfoldError

AT_ONCE = 32  # places


@dataclass(frozen=True)
class Gaussians:
    """mean: float32 (places, d). factor: float32 (places, d, d), lower triangular; times its transpose: covariance."""

    mean: Tensor
    factor: Tensor


def fitted(features: Tensor, shrinkage: float) -> Gaussians:
    """The Gaussian of n images' features at each place: their mean, and their covariance plus a multiple of identity.

    features: float (n, places, d), n >= 2. shrinkage: above 0, of the mean variance at a place, is added to each
    variance there: n images tell no covariance of n or more features, and the paper adds 0.01 for the same reason.

    Raises GoldfoldError for one image, and where features are not finite or all alike.
    """
    if features.ndim != 3 or len(features) < 2 or not shrinkage > 0:
        raise GoldfoldError(
            f"a Gaussian needs features (images, places, d) of two images or more and a shrinkage above 0, got "
            f"{tuple(features.shape)} and {shrinkage:g}: add images"
        )
    parts = [_fitted(some.float(), shrinkage) for some in features.split(AT_ONCE, dim=1)]
    mean, factor = (torch.cat(part) for part in zip(*parts, strict=True))
    return Gaussians(mean, factor)


def distances(features: Tensor, known: Gaussians) -> Tensor:
    """The Mahalanobis distance of features (n, places, d) from what is normal at their places, float32 (n, places)."""
    parts = []
    for some, mean, factor in zip(
        features.split(AT_ONCE, dim=1), known.mean.split(AT_ONCE), known.factor.split(AT_ONCE), strict=True
    ):
        apart = (some.float() - mean).permute(1, 2, 0)
        parts.append(torch.linalg.solve_triangular(factor, apart, upper=False).norm(dim=1))
    return torch.cat(parts).T


def _fitted(features: Tensor, shrinkage: float) -> tuple[Tensor, Tensor]:
    mean = features.mean(0)
    apart = (features - mean).transpose(0, 1)
    covariance = apart.mT @ apart / len(features)
    variance = covariance.diagonal(dim1=1, dim2=2).mean(1)
    if not (variance.isfinite() & (variance > 0)).all():
        raise GoldfoldError(
            "features must be finite and differ between normal images, at some places they do not: look at the images"
        )
    identity = torch.eye(features.shape[-1], device=features.device)
    return mean, torch.linalg.cholesky(covariance + shrinkage * variance[:, None, None] * identity)
