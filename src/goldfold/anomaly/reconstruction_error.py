"""How far reconstructions are from their images: error maps, scores of images, losses that train an autoencoder.

Images and reconstructions are floats (n, c, h, w) in [0, 1], two tensors of one shape. Everything is computed in
float32 at least, also under autocast, and gradients flow through it. Larger is worse everywhere. A pixel that is nan
makes its image's score nan.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from goldfold.errors import GoldfoldError

SIGMA = 1.5  # pixels of the Gaussian of SSIM
RADIUS = 5  # pixels from the middle of its window to the border
STABLE = (0.01**2, 0.03**2)  # C1 and C2 of SSIM, for a data range of 1
SMALLEST_SIDE = 6  # the window reflects five pixels at each border


def squared_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """(n, h, w) in [0, 1]: the mean of (x - y)^2 over channels."""
    images, reconstructions = _comparable(images, reconstructions)
    return (images - reconstructions).square().mean(dim=1)


def dissimilarity(images: Tensor, reconstructions: Tensor) -> Tensor:
    """(n, h, w) in [0, 2]: the mean of 1 - SSIM over channels, 0 for equal images.

    SSIM (Wang et al. 2004, equation 13) with an 11 x 11 Gaussian window of sigma 1.5 and a data range of 1, borders
    reflected; equal to torchmetrics' full image, at a fifth of its cost on small images.
    """
    images, reconstructions = _comparable(images, reconstructions)
    if min(images.shape[2:]) < SMALLEST_SIDE:
        raise GoldfoldError(
            f"SSIM needs images of at least {SMALLEST_SIDE} pixels a side, got {tuple(images.shape[2:])}; "
            "choose a larger image size, or leave the ssim term out with weight 0"
        )
    down, across = (_window(side).to(images) for side in images.shape[2:])
    with torch.autocast(images.device.type, enabled=False):
        mean_x, mean_y, square_x, square_y, product = (
            down @ each @ across.T
            for each in (images, reconstructions, images.square(), reconstructions.square(), images * reconstructions)
        )
        variances = (square_x - mean_x.square()).clamp(min=0) + (square_y - mean_y.square()).clamp(min=0)
        covariance = product - mean_x * mean_y
        luminance = (2 * mean_x * mean_y + STABLE[0]) / (mean_x.square() + mean_y.square() + STABLE[0])
        similarity = luminance * (2 * covariance + STABLE[1]) / (variances + STABLE[1])
    return 1 - similarity.mean(dim=1)


@cache
def _window(side: int) -> Tensor:
    """The Gaussian window along one axis as a matrix (side, side): as a product it beats small convolutions."""
    reach = torch.arange(-RADIUS, RADIUS + 1)
    weights = torch.exp(-(reach.double() / SIGMA).square() / 2)
    at = torch.arange(side)[:, None] + reach
    inside = (side - 1) - ((side - 1) - at.abs()).abs()  # reflected at both borders
    return torch.zeros(side, side, dtype=torch.float64).scatter_add_(
        1, inside, (weights / weights.sum()).expand(side, -1)
    )


def error_map(images: Tensor, reconstructions: Tensor, mse: float = 1.0, ssim: float = 1.0) -> Tensor:
    """(n, h, w): mse x squared error + ssim x (1 - SSIM) at each pixel; a weight of 0 leaves its part out.

    Raises GoldfoldError for weights below 0, which would turn the ranking round, and for two zeros.
    """
    _check_weights(mse, ssim)
    parts = ((mse, squared_error), (ssim, dissimilarity))
    return sum(weight * measure(images, reconstructions) for weight, measure in parts if weight)


def score(maps: Tensor) -> Tensor:
    """Error maps (n, h, w) -> their means, (n,): one score an image."""
    return maps.mean(dim=(1, 2))


def feature_error(features: Tensor, reconstructed: Tensor) -> Tensor:
    """(n,): the mean of (E(x) - E(y))^2 over an image's features, (n, d) or (n, c, h, w) of any range."""
    _check_shapes(features, reconstructed)
    return (_wide(features) - _wide(reconstructed)).square().flatten(1).mean(dim=1)


def losses(images: Tensor, reconstructions: Tensor, mse: float = 1.0, ssim: float = 1.0) -> dict[str, Tensor]:
    """Weighted scalars as a stage wants them: 'mse', and 'ssim', which is 1 - SSIM; a weight of 0 leaves its term out.

    Their sum is the mean `score` of `error_map` under the same weights. Raises GoldfoldError as that does.
    """
    _check_weights(mse, ssim)
    terms = {"mse": (mse, squared_error), "ssim": (ssim, dissimilarity)}
    return {name: weight * error(images, reconstructions).mean() for name, (weight, error) in terms.items() if weight}


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _check_shapes(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        raise GoldfoldError(
            f"a reconstruction has the shape of what it reconstructs, got {tuple(second.shape)} for "
            f"{tuple(first.shape)}; crop, resize or select so that both have one shape"
        )


def _comparable(images: Tensor, reconstructions: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32 or better."""
    _check_shapes(images, reconstructions)
    if images.ndim != 4 or not (images.is_floating_point() and reconstructions.is_floating_point()):
        raise GoldfoldError(
            f"images and reconstructions are floats (n, c, h, w) in [0, 1], got {images.dtype} and "
            f"{reconstructions.dtype} {tuple(images.shape)}; divide bytes by 255, with channels on the second axis"
        )
    return _wide(images), _wide(reconstructions)


def _check_weights(mse: float, ssim: float) -> None:
    if min(mse, ssim) < 0 or not mse + ssim > 0:
        raise GoldfoldError(
            f"the weights mse and ssim are at least 0 and one of them is above it, got {mse} and {ssim}; "
            "SSIM enters as 1 - SSIM already, so that both are minimised"
        )
