"""Direction/magnitude hash fusion: a head on frozen image and text features, with a hash layer, and its loss terms.

A feature v (n, d) is split into its direction v / (|v| + e) and its magnitude log(|v| + e), e = 1e-6. The head gets
both directions, their product and both magnitudes; a hash layer squeezes what it finds into codes in [-1, 1], whose
signs are bits (`goldfold.retrieval.hashing`). Features must not be normalized: a constant magnitude says nothing.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

Codes = Literal["tanh", "straight_through", "annealed"]
EPSILON = 1e-6


class Fused(NamedTuple):
    """What a head makes of a batch.

    logits: (n, classes). codes: (n, bits) in [-1, 1], None without a hash layer. hidden: (n, width) of the last hidden
    layer, before the hash layer.
    """

    logits: Tensor
    codes: Tensor | None
    hidden: Tensor


def directions(features: Tensor) -> Tensor:
    """Features (n, d) divided by their length."""
    return features / (features.norm(dim=1, keepdim=True) + EPSILON)


def magnitudes(features: Tensor) -> Tensor:
    """Natural logarithm of the lengths of features (n, d), (n, 1)."""
    return torch.log(features.norm(dim=1, keepdim=True) + EPSILON)


def decomposed(image: Tensor, text: Tensor | None, projection: Tensor | None = None) -> Tensor:
    """Both directions, their product and both magnitudes, (n, d_image + d_text + min(d_image, d_text) + 2).

    image, text: features (n, d_image) and (n, d_text); without text the direction and magnitude of the image alone.
    projection: see `shared_width`.
    """
    if text is None:
        return torch.cat([directions(image), magnitudes(image)], dim=1)
    one, other = shared_width(image, text, projection)
    parts = [directions(image), directions(text), one * other, magnitudes(image), magnitudes(text)]
    return torch.cat(parts, dim=1)


def shared_width(image: Tensor, text: Tensor, projection: Tensor | None) -> tuple[Tensor, Tensor]:
    """The directions of image and text, the wider one projected to the width of the other.

    projection: fixed matrix (wider, narrower) of `random_projection`; None if both have the same width.
    """
    one, other = directions(image), directions(text)
    if projection is None:
        return one, other
    if one.shape[1] > other.shape[1]:
        return directions(one @ projection), other
    return one, directions(other @ projection)


def random_projection(image: int, text: int, seed: int = 0) -> Tensor | None:
    """A fixed Gaussian matrix from the wider to the narrower of two widths, float32; None if they are equal.

    Its entries have the variance 1 / narrower, so that it keeps lengths and cosines in expectation (Johnson and
    Lindenstrauss, 1984). It is the same in every fold.
    """
    if image == text:
        return None
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(max(image, text), min(image, text), generator=generator) / min(image, text) ** 0.5


def joined(image: Tensor, text: Tensor | None) -> Tensor:
    """The features side by side, (n, d_image + d_text)."""
    return image if text is None else torch.cat([image, text], dim=1)


class FusionHead(nn.Module):
    """A head from features of frozen towers to logits.

    widths: of the image and text features; text is 0 without a text tower. decompose: split the features into
    directions and magnitudes, else use them as they are. hidden: widths of the layers, each with ReLU and dropout.
    bits: of the hash layer before the classifier; None: the classifier follows the last layer.
    codes: how the hash layer's output becomes codes: tanh; straight_through, signs with the gradient of tanh; annealed,
        tanh of the output times `sharpness`, which training raises.
    """

    sharpness: Tensor
    mean: Tensor
    std: Tensor
    projection: Tensor | None

    def __init__(
        self,
        widths: tuple[int, int],
        classes: int,
        *,
        decompose: bool,
        hidden: tuple[int, ...],
        bits: int | None,
        dropout: float,
        codes: Codes = "tanh",
    ) -> None:
        super().__init__()
        self.decompose, self.kind = decompose, codes
        image, text = widths
        self.register_buffer("projection", random_projection(image, text) if text else None)
        width = sum(widths)
        if decompose:
            width += min(widths) + (2 if text else 1)
        inputs = width
        layers: list[nn.Module] = []
        for size in hidden:
            layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(dropout)]
            width = size
        self.layers = nn.Sequential(*layers)
        self.hash = nn.Linear(width, bits) if bits else None
        self.classifier = nn.Linear(bits or width, classes)
        self.register_buffer("sharpness", torch.ones(()))
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))

    def standardize(self, image: Tensor, text: Tensor | None = None) -> None:
        """Take mean and standard deviation of the head's input from the training rows; arguments as of `forward`."""
        inputs = self._inputs(image, text)
        std = inputs.std(dim=0, correction=0)
        self.mean.copy_(inputs.mean(dim=0))
        self.std.copy_(torch.where(std > EPSILON, std, 1.0))  # constant inputs must not be amplified

    def _inputs(self, image: Tensor, text: Tensor | None) -> Tensor:
        return decomposed(image, text, self.projection) if self.decompose else joined(image, text)

    def forward(self, image: Tensor, text: Tensor | None = None) -> Fused:
        """image, text: float32 features (n, d_image) and (n, d_text)."""
        found = self.layers((self._inputs(image, text) - self.mean) / self.std)
        if self.hash is None:
            return Fused(self.classifier(found), None, found)
        soft = torch.tanh(self.hash(found) * self.sharpness)
        if self.kind == "straight_through":
            hard = torch.where(soft > 0, 1.0, -1.0)
            soft = soft + (hard - soft).detach()
        return Fused(self.classifier(soft), soft, found)

    def alignment(self, image: Tensor, text: Tensor) -> Tensor:
        """1 - the mean cosine of image and text; it has no gradient, since towers and projection are frozen."""
        one, other = shared_width(image, text, self.projection)
        return 1 - (one * other).sum(dim=1).mean()


def quantization(codes: Tensor) -> Tensor:
    """Mean squared distance of |code| from 1."""
    return (codes.abs() - 1).square().mean()


def bit_balance(codes: Tensor) -> Tensor:
    """Mean over bits of the squared mean over the batch: 0 if each bit is set in half of the rows."""
    return codes.mean(dim=0).square().mean()


def bit_correlation(codes: Tensor) -> Tensor:
    """Sum of the squared covariances of different bits over the batch (divided by its size), divided by bits**2."""
    centered = codes - codes.mean(dim=0)
    covariance = centered.T @ centered / len(codes)
    off = covariance - torch.diag(covariance.diag())
    return off.square().sum() / codes.shape[1] ** 2


def hash_loss(codes: Tensor) -> Tensor:
    """`quantization` + 0.1 * `bit_balance` + 0.01 * `bit_correlation`."""
    return quantization(codes) + 0.1 * bit_balance(codes) + 0.01 * bit_correlation(codes)
