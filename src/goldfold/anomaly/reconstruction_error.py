"""Reconstruction errors of autoencoders: error maps, image scores and training losses.

Images and reconstructions are floats (n, c, h, w) in [0, 1], two tensors of one shape. Everything is computed in
float32 at least, also under autocast, and is differentiable. Larger is worse everywhere. A NaN pixel makes the image's
score NaN.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from goldfold.errors import GoldfoldError

SIGMA = 1.5  # pixels of the Gaussian of SSIM
RADIUS = 5  # pixels from the center of the window to its border
STABILIZERS = (0.01**2, 0.03**2)  # C1 and C2 of SSIM, for a data range of 1
SMALLEST_SIDE = 6  # the window reflects five pixels at each border


def squared_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Mean of (x - y)^2 over channels at each pixel, (n, h, w) in [0, 1]."""
    images, reconstructions = _comparable(images, reconstructions)
    return (images - reconstructions).square().mean(dim=1)


def ssim_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Mean of 1 - SSIM over channels at each pixel, (n, h, w) in [0, 2]; 0 for equal images.

    SSIM (Wang et al. 2004, equation 13) with an 11 x 11 Gaussian window of sigma 1.5 and a data range of 1, borders
    reflected. It equals torchmetrics' full image, at a fifth of its cost on small images. Raises GoldfoldError for
    images below 6 pixels a side.
    """
    images, reconstructions = _comparable(images, reconstructions)
    if min(images.shape[2:]) < SMALLEST_SIDE:
        raise GoldfoldError(
            "image_too_small",
            f"SSIM needs images of at least {SMALLEST_SIDE} pixels a side, got {tuple(images.shape[2:])}: use a larger "
            "image size, or set the ssim weight to 0",
        )
    down, across = (_window(side).to(images) for side in images.shape[2:])
    with torch.autocast(images.device.type, enabled=False):
        mean_x, mean_y, square_x, square_y, product = (
            down @ each @ across.T
            for each in (images, reconstructions, images.square(), reconstructions.square(), images * reconstructions)
        )
        variances = (square_x - mean_x.square()).clamp(min=0) + (square_y - mean_y.square()).clamp(min=0)
        covariance = product - mean_x * mean_y
        luminance = (2 * mean_x * mean_y + STABILIZERS[0]) / (mean_x.square() + mean_y.square() + STABILIZERS[0])
        similarity = luminance * (2 * covariance + STABILIZERS[1]) / (variances + STABILIZERS[1])
    return 1 - similarity.mean(dim=1)


@cache
def _window(side: int) -> Tensor:
    """The Gaussian window along one axis as a matrix (side, side): the product is faster than small convolutions."""
    reach = torch.arange(-RADIUS, RADIUS + 1)
    weights = torch.exp(-(reach.double() / SIGMA).square() / 2)
    at = torch.arange(side)[:, None] + reach
    inside = (side - 1) - ((side - 1) - at.abs()).abs()  # reflected at both borders
    return torch.zeros(side, side, dtype=torch.float64).scatter_add_(
        1, inside, (weights / weights.sum()).expand(side, -1)
    )


def error_map(images: Tensor, reconstructions: Tensor, mse: float = 1.0, ssim: float = 1.0) -> Tensor:
    """Weighted reconstruction error at each pixel, (n, h, w): mse x squared error + ssim x (1 - SSIM).

    A weight of 0 leaves its term out. Raises GoldfoldError for negative weights, which would invert the ranking, and
    for two zeros.
    """
    _check_weights(mse, ssim)
    parts = ((mse, squared_error), (ssim, ssim_error))
    terms = [weight * measure(images, reconstructions) for weight, measure in parts if weight]
    return terms[0] if len(terms) == 1 else terms[0] + terms[1]


def score(maps: Tensor) -> Tensor:
    """One score per image: the mean of its error map, (n, h, w) -> (n,)."""
    return maps.mean(dim=(1, 2))


def feature_error(features: Tensor, reconstructed: Tensor) -> Tensor:
    """Mean of (E(x) - E(y))^2 over the features of an image, (n,).

    features, reconstructed: (n, d) or (n, c, h, w), of any range.
    """
    _check_shapes(features, reconstructed)
    return (_wide(features) - _wide(reconstructed)).square().flatten(1).mean(dim=1)


def losses(images: Tensor, reconstructions: Tensor, mse: float = 1.0, ssim: float = 1.0) -> dict[str, Tensor]:
    """Weighted scalar losses for a training stage: 'mse', and 'ssim', which is 1 - SSIM.

    A weight of 0 leaves its term out. Their sum is the mean `score` of `error_map` with the same weights. Raises
    GoldfoldError as `error_map` does.
    """
    _check_weights(mse, ssim)
    terms = {"mse": (mse, squared_error), "ssim": (ssim, ssim_error)}
    return {name: weight * error(images, reconstructions).mean() for name, (weight, error) in terms.items() if weight}


def _wide(tensor: Tensor) -> Tensor:
    """The tensor in float32 or wider."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _check_shapes(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        raise GoldfoldError(
            "shapes_differ",
            f"a reconstruction must have the shape of its image, got {tuple(second.shape)} for {tuple(first.shape)}: "
            "crop, resize or select",
        )


def _comparable(images: Tensor, reconstructions: Tensor) -> tuple[Tensor, Tensor]:
    """Both tensors in float32 or wider, after checking their shapes and types."""
    _check_shapes(images, reconstructions)
    if images.ndim != 4 or not (images.is_floating_point() and reconstructions.is_floating_point()):
        raise GoldfoldError(
            "wrong_image_format",
            f"images and reconstructions must be floats (n, c, h, w) in [0, 1], got {images.dtype} and "
            f"{reconstructions.dtype} {tuple(images.shape)}: "
            "divide bytes by 255 and put channels on the second axis",
        )
    return _wide(images), _wide(reconstructions)


def _check_weights(mse: float, ssim: float) -> None:
    if min(mse, ssim) < 0 or not mse + ssim > 0:
        raise GoldfoldError(
            "weight_out_of_range",
            f"the weights mse and ssim must be at least 0, and one must be positive, got {mse} and {ssim}. SSIM enters "
            "as 1 - SSIM, so both terms are minimized",
        )
